"""``python -m vmie``."""

from vmie.cli import main

main()
