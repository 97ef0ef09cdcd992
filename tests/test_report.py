"""The page: whole in itself, the same bytes again, and safe whatever names are in it."""

import base64
import json
import re
import zipfile
from dataclasses import fields, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from made_runs import bare_run, changed, made_run

from visavis.errors import DatasetError, OutputError
from visavis.evaluate.run import Run, load_run, save_run
from visavis.report import page
from visavis.report.report import write_projector, write_report

SCRIPT = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def plots():
    for package in ("matplotlib", "sklearn"):
        pytest.importorskip(package, reason="figures need an extra: pip install '.[plots]'")


class Tags(HTMLParser):
    """The tags of a page, in order, and whether each is closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def undrawn(*runs) -> str:
    """The page without its figures."""
    return page.page(runs, {section.key: [] for section in page.SECTIONS})


@pytest.fixture(scope="module")
def two(plots, tmp_path_factory) -> Path:
    """A folder with report.html of two runs."""
    folder = tmp_path_factory.mktemp("two")
    write_report([made_run("one"), made_run("two", seed=1)], folder / "report.html")
    return folder


@pytest.fixture
def text(two) -> str:
    """The page of two runs."""
    return (two / "report.html").read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """The table's rows by label."""
    found = re.findall(r'<th scope="row">(.*?)</th>(.*?)</tr>', text)
    return {label: re.findall(r"<td>(.*?)</td>", cells) for label, cells in found}


def test_the_page_has_every_section_and_its_figures(text):
    parsed = Tags(text)
    assert parsed.open == []
    ids = [attributes["id"] for tag, attributes in parsed.tags if tag == "section"]
    assert ids == [section.key for section in page.SECTIONS]
    assert "Not drawn" not in text
    assert len(re.findall("<img ", text)) == 7 + 2 * 6 + 1
    assert all(attributes["alt"] for tag, attributes in parsed.tags if tag == "img")


def test_the_page_is_whole_in_itself(text):
    assert not re.search(r"https?://|<script|<link|@import|url\(", text)
    sources = [attributes["src"] for tag, attributes in Tags(text).tags if tag == "img"]
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    links = [attributes["href"] for tag, attributes in Tags(text).tags if tag == "a"]
    assert all(link.startswith("#") for link in links)
    assert "width=device-width" in text
    assert "prefers-color-scheme: dark" in text


def test_each_figure_lies_beside_the_page_with_its_numbers(two, text):
    folder = two / "report_figures"
    for picture in folder.glob("*.png"):
        assert base64.b64encode(picture.read_bytes()).decode() in text
        assert picture.with_suffix(".json").is_file()
    (panel,) = json.loads((folder / "roc.json").read_text())["panels"]
    assert [line["label"][:3] for line in panel["lines"]] == ["one", "two"]
    assert panel["lines"][0]["points"][-1] == [1, 1]
    (panel,) = json.loads((folder / "confused-1.json").read_text())["panels"]
    assert len(panel["bars"][0]) == len(panel["ticks"]) == 12
    found = json.loads((folder / "similarities-1.json").read_text())
    assert found["caption"] == "one"
    (panel,) = found["panels"]
    assert sum(sum(steps["values"]) for steps in panel["counts"]) == len(made_run().same)


def test_the_same_runs_give_the_same_bytes(two, tmp_path):
    files = write_report([made_run("one"), made_run("two", seed=1)], tmp_path / "report.html")
    assert len(files) == 1 + 2 * 20
    assert {path.relative_to(tmp_path) for path in files} == {
        path.relative_to(two) for path in two.rglob("*") if path.is_file()
    }
    for path in files:
        assert path.read_bytes() == (two / path.relative_to(tmp_path)).read_bytes()


