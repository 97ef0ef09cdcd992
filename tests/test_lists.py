"""Lists of pairs and rosters as other tools and spreadsheets save them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from visavis.dataset import open_pairs, open_tree
from visavis.dataset.flagged import read_flagged
from visavis.dataset.lists import read_table, rows_of
from visavis.dataset.pairs import FORMS
from visavis.enrollment import Candidate, from_roster
from visavis.errors import DatasetError

CASES = Path("fixtures/cases")
A1, A2, B1 = "Ann Lee/Ann Lee_0001.jpg", "Ann Lee/Ann Lee_0002.jpg", "Bo/Bo_0001.jpg"
EXPECTED = [(A1, A2, True), (A1, B1, False)]


@pytest.fixture
def people(tmp_path) -> Path:
    folder = tmp_path / "people"
    for number, name in enumerate((A1, A2, B1)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(0, 256, (112, 112, 3), np.uint8)
        Pillow.fromarray(noise).save(path, quality=90)
    return folder


def lines(first: str, second: str, *, header: str = "", between: str = ",") -> str:
    """Both pairs, with these labels."""
    head = f"{header}\n" if header else ""
    return f"{head}{between.join((A1, A2, first))}\n{between.join((A1, B1, second))}\n"


BACK = lines("1", "0", between="\t").replace("/", "\\")
LISTS = {
    "lfw": "1 1\nAnn Lee\t1\t2\nAnn Lee\t1\tBo\t1\n",
    "comma": lines("1", "0"),
    "tab": lines("1", "0", between="\t"),
    "semicolon": lines("1", "0", between=";"),
    "spaces around": lines("1", "0", between=" , "),
    "no spaces in names": "Ann_1.jpg Ann_2.jpg 1\nAnn_1 Bo_0001 0\n",
    "quotes": f'"{A1}","{A2}","1"\n"{A1}","{B1}","0"\n',
    "header": lines("1", "0", header="a,b,label"),
    "header of DeepFace": lines("Yes", "No", header="file_x,file_y,Decision"),
    "header of pandas": f",x,y,same\n0,{A1},{A2},1\n1,{A1},{B1},0\n",
    "label first": f"match,left,right\n1,{A1},{A2}\n0,{A1},{B1}\n",
    "header and blank lines": lines("1", "0", header="\na,b,label\n"),
    "sep=": "sep=;\n" + lines("1", "0", between=";"),
    "-1": lines("1", "-1"),
    "1.0": lines("1.0", "0.0"),
    "yes": lines("yes", "NO"),
    "true": lines("True", "False"),
    "same": lines("same", "different"),
    "genuine": lines("genuine", "impostor"),
    "backslashes": BACK,
    "drive": lines("1", "0").replace("Bo/", "Bo\\"),
    "windows lines": lines("1", "0").replace("\n", "\r\n"),
}


def shown(folder: Path, path: Path) -> list[tuple[str, str, bool]]:
    _, pairs = open_pairs(folder, pairs=path)
    return [
        (pairs.names[left], pairs.names[right], bool(same))
        for left, right, same in zip(pairs.left, pairs.right, pairs.same, strict=True)
    ]


@pytest.mark.parametrize("name", LISTS)
def test_a_list_is_read_as_people_write_it(name, people, tmp_path):
    path = tmp_path / "list.txt"
    text = LISTS[name]
    if "Ann_1" in text:
        for old, new in ((A1, "Ann_1.jpg"), (A2, "Ann_2.jpg")):
            (people / old).rename(people / new)
        renamed = {A1: "Ann_1.jpg", A2: "Ann_2.jpg"}
        expected = [(renamed[a], renamed.get(b, b), same) for a, b, same in EXPECTED]
    else:
        expected = EXPECTED
    path.write_bytes(text.encode())
    assert shown(people, path) == expected


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["lfw", "comma", "header of DeepFace"])
def test_a_list_s_first_bytes_say_how_it_is_written(name, encoding, people, tmp_path):
    path = tmp_path / "list.txt"
    mark = "\ufeff" if encoding.endswith("e") else ""
    path.write_bytes((mark + LISTS[name]).encode(encoding))
    assert shown(people, path) == EXPECTED


@pytest.mark.parametrize("name", ["pairs_deepface.csv", "pairs_header.csv", "pairs_backslash.txt"])
def test_a_list_of_another_tool_is_read(name, people, data):
    assert shown(people, data / CASES / name) == EXPECTED


@pytest.mark.pack
@pytest.mark.slow
@pytest.mark.parametrize("name", ["pairs_deepface.csv", "pairs_header.csv", "pairs_backslash.txt"])
def test_a_list_of_another_tool_is_evaluated(name, people, data, run):
    code, out, err = run("evaluate", "--images", people, "--pairs", data / CASES / name, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["pairs"] == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: expected folds and pairs as in '10 300', got ''"),
        ("left right\n", "line 1: expected folds and pairs"),
        ("Ann Lee 1 2\n", "expected columns for two pictures and a label, got Ann, Lee, 1, 2"),
        ("a,b,c,d\nx,y,z,1\n", "expected columns for two pictures and a label, got a, b, c, d"),
        (lines("1", "maybe"), "line 2: expected two pictures and 1 or 0"),
        (lines("maybe", "1"), "line 1: expected two pictures and 1 or 0"),
        (lines("1", "0", header="a,b,label") + f"{A1},{A2}\n", "line 4: expected two pictures"),
        ("1 1\nAnn Lee,1,2\n", "line 2: expected 'person i j' or 'person i person j'"),
    ],
)
def test_a_list_of_no_form_shows_both(text, said, people, tmp_path):
    path = tmp_path / "list.txt"
    path.write_text(text)
    with pytest.raises(DatasetError) as refused:
        open_pairs(people, pairs=path)
    assert said in refused.value.what
    assert refused.value.mend == FORMS


def test_a_header_is_no_pair_and_lines_keep_their_numbers(people):
    text = f"a,b,label\n\n{A1},{A2},1\n{A1},none.jpg,0\n"
    with pytest.raises(DatasetError, match=r"list, line 4: no picture none\.jpg"):
        read_flagged(text, open_tree(people), "list")
    assert read_flagged(text, open_tree(people), skip_bad=True).lines.tolist() == [3]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n", [(1, ["a", "b"]), (2, ["1", "2"])]),
        ("a;b\n1,5;2\n", [(1, ["a", "b"]), (2, ["1,5", "2"])]),
        ("a\tb\n\n;\n1\t2\n", [(1, ["a", "b"]), (3, [";"]), (4, ["1", "2"])]),
        ("a|b\n |\n1|2", [(1, ["a", "b"]), (3, ["1", "2"])]),
        ("sep=|\na|b\n", [(2, ["a", "b"])]),
        ('a,b\n"1\n2",3\n4,5\n', [(1, ["a", "b"]), (3, ["1\n2", "3"]), (4, ["4", "5"])]),
        ("", []),
    ],
)
def test_rows_by_the_separator_of_the_first(text, rows):
    assert rows_of(text, "list") == rows


ZOE = "Zoë Kaya,Bo/Bo_0001.jpg"
ROSTERS = {
    "comma": f"name,photo\n{ZOE}\n",
    "semicolon": f"name;photo\n{ZOE}\n".replace(",", ";"),
    "tab": f"name,photo\n{ZOE}\n".replace(",", "\t"),
    "sep=": f"sep=;\nname;photo\n{ZOE}\n".replace(",", ";"),
    "capitals": f"NAME,Photo\n{ZOE}\n",
    "spaces": "name , photo\n Zoë Kaya , Bo/Bo_0001.jpg \n",
    "blank lines": f"\nname,photo\n\n,\n{ZOE}\n , \n\n",
    "order": "Photo,Department,Name\nBo/Bo_0001.jpg,Sales,Zoë Kaya\n",
    "windows lines": f"name,photo\r\n{ZOE}\r\n",
}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", ROSTERS)
def test_a_roster_is_read_as_spreadsheets_save_it(name, encoding, people):
    path = people / "roster.csv"
    path.write_bytes(ROSTERS[name].encode(encoding))
    assert from_roster(path) == [Candidate("Zoë Kaya", people / B1)]


def test_a_semicolon_roster_of_a_spreadsheet_is_read(people, data):
    path = people.parent / "roster.csv"
    path.write_bytes((data / CASES / "roster_semicolon.csv").read_bytes())
    assert from_roster(path) == [Candidate("Zoë Kaya", people / B1)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            b"name,photo\nZo\xeb,a.jpg\n",
            "line 2: expected UTF-8, got the byte 0xeb, as Win",
        ),
        (b"n\0a\0m\0e\0", "expected text, got zero bytes, as UTF-16 without its mark"),
        (b"name,path\nAnn,a.jpg\n", "no column photo; expected a CSV with columns name, photo and"),
        (b"Vorname;Foto\nAnn;a.jpg\n", "no column name, photo; .* got vorname, foto"),
        (b"", "no column name, photo; .* got nothing"),
        (b"name,photo,Name\nAnn,a.jpg,Bo\n", "expected each column once, got name twice"),
        (b"name,photo\n\nAnn,a.jpg,x\n", "line 3: expected 2 cells, as the header has, got 3"),
        (b"name,photo\nAnn\n", "line 2: expected a name and a photo"),
    ],
)
def test_a_roster_that_cannot_be_read_says_why(text, said, people, run):
    path = people / "roster.csv"
    path.write_bytes(text)
    with pytest.raises(DatasetError, match=said):
        from_roster(path)
    code, out, err = run("enroll", "--roster", path)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_windows_1252_is_named_with_the_way_out(data):
    with pytest.raises(DatasetError) as refused:
        from_roster(data / CASES / "roster_cp1252.csv")
    assert "as Windows-1252 has it" in refused.value.what
    assert refused.value.mend.endswith("iconv -f WINDOWS-1252 -t UTF-8")


def test_a_short_row_lacks_its_last_cells(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("A;b;C\n1;2\n")
    assert read_table(path, ("a",)) == [(2, {"a": "1", "b": "2", "c": ""})]
