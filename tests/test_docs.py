"""Every command line and link of the documentation leads somewhere."""

import ast
import re
import runpy
import shlex
import tomllib

import pytest
from conftest import ROOT
from source import trees
from verbs import verbs

from visavis.extras import EXTRAS

PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(?:sh|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`((?:visavis|people|pack|evaluate|detect|enroll|verify|find) [^`]+)`")
VERBS = {tuple(verb.name.split()): verb for verb in verbs()}
ANY = {"--help", "--version", "--install-completion", "--show-completion"}


def lines(text: str) -> list[str]:
    """The command lines of a page, without prompts and comments."""
    blocks = "\n".join(BLOCK.findall(text)).replace("\\\n", " ")
    typed = re.findall(r"^(?:\$ )?(?:\.venv/bin/)?(visavis .*)$", blocks, re.MULTILINE)
    inline = [code.removeprefix("visavis ") for code in INLINE.findall(text)]
    return [*typed, *(f"visavis {code}" for code in inline)]


def wrong(line: str) -> list[str]:
    """The words of a command line that lead nowhere."""
    words = shlex.split(line.replace("|", " "), comments=True)[1:]
    if words[:1] == ["evaluate"] and tuple(words[:2]) not in VERBS:
        words.insert(1, "pairs")  # the plain form
    options = {word.partition("=")[0] for word in words if word.startswith("--")} - ANY
    depth = next((n for n in (3, 2, 1) if tuple(words[:n]) in VERBS), 0)
    if depth:
        params = VERBS[tuple(words[:depth])].command.params
        known = {name for param in params for name in (*param.opts, *param.secondary_opts)}
        return sorted(options - known)
    if not words or words[0] == "help" or words[0] in ANY:
        return []
    groups = {key[0] for key in VERBS if len(key) > 1}
    return [word for word in words[1:2] if word != "..."] if words[0] in groups else words[:1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_command_lines_are_ones_that_are_there(page):
    text = page.read_text(encoding="utf-8")
    assert {line: bad for line in lines(text) if (bad := wrong(line))} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#]+)(?:#[^)]*)?\)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_reference_is_made_of_the_docstrings_as_they_are():
    made = runpy.run_path(str(ROOT / "docs" / "make_api.py"))["page"]()
    kept = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert kept == made, "python docs/make_api.py"


def said() -> str:
    """Every text of the source that can be printed, `...` for what is filled in."""
    nodes = [node for tree in trees().values() for node in ast.walk(tree)]
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    texts = [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
    ]
    filled = [
        "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)
        for node in nodes
        if isinstance(node, ast.JoinedStr)
    ]
    return "\n".join([*texts, *filled])


def never_said(phrase: str, texts: str) -> bool:
    """Whether the parts of a phrase between its `...` never stand in one text, in this order."""
    return not re.search(".*".join(map(re.escape, phrase.split("..."))), texts)


def test_the_messages_that_are_explained_are_printed():
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    cells = re.findall(r"^\| (`[^|]*) \|", page, re.MULTILINE)
    phrases = [phrase for cell in cells for phrase in re.findall("`(.+?)`", cell)]
    texts = said()
    assert len(phrases) > 15
    assert [phrase for phrase in phrases if never_said(phrase, texts)] == []


@pytest.mark.parametrize(
    ("phrase", "texts", "never"),
    [
        ("no face found", "a.jpg: no face found", False),
        ("no face seen", "a.jpg: no face found", True),
        ("... faces, of ... size", "...: ... faces, of one size", False),
        ("faces of ... size", "many faces\nof one size", True),
    ],
)
def test_a_message_that_is_never_printed_is_seen(phrase, texts, never):
    assert never_said(phrase, texts) is never


def test_a_line_that_leads_nowhere_is_seen():
    assert wrong("visavis verify a.jpg b.jpg --draw out.png  # a comment") == []
    assert wrong("visavis people delete E-1017 --yes") == []
    assert wrong("visavis verify a.jpg --portrait b.jpg") == ["--portrait"]
    assert wrong("visavis vrify a.jpg b.jpg") == ["vrify"]
    assert wrong("visavis people destroy E-1017") == ["destroy"]
    assert wrong("visavis people") == wrong("visavis help verify") == wrong("visavis --help") == []


def test_every_extra_is_told():
    """In docs/install.md, and by `visavis doctor`, which leaves out what is for our own work."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(project["optional-dependencies"])
    page = (ROOT / "docs" / "install.md").read_text()
    table = page[page.index("| extra | brings") :].split("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == extras
    assert extras - {extra.name for extra in EXTRAS} == {"cuda", "dev"}
