"""Python run as a user whom the system does not know, as in a container with any uid."""

import ctypes
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

UID = 12345
ROOT = Path(__file__).parent.parent
KEEP_CAPABILITIES = 8  # prctl's PR_SET_KEEPCAPS
VERSION_3 = 0x20080522
READ_SEARCH = 1 << 2  # CAP_DAC_READ_SEARCH


def become_stranger() -> None:
    """Give up root for good, in this process; the right to read any file is kept where it can be,
    because the interpreter may lie in root's home.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(KEEP_CAPABILITIES, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(UID)
    os.setuid(UID)
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    rights = (ctypes.c_uint32 * 6)(READ_SEARCH, READ_SEARCH, 0, 0, 0, 0)
    libc.capset(header, rights)


def run_as_stranger(code: str, *words: object, **environment: str) -> subprocess.CompletedProcess:
    """Run Python code as the stranger, with no home. Skips a test where that cannot be done."""
    if sys.platform != "linux" or os.getuid() != 0:
        pytest.skip("only root on Linux can become another user")
    if not can_import():
        pytest.skip("another user cannot read this Python or this source")
    return _run(code, *map(str, words), **environment)


@cache
def can_import() -> bool:
    """Whether the stranger can run Python at all."""
    return _run("import visavis.cli").returncode == 0


def _run(code: str, *words: str, **environment: str) -> subprocess.CompletedProcess:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "HOME" and not name.startswith(("XDG_", "VISAVIS_"))
    }
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT / "src")])
    return subprocess.run(
        [sys.executable, "-c", f"import stranger; stranger.become_stranger()\n{code}", *words],
        env={**kept, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1", **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def visavis_as_stranger(*words: object, **environment: str) -> tuple[int, str, str]:
    """The stranger's command line: exit code, stdout, stderr."""
    code = "from visavis.cli import main; main()"
    done = run_as_stranger(code, *words, **environment)
    return done.returncode, done.stdout, done.stderr
