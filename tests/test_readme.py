"""Every code block of the README is run: what it says is what happens."""

import re
import shlex
import shutil
import sys

import pytest
from conftest import ROOT
from PIL import Image

from visavis import cli

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def blocks(kind: str) -> list[str]:
    return [code for language, code in BLOCKS if language == kind]


@pytest.fixture
def among_portraits(portraits, monkeypatch):
    monkeypatch.chdir(portraits)


@pytest.mark.pack
@pytest.mark.parametrize("code", blocks("python"))
def test_python_blocks_run(code, among_portraits, capsys):
    shown: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), shown)
    promised = re.findall(r"print\(.*\)\s+# (match|no match|review)$", code, re.MULTILINE)
    assert promised == [line for line in capsys.readouterr().out.splitlines() if "match" in line]


@pytest.mark.pack
@pytest.mark.parametrize("transcript", blocks("console"))
def test_the_transcript_is_true(transcript, among_portraits, monkeypatch, capsys):
    printed = ""
    for command in re.findall(r"^\$ (.*)$", transcript, re.MULTILINE):
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit):
            cli.main()
        printed += f"$ {command}\n{capsys.readouterr().out}"
    number = r"(?<=similarity )-?\d\.\d+"
    assert re.sub(number, "N", printed) == re.sub(number, "N", transcript)
    said, is_so = (
        [float(found) for found in re.findall(number, text)] for text in (transcript, printed)
    )
    assert is_so == pytest.approx(said, abs=0.02)  # the last digit is the CPU's


def test_the_shell_blocks_are_the_commands_there_are():
    """Set-up runs before these tests do; here each line is held against what it runs."""
    commands = [line.split("#")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    for target in ("try", "test"):
        assert f"make {target}" in commands
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)
    install = "pip install --constraint constraints.txt --editable ."
    assert any(command.endswith(install) for command in commands)
    assert "pip install --quiet --constraint constraints.txt --editable ." in MAKEFILE
    assert len([command for command in commands if not command.startswith("visavis ")]) == 7


@pytest.mark.pack
@pytest.mark.slow
def test_who_is_in_the_group_photo(portraits, tmp_path, monkeypatch, run):
    (block,) = [block for block in blocks("sh") if "group.jpg" in block]
    for name in ("obama.jpg", "obama2.jpg", "biden.jpg"):
        shutil.copy(portraits / name, tmp_path)
    sides = [
        Image.open(portraits / name).resize((500, 600)) for name in ("obama3.jpg", "biden.jpg")
    ]
    group = Image.new("RGB", (1000, 600))
    for left, side in zip((0, 500), sides, strict=True):
        group.paste(side, (left, 0))
    group.save(tmp_path / "group.jpg")
    monkeypatch.setenv("VISAVIS_GALLERY", str(tmp_path / "gallery"))
    monkeypatch.chdir(tmp_path)
    answers = [run(*shlex.split(command)[1:]) for command in block.splitlines()]
    assert [code for code, _, _ in answers] == [0, 0, 0]
    assert sorted(re.findall("match +(.+?) ·", answers[-1][1])) == ["Barack Obama", "Joe Biden"]
    assert (tmp_path / "named" / "group.jpg.png").is_file()


def test_every_block_is_of_a_kind_that_is_run():
    assert {language for language, _ in BLOCKS} == {"sh", "console", "python"}


def test_links_lead_somewhere():
    targets = re.findall(r"\]\((?!http)([^)]+)\)", README)
    assert [target for target in targets if not (ROOT / target).exists()] == []
