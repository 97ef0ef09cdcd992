"""Nothing is sent: whole commands under two tracers, and what they leave in the home folder.

An audit hook sees what Python does; strace, where it is installed, sees what libraries do too. The
tracers are tested first: a look-up or a connection that is really made must show.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.pack
# Looked for and not imported: to import it here would be to let it report.
WITH_ORT = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="pip install '.[ort]'")

MAIN = [sys.executable, "-c", "from visavis.cli import main; main()"]
# Runs in every traced process before anything else. Writes each event that is a step outside.
HOOK = """
import os, sys
log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
WATCHED = ("socket.connect", "socket.getaddrinfo", "socket.gethostby", "socket.getnameinfo",
           "socket.send", "urllib.", "http.client.", "ftplib.", "smtplib.", "webbrowser.",
           "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
def seen(event, arguments):
    if event.startswith(WATCHED):
        os.write(log, f"{event} {arguments!r}\\n".encode())
sys.addaudithook(seen)
"""
# A name is looked up through connect and send to a server, or to the name service's own socket.
CALLS = "connect,sendto,sendmsg,sendmmsg"
# Of the environment these would hide a report, or move files out of the home folder.
HIDING = ("CI", "ORT_DISABLE_TELEMETRY", "NNCF_CI", "HF_HUB_OFFLINE", "PYTHONPATH")


@dataclass(frozen=True)
class Trace:
    """What a command did."""

    code: int
    stderr: str
    events: list[str]  # of Python
    calls: list[str] | None  # of the system; None without strace
    files: set[str]  # below the home folder


def strace(log: Path) -> list[str]:
    return ["strace", "-f", "-qq", "-o", str(log), "-e", f"trace={CALLS}"]


def can_trace(folder: Path) -> bool:
    """Whether strace is here and may trace: in some containers it may not."""
    if shutil.which("strace") is None:
        return False
    done = subprocess.run([*strace(folder / "try"), "true"], capture_output=True, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A fresh home folder, shared: the first command makes the pack, later ones find it."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def traced(home, tmp_path):
    """Run a command line under both tracers."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    (tmp_path / "events").touch()
    prefix = strace(tmp_path / "calls") if can_trace(tmp_path) else []
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in HIDING and not name.startswith("XDG_")
    }
    environment = kept | {
        "HOME": str(home),
        "PYTHONPATH": str(tmp_path / "hook"),
        "AUDIT_LOG": str(tmp_path / "events"),
    }

    def call(*command) -> Trace:
        done = subprocess.run(
            [*prefix, *map(str, command)],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
        calls = (tmp_path / "calls").read_text().splitlines() if prefix else None
        events = (tmp_path / "events").read_text().splitlines()
        files = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
        return Trace(done.returncode, done.stderr, events, calls, files)

    return call


def assert_private(trace: Trace, code: int = 0) -> None:
    assert (trace.code, trace.stderr) == (code, "")
    assert trace.events == []
    assert not trace.calls
    strange = {name for name in trace.files if not name.startswith(".cache/visavis/")}
    assert strange == set()


@pytest.mark.parametrize(
    ("code", "event"),
    [
        ("import socket; socket.getaddrinfo('localhost', 80)", "socket.getaddrinfo"),
        ("import socket; socket.gethostbyname('localhost')", "socket.gethostbyname"),
        ("import socket; socket.socket().connect_ex(('127.0.0.1', 9))", "socket.connect"),
        ("import urllib.request as u; u.urlopen('http://127.0.0.1:9')", "urllib.Request"),
        ("import subprocess; subprocess.run(['true'])", "subprocess.Popen"),
        ("import os; os.system('true')", "os.system"),
    ],
)
def test_the_hook_shows_what_python_does(traced, code, event):
    trace = traced(sys.executable, "-c", code)
    assert any(line.startswith(event) for line in trace.events)
    with pytest.raises(AssertionError):
        assert_private(trace, trace.code)


@pytest.mark.parametrize(
    ("code", "call"),
    [
        ("import ctypes; ctypes.CDLL(None).getaddrinfo(b'localhost', b'80', 0, "
         "ctypes.byref(ctypes.c_void_p()))", "connect("),
        ("import ctypes, socket; s = socket.socket(); ctypes.CDLL(None).connect("
         "s.fileno(), b'\\2\\0\\0\\x09\\x7f\\0\\0\\1' + bytes(8), 16)", "127.0.0.1"),
    ],
)  # fmt: skip
def test_strace_shows_what_a_library_does(traced, code, call, tmp_path):
    if not can_trace(tmp_path):
        pytest.skip("strace is not here, or may not trace: apt-get install strace")
    trace = traced(sys.executable, "-c", code)
    assert trace.events == []  # out of Python's sight
    assert any(call in line for line in trace.calls)
    with pytest.raises(AssertionError):
        assert_private(trace, trace.code)


def test_a_strange_file_in_the_home_folder_shows():
    for name in ("intel/stats", ".cache/Microsoft/deviceid", ".cache/visavis-not"):
        with pytest.raises(AssertionError):
            assert_private(Trace(0, "", [], [], {".cache/visavis/packs/a", name}))
    assert_private(Trace(0, "", [], None, {".cache/visavis/packs/a"}))


def test_verify_sends_nothing(traced, portraits):
    photos = portraits / "obama.jpg", portraits / "obama2.jpg"
    trace = traced(*MAIN, "verify", *photos)
    assert_private(trace)
    assert {name.split("/")[2] for name in trace.files} == {"packs", "compiled"}


@WITH_ORT
def test_verify_in_onnxruntime_sends_nothing(traced, portraits):
    photos = portraits / "obama.jpg", portraits / "biden.jpg"
    assert_private(traced(*MAIN, "verify", *photos, "--runtime", "onnxruntime"), 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["--help"], ["pack", "list"], ["pack", "info"], ["doctor"], ["doctor", "--json"]],
    ids=" ".join,
)
def test_a_command_sends_nothing(traced, words):
    assert_private(traced(*MAIN, *words))


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "import visavis",
        "from visavis.runtime import available_runtimes; available_runtimes()",
        "from visavis import Recognizer; Recognizer.load()",
    ],
)
def test_the_library_sends_nothing(traced, code):
    assert_private(traced(sys.executable, "-c", code))


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["openvino", pytest.param("onnxruntime", marks=WITH_ORT)])
def test_nothing_is_sent_later_either(traced, runtime):
    # ONNX Runtime, left to itself, collects for some seconds before it sends.
    code = (
        "import time, numpy as np, visavis; from visavis.runtime import Device; "
        f"embed = visavis.load_embedder(visavis.load_pack(), device=Device(runtime={runtime!r})); "
        "[(embed(np.ones((1, 112, 112, 3), np.uint8)), time.sleep(0.5)) for _ in range(40)]"
    )
    assert_private(traced(sys.executable, "-c", code))