def test_names_are_text(plots, tmp_path):
    run = made_run(SCRIPT, people=(SCRIPT, '"><img src=x onerror=y>', "'&amp;"))
    run = changed(run, settings={SCRIPT: SCRIPT}, history={SCRIPT: [1.0, 2.0]})
    write_report([run, changed(run, name=f"{SCRIPT}\ud800\x00")], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "onerror" not in text
    assert "&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;" in text
    assert "Not drawn" not in text
    assert Tags(text).open == []


def test_the_table_compares():
    one = changed(made_run("one"), settings={"model": "a@1", "flip": "yes", "device": "cpu"})
    two = changed(made_run("two", seed=1), settings={"model": "b@2", "flip": "yes"})
    two = changed(two, bytes=None, calibration=None)
    table = rows(undrawn(one, two))
    assert table["model ≠"] == ["a@1", "b@2"]
    assert table["flip"] == ["yes", "yes"]
    assert table["device ≠"] == ["cpu", page.UNKNOWN]
    assert table["same pairs"] == ["36", "36"]
    assert table["model, MB"] == ["5.0", page.UNKNOWN]
    assert table["ms per face"] == ["4.2", "4.2"]
    assert table["EER"] == [f"{100 * run.about.result.eer:.2f} %" for run in (one, two)]
    assert table["Cllr"][1] == page.UNKNOWN
    assert float(table["Cllr"][0]) == pytest.approx(page.metrics(one)["Cllr"], abs=5e-4)


def test_one_run_differs_from_nothing():
    assert not [label for label in rows(undrawn(made_run())) if label.endswith("≠")]


def test_different_data_is_said():
    assert "different data" not in undrawn(made_run("one"), made_run("two", seed=1))
    text = undrawn(made_run("one"), made_run("two", pictures=3), made_run("three", seed=1))
    assert "These runs are over different data" in text
    assert "data 1: one · three; data 2: two" in text


def test_runs_of_one_name_are_told_apart(plots, tmp_path):
    runs = [bare_run(), changed(bare_run(), name="other"), bare_run()]
    write_report(runs, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.findall(r'<th scope="col">(.*?)</th>', text) == ["bare (1)", "other", "bare (2)"]


def test_a_bare_run_has_a_page(plots, tmp_path):
    write_report([bare_run()], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    lacking = re.findall(r'<section id="([\w-]+)"><h2>.*?</h2>\n<p>.*?</p>\n<p>Not drawn: ', text)
    assert lacking == [
        "discard",
        "reliability",
        "people",
        "carried",
        "confused",
        "false-matches",
        "false-non-matches",
        "training",
    ]
    assert all(section.lacks for section in page.SECTIONS if section.key in lacking)


def test_people_of_one_picture_are_people():
    run = made_run()
    labels = np.concatenate([run.labels[:-3], [6, 7, 8]])
    people = [*run.about.people, "G", "H", "I"]
    assert rows(undrawn(replace(changed(run, people=people), labels=labels)))["people"] == ["9"]


def test_a_folder_that_cannot_be_made_is_said(plots, tmp_path):
    (tmp_path / "report_figures").write_text("in the way")
    with pytest.raises(OutputError, match="report_figures: cannot make this folder"):
        write_report([bare_run()], tmp_path / "report.html")


def test_a_missing_package_is_said(monkeypatch, tmp_path):
    import sys

    import visavis.report

    monkeypatch.delattr(visavis.report, "figures", raising=False)
    monkeypatch.delitem(sys.modules, "visavis.report.figures", raising=False)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    with pytest.raises(OutputError, match=r'report needs matplotlib.*: pip install "\.\[plots\]"'):
        write_report([made_run()], tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_the_projectors_tables(tmp_path):
    run = made_run(people=("Anna\tA\n", "Bert"), pictures=2, failed=(1,))
    run = replace(run, labels=np.array([0, 0, 1, -1]))
    vectors, meta = write_projector(run, tmp_path / "new" / "folder")
    assert (vectors.name, meta.name) == ("vecs.tsv", "meta.tsv")
    assert np.loadtxt(vectors, delimiter="\t") == pytest.approx(run.embeddings[[0, 2, 3]], abs=1e-5)
    lines = meta.read_text(encoding="utf-8").splitlines()
    assert lines[:3] == [
        "person\tpicture",
        "Anna A\tAnna A /Anna A _0000.jpg",
        "Bert\tBert/Bert_0002.jpg",
    ]
    assert lines[3] == "\tBert/Bert_0003.jpg"


@pytest.mark.parametrize("run", [made_run(failed=(3,)), bare_run()], ids=["full", "bare"])
def test_a_run_comes_back_as_it_was(run, tmp_path):
    save_run(tmp_path / "run.npz", run)
    found = load_run(tmp_path / "run.npz")
    assert found.about == run.about
    for field in fields(Run):
        if field.name != "about":
            one, other = getattr(found, field.name), getattr(run, field.name)
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.filterwarnings("ignore:unclosed file", "ignore:Exception ignored")  # np.load's
@pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
def test_a_truncated_run_is_refused(kept, tmp_path):
    path = tmp_path / "run.npz"
    save_run(path, made_run())
    data = path.read_bytes()
    path.write_bytes(data[: kept if kept in (0, 1, 100) else int(kept * len(data))])
    with pytest.raises(
        DatasetError, match=r"run\.npz: expected a result that visavis evaluate wrote"
    ):
        load_run(path)


def test_a_foreign_file_is_refused(tmp_path):
    np.savez(tmp_path / "foreign.npz", embeddings=np.zeros((2, 3)))
    (tmp_path / "text.npz").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "zip.npz", "w") as file:
        file.writestr("a.txt", "no array")
    for path in tmp_path.iterdir():
        with pytest.raises(DatasetError, match=path.name):
            load_run(path)
    with pytest.raises(DatasetError, match=r"none\.npz"):
        load_run(tmp_path / "none.npz")


def test_the_verb(plots, run, tmp_path):
    for name in ("one", "two"):
        save_run(tmp_path / f"{name}.npz", changed(bare_run(), name=name))
    files = [tmp_path / "one.npz", tmp_path / "two.npz"]
    out, folder = tmp_path / "out.html", tmp_path / "projector"
    code, printed, _ = run("report", *files, "--out", out, "--projector", folder, "--json")
    assert code == 0
    document = json.loads(printed)
    assert str(out) in document["files"]
    assert {str(folder / "1" / "vecs.tsv"), str(folder / "2" / "meta.tsv")} <= set(
        document["files"]
    )
    assert [one["name"] for one in document["runs"]] == ["one", "two"]
    assert document["runs"][0]["metrics"]["same pairs"] == 36
    code, printed, _ = run("report", files[0], "--out", out, "--projector", folder)
    assert code == 0
    assert printed.startswith("1 run, ")
    assert (folder / "vecs.tsv").is_file()


def test_the_verb_refuses_what_is_no_result(run, tmp_path):
    (tmp_path / "no.npz").write_text("no")
    code, _, words = run("report", tmp_path / "no.npz", "--out", tmp_path / "out.html")
    assert code == 2
    assert "expected a result that visavis evaluate wrote" in words
