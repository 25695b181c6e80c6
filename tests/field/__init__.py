"""Judges from outside: what vmie reads, against what other projects' own tests expect of the same files.

    corpora.toml ── corpora ── folders ── a family's cases ── judging ── right / wrong / refused

Nothing of what others made is kept here: sources come from the package registries into .cache/field. A family is one
file: NAME, CORPORA and `cases`. What is known to be wrong is listed, with the reason, in known.toml.
`python -m tests.field` (`make field`) runs them all.
"""
