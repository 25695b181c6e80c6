"""Without what only POSIX systems have, disks are checked and converted; jobs say that they need such a system.

No Windows is at hand: its Python is approached by taking away the modules and the parts of `os` that it lacks
(https://docs.python.org/3/library/os.html, "Availability"), before anything of vmie is imported.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools import ROOT

_AS_WINDOWS = """
import concurrent.futures, json, logging, os, platform, random, shutil, signal, subprocess, sys, tempfile
import urllib.request
import platformdirs.unix  # chosen by the name of the platform; on Windows another is

for name in ("fcntl", "pwd", "grp", "resource", "termios", "tty", "pty", "syslog", "readline", "posix"):
    sys.modules[name] = None
gone = ("pread pwrite preadv pwritev geteuid getuid getegid getgid getgroups fstatvfs posix_fadvise "
        "posix_fallocate sched_getaffinity fork forkpty openpty killpg setsid getpgid chown fchown lchown mkfifo mknod "
        "sysconf uname fdatasync sync sendfile copy_file_range memfd_create getloadavg nice O_NONBLOCK O_NOFOLLOW "
        "O_CLOEXEC O_DIRECTORY O_SYNC SEEK_DATA SEEK_HOLE")
for name in gone.split():
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGPIPE", "SIGCHLD", "SIGQUIT", "pthread_sigmask"):
    delattr(signal, name)
platform.system = lambda: "Windows"

class Status:  # st_blocks is not there
    def __init__(self, status):
        self._status = status
    def __getattr__(self, name):
        if name in ("st_blocks", "st_blksize", "st_rdev"):
            raise AttributeError(name)
        return getattr(self._status, name)

plain_fstat, plain_open = os.fstat, os.open
os.fstat = lambda file: Status(plain_fstat(file))
def opened(path, flags, *more, **named):
    if os.path.isdir(path):
        raise PermissionError(13, "Permission denied", str(path))
    return plain_open(path, flags, *more, **named)
os.open = opened

from vmie import cli
codes = [cli.run(["--output", "json", *argv]) for argv in json.loads(sys.argv[1])]
print(json.dumps(codes), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disk of 24 MiB with some data between zeros."""
    folder = tmp_path_factory.mktemp("windows")
    disk = bytearray(24 << 20)
    for at in range(0, len(disk), 5 << 20):
        disk[at : at + 5000] = os.urandom(5000)
    (folder / "disk.raw").write_bytes(disk)
    return folder


def vmie(folder: Path, *commands: list[str]) -> tuple[list[int], str, str]:
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "VMIE_STATE": str(folder / "state")}
    argv = [sys.executable, "-c", _AS_WINDOWS, json.dumps(commands)]
    done = subprocess.run(argv, cwd=folder, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stderr.splitlines()[-1]), done.stdout, done.stderr


def test_disks_are_checked_and_converted(folder: Path) -> None:
    codes, out, _ = vmie(
        folder,
        ["convert", "disk.raw", "disk.vmdk"],
        ["convert", "disk.vmdk", "disk.qcow2"],
        ["convert", "disk.qcow2", "disk.vhdx"],
        ["convert", "disk.vhdx", "again.raw"],
        ["check", "disk.qcow2", "disk.raw"],
    )
    assert codes == [0, 0, 0, 0, 4], out
    assert (folder / "again.raw").read_bytes() == (folder / "disk.raw").read_bytes()
    # one that has to be unpacked first
    (folder / "packed.qcow2.gz").write_bytes(gzip.compress((folder / "disk.qcow2").read_bytes(), 1))
    codes, out, _ = vmie(folder, ["convert", "packed.qcow2.gz", "packed.raw"], ["check", "packed.qcow2.gz"])
    assert codes == [0, 4], out
    assert (folder / "packed.raw").read_bytes() == (folder / "disk.raw").read_bytes()


def test_the_rest_says_what_it_needs(folder: Path) -> None:
    codes, out, err = vmie(
        folder,
        ["import", "disk.raw", "--bucket", "my-bucket"],
        ["upload", "disk.raw", "s3://my-bucket/k"],
        ["batch", "run", str(ROOT / "examples" / "plan.yaml")],
        ["--sandbox", "tasks", "list"],
        ["--dry-run", "export", "ami-0123456789abcdef0", "--format", "raw", "--bucket", "my-bucket"],
    )
    assert codes == [2] * 5, out
    assert out.count('"NotOnThisSystem"') == 5, out
    assert "Traceback" not in err
    codes, out, _ = vmie(
        folder, ["limits"], ["explain", "VMIE-OS-005"], ["policy", "role", "--bucket", "my-bucket"], ["jobs"]
    )
    assert codes == [0, 0, 0, 0], out
