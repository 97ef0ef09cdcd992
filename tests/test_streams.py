"""What is printed where little can be printed, and how a verb ends whatever is raised."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from visavis import cli
from visavis.cli import printing
from visavis.errors import DeviceError, OutputError
from visavis.gallery import open_gallery

JAPANESE = "山田 太郎"
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")


def visavis(*words: object, code: str = "", through: tuple[str, ...] = (), **options):
    """A command line in a process of its own; `code` runs in it first, `through` starts it."""
    environment = {**os.environ, **options.pop("env", {})}
    start = f"{code}\nfrom visavis.cli import main; main()"
    return subprocess.run(
        [*through, sys.executable, "-c", start, *map(os.fsencode, map(str, words))],
        env=environment,
        check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


@pytest.fixture
def people(tmp_path, cache):
    """A gallery with somebody whose name few encodings hold."""
    gallery = open_gallery(tmp_path / "people")
    gallery.add_person(JAPANESE)
    gallery.close()
    return tmp_path / "people"


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-8", JAPANESE.encode()),
        ("utf-16-le", JAPANESE.encode("utf-16-le")),
        ("shift-jis", JAPANESE.encode("shift-jis")),
        ("cp1252", rb"\u5c71\u7530 \u592a\u90ce"),
        ("ascii", rb"\u5c71\u7530 \u592a\u90ce"),
        ("ascii:strict", rb"\u5c71\u7530 \u592a\u90ce"),
    ],
)
def test_a_name_is_escaped_where_the_encoding_lacks_it(people, encoding, name):
    words = ("people", "list", "--gallery", people)
    done = visavis(*words, env={"PYTHONIOENCODING": encoding})
    assert (done.returncode, name in done.stdout, done.stderr) == (0, True, b"")
    done = visavis(*words, "--json", env={"PYTHONIOENCODING": encoding})
    document = json.loads(done.stdout.decode(encoding.partition(":")[0]))
    assert [person["name"] for person in document["people"]] == [JAPANESE]


@pytest.mark.pack
@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_match_is_a_match_in_every_encoding(portraits, pack, encoding):
    photos = portraits / "obama.jpg", portraits / "obama2.jpg"
    done = visavis("verify", *photos, env={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stdout[:5], done.stderr) == (0, b"match", b"")


@needs_full
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("json", [(), ("--json",)])
def test_a_full_disk_is_an_error(people, json, unbuffered):
    with FULL.open("wb") as full:
        words = ("people", "list", "--gallery", people, *json)
        done = visavis(*words, env={"PYTHONUNBUFFERED": unbuffered}, stdout=full)
    said = b"visavis: the output cannot be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, said)


@needs_full
def test_an_error_that_cannot_be_told_is_an_error(tmp_path):
    words = ("people", "list", "--gallery", tmp_path / "none")
    with FULL.open("wb") as full:
        done = visavis(*words, stderr=full)
    assert (done.returncode in (2, 120), done.stdout) == (True, b"")
    with FULL.open("wb") as full:
        done = visavis(*words, "--json", stdout=full)
    assert (done.returncode, done.stderr.count(b"no gallery")) == (2, 1)


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_nobody_reads_is_an_error_without_a_word(people, unbuffered):
    read, write = os.pipe()
    os.close(read)
    try:
        words = ("people", "list", "--gallery", people)
        done = visavis(*words, env={"PYTHONUNBUFFERED": unbuffered}, stdout=write)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (2, b"")


@pytest.mark.parametrize("closed", [1, 2])
def test_a_closed_stream_is_no_error(people, closed):
    words = ("people", "list", "--gallery", people)
    done = visavis(*words, through=("sh", "-c", f'exec "$@" {closed}>&-', "sh"))
    assert done.returncode == 0
    assert (done.stdout + done.stderr).strip().endswith(b"1 person") is (closed == 2)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë · 山田.jpg", "Zoë · 山田.jpg"),
        ("\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
        ("a\rmatch", r"a\rmatch"),
        ("a\nmatch     similarity 1.00", r"a\nmatch     similarity 1.00"),
        ("a\x9b31m", r"a\x9b31m"),
        ("a\u2028b\u2029", r"a\u2028b\u2029"),
        ("photo\u202egpj.exe", r"photo\u202egpj.exe"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("\udcff.jpg", r"\udcff.jpg"),
        # A joiner is a letter of Persian and Hindi names.
        ("a\u200cb", "a\u200cb"),
        ("👩\u200d🚀", "👩\u200d🚀"),
        ("", ""),
    ],
)
def test_what_would_steer_a_terminal_is_escaped(text, shown, capsys):
    assert printing.harmless(text) == shown
    printing.print_lines([text])
    assert capsys.readouterr().out == f"{shown}\n"


ATTACKS = {
    "\x1b[2J\x1b[1;1Hmatch.jpg": rb"\x1b[2J\x1b[1;1Hmatch.jpg",
    "\u202egpj.jpg": rb"\u202egpj.jpg",
    "\udcff\udcfe.jpg": rb"\udcff\udcfe.jpg",
    "a\x07.jpg": rb"a\x07.jpg",
}


@pytest.mark.pack
def test_the_names_of_files_steer_no_terminal(tmp_path, pack):
    """Each is told as an error, then in JSON, where it can be read back."""
    for name in ATTACKS:
        (tmp_path / name).write_bytes(b"no picture")
    done = visavis("detect", tmp_path, env={"PYTHONIOENCODING": "utf-8"})
    assert (done.returncode, done.stdout) == (3, b"")
    assert all(shown in done.stderr for shown in ATTACKS.values())
    assert b"\x1b" not in done.stderr
    done = visavis("detect", tmp_path, "--json", env={"PYTHONIOENCODING": "utf-8"})
    assert b"\x1b" not in done.stdout
    errors = json.loads(done.stdout)["errors"]
    assert {Path(error["path"]).name for error in errors} == set(ATTACKS)


def test_a_name_would_clear_the_screen_if_it_were_not_escaped(tmp_path):
    """The attack succeeds on a copy whose guard is taken out."""
    name = tmp_path / "\x1b[2J"
    words = ("people", "list", "--gallery", name)
    guarded = visavis(*words)
    sabotaged = visavis(
        *words, code="import visavis.cli.printing as p; p.harmless = lambda text: text"
    )
    assert (b"\x1b[2J" in guarded.stderr, b"\x1b[2J" in sabotaged.stderr) == (False, True)


def test_a_warning_of_the_library_steers_no_terminal(capsys):
    import logging

    with printing.log_on_stderr():
        logging.getLogger("visavis.made").warning("damaged: %s", "\x1b[2J.jpg")
    assert capsys.readouterr().err == "visavis: damaged: \\x1b[2J.jpg\n"


RAISED = [
    (DeviceError("no such device", mend="use cpu"), "no such device: use cpu"),
    (OutputError("a\x1bb"), r"a\x1bb"),
    (ZeroDivisionError("division by zero"), "unexpected ZeroDivisionError: division by zero"),
    (KeyError("name"), "unexpected KeyError: 'name'"),
    (RuntimeError("two\nlines"), "unexpected RuntimeError: two lines"),
    (PermissionError(13, "denied", "/root"), "unexpected PermissionError: [Errno 13] denied"),
    (UnicodeEncodeError("ascii", "é", 0, 1, "no"), "unexpected UnicodeEncodeError: 'ascii' codec"),
    (MemoryError(), "unexpected MemoryError:"),
    (RecursionError("too deep"), "unexpected RecursionError: too deep"),
    (AssertionError(), "unexpected AssertionError:"),
]


@pytest.mark.parametrize(("error", "said"), RAISED)
def test_whatever_is_raised_is_one_line_and_no_answer(run, monkeypatch, error, said):
    """Exit code 1 would say "no match"."""

    def load(*arguments, **named):
        raise error

    monkeypatch.delenv(cli.DEBUG, raising=False)
    monkeypatch.setattr("visavis.recognizer.Recognizer.load", load)
    code, out, err = run("verify", "a.jpg", "b.jpg")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"visavis: {said}")
    assert ("VISAVIS_DEBUG=1" in err) is ("unexpected" in said)
    code, out, again = run("verify", "a.jpg", "b.jpg", "--json")
    reason = json.loads(out)["error"]
    assert (code, again) == (2, err)
    assert reason["code"] == ("unexpected" if "unexpected" in said else error.code)
    mend = f": {reason['mend']}" if reason["mend"] else ""
    assert err == f"visavis: {printing.harmless(reason['message'])}{mend}\n"


def test_a_variable_shows_where_a_fault_was(run, monkeypatch):
    monkeypatch.setenv(cli.DEBUG, "1")
    monkeypatch.setattr("visavis.recognizer.Recognizer.load", lambda *words, **named: {}["weights"])
    code, out, err = run("verify", "a.jpg", "b.jpg")
    assert (code, out) == (2, "")
    assert err.startswith("Traceback (most recent call last):")
    assert "test_streams.py" in err
    assert err.splitlines()[-1].startswith("visavis: unexpected KeyError: 'weights'")


def test_a_fault_would_say_no_match_if_it_were_not_caught():
    """Python's own exit code for it, on a copy whose guard is taken out, is that of an answer."""
    fault = "import visavis.cli, visavis.recognizer as room; room.Recognizer.load = None"
    guarded = visavis("verify", "a.jpg", "b.jpg", code=fault)
    sabotage = f"{fault}\nvisavis.cli._guarded = lambda work, json: work()"
    sabotaged = visavis("verify", "a.jpg", "b.jpg", code=sabotage)
    assert (guarded.returncode, sabotaged.returncode) == (2, 1)
    assert b"Traceback" not in guarded.stderr
    assert b"Traceback" in sabotaged.stderr
