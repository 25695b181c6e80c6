"""Apply the patches beside this file to moto's newest release and run the tests that they bring: `make moto-patches`.

Each test is first run without the patches, where it has to fail.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
sys.path.insert(0, str(ROOT))

from tests.clients import environments  # noqa: E402 - the repository is no package that is installed

_NEW_TEST = re.compile(r"^\+def (test_\w+)\(", re.MULTILINE)
_FILE = re.compile(r"^\+\+\+ b/(tests/\S+)", re.MULTILINE)


def tests_of(patch: Path) -> list[str]:
    """The tests that a patch adds, as pytest names them."""
    text = patch.read_text()
    (file,) = _FILE.findall(text)
    return [f"{file}::{name}" for name in _NEW_TEST.findall(text)]


def source(home: Path, into: Path) -> Path:
    """moto's release as the lock has it, unpacked."""
    lock = (environments.LOCKS / "moto.txt").read_text()
    (pinned,) = re.findall(r"^(moto)(?:\[[^\]]*\])?(==[\w.]+)((?: \\\n    --hash=\S+)+)", lock, re.MULTILINE)
    (into / "moto.txt").write_text("".join(pinned) + "\n")
    argv = [home / "bin" / "python", "-m", "pip", "--disable-pip-version-check", "-q", "download", "--no-deps"]
    subprocess.run([*argv, "--no-binary", "moto", "--require-hashes", "-d", into, "-r", into / "moto.txt"], check=True)
    with tarfile.open(next(into.glob("moto-*.tar.gz"))) as tar:
        tar.extractall(into, filter="data")
    return next(one for one in into.glob("moto-*") if one.is_dir())


def ran(home: Path, tree: Path, tests: list[str]) -> int:
    """pytest's exit code: 0 when all passed, 1 when some failed. Its last line is shown."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST", "PYTHON"))}
    environ |= {"PYTHONPATH": str(tree), "AWS_DEFAULT_REGION": "us-east-1", "MOTO_EC2_LOAD_DEFAULT_AMIS": "false"}
    environ |= {"AWS_ACCESS_KEY_ID": "made", "AWS_SECRET_ACCESS_KEY": "up"}
    argv = [
        home / "bin" / "python",
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        "--color=no",
        *tests,
    ]
    done = subprocess.run(argv, cwd=tree, env=environ, capture_output=True, text=True, check=False)
    print(f"  {(done.stdout or done.stderr).strip().splitlines()[-1]}", flush=True)
    return done.returncode


def main() -> int:
    """Return 1 when a patch does not apply or its tests do not say what they should."""
    home = environments.python("moto")
    with tempfile.TemporaryDirectory(prefix="vmie-moto-") as folder:
        tree = source(home, Path(folder))
        for patch in sorted(HERE.glob("*.patch")):
            print(patch.name, flush=True)
            tests = tests_of(patch)
            added = Path(folder) / "added"
            shutil.copytree(tree, added)
            applied = subprocess.run(["patch", "-p1", "-s", "-i", patch], cwd=added, check=False).returncode
            # only the tests, on moto as it is
            shutil.rmtree(added / "moto")
            shutil.copytree(tree / "moto", added / "moto")
            before = ran(home, added, tests)
            shutil.rmtree(added)
            applied |= subprocess.run(["patch", "-p1", "-s", "-i", patch], cwd=tree, check=False).returncode
            if applied or before != 1 or ran(home, tree, tests) != 0:
                print(f"{patch.name}: not as it should be")
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
