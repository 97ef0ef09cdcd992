"""What the command line says of itself: help by job, one verb's help, the version, near misses."""

import re
import subprocess
import sys

import pytest
import typer

from visavis import __version__, cli
from visavis.errors import did_you_mean

# Each verb under the job that it is for.
PANELS = {
    "Compare and find people": ["verify", "identify", "find", "watch", "detect", "embed"],
    "Your people": ["enroll", "people", "gallery", "config", "attendance"],
    "Measure": ["calibrate", "report", "evaluate", "liveness", "dataset"],
    "Models": ["convert", "train", "pack"],
    "This machine": ["doctor", "serve"],
}


def module(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "visavis", *words], capture_output=True, text=True, check=False
    )


def panels(text: str) -> dict[str, list[str]]:
    """The titles of a help's frames, each with the words that begin its rows."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if title := re.match(r"╭─ (.*?) ─", line):
            rows = found.setdefault(title[1], [])
        elif row := re.match(r"│ (\S+)", line):
            rows.append(row[1])
    return found


@pytest.mark.parametrize(("words", "code"), [([], 2), (["--help"], 0), (["help"], 0)])
def test_the_verbs_are_grouped_by_job(run, words, code):
    stopped, out, err = run(*words)
    found = panels(out + err)
    assert (stopped, found.pop("Options")[-1]) == (code, "--help")
    assert {title: sorted(rows) for title, rows in found.items()} == {
        title: sorted(rows) for title, rows in PANELS.items()
    }


@pytest.mark.parametrize(
    "words", [["verify"], ["people"], ["people", "list"], ["evaluate"], ["evaluate", "ijb"]]
)
def test_help_in_front_is_help_behind(run, words):
    assert run("help", *words) == run(*words, "--help")
    assert run("help", *words)[0] == 0


def test_the_version_is_told(run):
    assert run("--version") == (0, f"visavis {__version__}\n", "")


def test_the_module_is_the_command_line():
    done = module("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"visavis {__version__}\n", "")


@pytest.mark.parametrize("words", [["verify", "a.jpg"], ["people", "list"], ["predict", "b.jpg"]])
def test_a_verb_that_is_named_is_made_alone(words):
    made = typer.main.get_command(cli._with_verb(words))
    assert [*made.commands] == words[:1]


@pytest.mark.parametrize("words", [[], ["--version"], ["help", "verify"], ["verfy", "a.jpg"]])
def test_all_verbs_are_made_where_the_first_word_names_none(words):
    assert cli._with_verb(words) is cli.app


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_completion(run, monkeypatch, shell):
    monkeypatch.setenv("_VISAVIS_COMPLETE", f"source_{shell}")
    code, out, err = run()
    assert (code, f"_VISAVIS_COMPLETE=complete_{shell}" in out, err) == (0, True, "")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("ve", ["verify"]),
        ("help ve", ["verify"]),
        ("people rem", ["remove-negative", "remove-photo"]),
        ("evaluate pe", ["people"]),
        ("verify --fa", ["--face"]),
        ("evaluate default --sk", ["--skip-bad"]),
    ],
)
def test_a_word_is_completed(run, monkeypatch, typed, completed):
    monkeypatch.setenv("_VISAVIS_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"visavis {typed}")
    monkeypatch.setenv("COMP_CWORD", str(len(typed.split())))
    code, out, err = run()
    assert (code, out.split(), err) == (0, completed, "")


@pytest.mark.parametrize(
    ("words", "suggested"),
    [
        (["verfy", "a", "b"], "'verify'"),
        (["help", "verfy"], "'verify'"),
        (["people", "renam"], "'rename'"),
        (["verify", "a", "b", "--fcae", "1"], "--face"),
        (["detect", "a", "--jsno"], "--json"),
        (["pack", "info", "defualt"], "did you mean 'default'?"),
        (["verify", "a", "b", "--pack", "Default"], "did you mean 'default'?"),
    ],
)
def test_what_was_meant_is_suggested(run, words, suggested):
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert suggested in err


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ("Barak Obama", "did you mean 'Barack Obama'?\n"),
        ("barack obama", "did you mean 'Barack Obama'?\n"),
        ("Zoë", "nobody is called 'Zoë', and nobody has that id\n"),
    ],
)
def test_somebody_of_nearly_that_name_is_suggested(run, gallery, tmp_path, who, said):
    gallery.add_person("Barack Obama")
    code, out, err = run("people", "show", who, "--gallery", tmp_path / "gallery")
    assert (code, out) == (2, "")
    assert err.endswith(said)


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("sfcae", "did you mean 'SFace'?"),
        ("anb", "did you mean 'ann' or 'ane'?"),
        ("zzz", ""),
        ("", ""),
    ],
)
def test_a_question_names_what_is_spelt_alike(name, question):
    assert did_you_mean(name, ["SFace", "ann", "ane", "bob"]) == question


@pytest.mark.parametrize("folder", ["nope", "a.jpg"])
def test_a_folder_of_people_that_is_none_is_one_line(run, tmp_path, folder):
    (tmp_path / "a.jpg").write_bytes(b"")
    words = ("enroll", "--folder", tmp_path / folder, "--gallery", tmp_path / "people")
    code, out, err = run(*words)
    assert (code, out, err) == (2, "", f"visavis: {tmp_path / folder}: no such folder\n")
