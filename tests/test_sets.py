"""Verification sets by their path: which reader, which list, and lists of flags."""

import pickle
import zipfile

import pytest
from test_cfp import cfp  # noqa: F401  a fixture

from visavis.dataset import open_pairs, open_tree
from visavis.dataset.verification import read_flagged
from visavis.errors import DatasetError

NAMES = ("Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Bob/Bob_0001.jpg", "Bob/Bob_0002.jpg")
LFW = "1\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\n"


@pytest.fixture
def faces(tmp_path):
    root = tmp_path / "there" / "faces"
    for name in NAMES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


def shown(pairs):
    return [
        (pairs.names[left], pairs.names[right], bool(same))
        for left, right, same in zip(pairs.left, pairs.right, pairs.same, strict=True)
    ]


BOTH = [(NAMES[0], NAMES[1], True), (NAMES[0], NAMES[2], False)]


@pytest.mark.parametrize("name", ["pairs.txt", "xqlfw_pairs.txt", "lists/pairs.txt"])
def test_the_list_in_the_folder_is_found(faces, name):
    (faces / name).parent.mkdir(exist_ok=True)
    (faces / name).write_text(LFW)
    (faces / "._pairs.txt").write_text("what another system leaves in a folder")
    tree, pairs = open_pairs(faces)
    assert (tree.source, pairs.source, shown(pairs)) == (str(faces), name, BOTH)


def test_a_list_beside_the_folder_is_found_where_there_is_none_in_it(faces):
    beside = faces.parent / "any_pairs.txt"
    beside.write_text(LFW)
    _, pairs = open_pairs(faces)
    assert (pairs.source, shown(pairs)) == (str(beside), BOTH)
    (faces / "pairs.txt").write_text("1\nBob 1 2\n")
    assert shown(open_pairs(faces)[1]) == [(NAMES[2], NAMES[3], True)]


def test_xqlfw_as_it_is_distributed(faces, tmp_path):
    archive = tmp_path / "xqlfw_aligned_112.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in NAMES:
            file.write(faces / name, f"xqlfw_aligned_112/{name}")
    (tmp_path / "xqlfw_pairs.txt").write_text(LFW)
    tree, pairs = open_pairs(archive)
    assert shown(pairs) == [
        (f"xqlfw_aligned_112/{a}", f"xqlfw_aligned_112/{b}", same) for a, b, same in BOTH
    ]
    assert tree.read(pairs.names[2]) == NAMES[2].encode()
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("xqlfw_aligned_112/xqlfw_pairs.txt", "1\nBob 1 2\n")
    assert open_pairs(archive)[1].source == "xqlfw_aligned_112/xqlfw_pairs.txt"


def test_several_lists_or_none_are_an_error(faces):
    with pytest.raises(DatasetError, match=r"faces: expected one pairs.txt .*found none: name the"):
        open_pairs(faces)
    for name in ("pairs.txt", "more_pairs.txt"):
        (faces / name).write_text(LFW)
    with pytest.raises(DatasetError, match=r"found more_pairs\.txt, pairs\.txt: name") as caught:
        open_pairs(faces)
    assert caught.value.option == "pairs"
    assert shown(open_pairs(faces, pairs=faces / "pairs.txt")[1]) == BOTH


def test_a_list_that_cannot_be_read_is_an_error(faces):
    (faces / "list").write_bytes(b"\xff\xfa")
    for name, said in (("none.txt", ": cannot read"), ("list", ", line 1: expected UTF-8")):
        with pytest.raises(DatasetError, match=f"{name}{said}"):
            open_pairs(faces, pairs=faces / name)


def test_a_bin_holds_its_own_pairs(tmp_path):
    path = tmp_path / "lfw.BIN"
    path.write_bytes(pickle.dumps(([b"a", b"b"], [True])))
    tree, pairs = open_pairs(path)
    assert (tree.read("00001.jpg"), pairs.same.tolist()) == (b"b", [True])
    for options in ({"pairs": path}, {"protocol": "FP"}):
        with pytest.raises(DatasetError, match="holds its own pairs; got also "):
            open_pairs(path, **options)


def test_cfp_is_asked_for_by_its_protocol(cfp):  # noqa: F811
    _, pairs = open_pairs(cfp, protocol="FP")
    assert (len(pairs.same), pairs.source) == (40, "Protocol/Split/FP")
    with pytest.raises(DatasetError, match="expected a list or a protocol"):
        open_pairs(cfp, pairs=cfp / "pairs.txt", protocol="FP")


def test_skip_bad_reaches_every_reader(faces, tmp_path):
    (faces / "pairs.txt").write_text("1\nAnn 1 2\nAnn 1 9\n")
    assert open_pairs(faces, skip_bad=True)[1].skipped == 1
    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(([b"a", b"b", b"", b"b"], [True, True])))
    assert open_pairs(path, skip_bad=True)[1].skipped == 1
    (faces / "flags.txt").write_text(f"{NAMES[0]} {NAMES[1]} 1\n{NAMES[0]} none 1\n")
    assert open_pairs(faces, pairs=faces / "flags.txt", skip_bad=True)[1].skipped == 1


@pytest.mark.parametrize(
    "text",
    [
        "Ann/Ann_0001.jpg Ann/Ann_0002.jpg 1\nAnn/Ann_0001.jpg Bob/Bob_0001.jpg 0\n",
        "\nAnn_0001 Ann_0002 1\r\n\r\nAnn_0001\tBob_0001\t0\r\n",
        "./Ann/Ann_0001 Ann_0002.jpg 1\nAnn_0001.jpg Bob/Bob_0001 0",
    ],
)
def test_lists_of_flags_find_pictures_by_the_end_of_their_path(faces, text):
    (faces / "pairs.txt").write_text(text)
    _, pairs = open_pairs(faces)
    assert shown(pairs) == BOTH
    assert (pairs.labels, pairs.fold.tolist()) == (None, [0, 0])


def test_a_flag_says_who_is_whom_whatever_the_folders_are(faces):
    pairs = read_flagged("Ann_0001 Ann_0002 0\nAnn_0001 Bob_0001 1\n", open_tree(faces))
    assert pairs.same.tolist() == [False, True]


def test_ten_flags_are_ten_folds(faces):
    names = ("Ann_0001", "Ann_0002", "Bob_0001", "Bob_0002")
    lines = [f"{a} {b} 1" for a in names for b in names if a < b]
    assert read_flagged("\n".join(lines), open_tree(faces)).fold.tolist() == [0] * 6
    for n in range(3, 6):
        (faces / f"Ann/Ann_000{n}.jpg").touch()
    lines += [f"Ann_0001 Ann_000{n} 1" for n in range(3, 6)] + ["Bob_0001 Ann_0003 0"]
    assert read_flagged("\n".join(lines), open_tree(faces)).fold.tolist() == [*range(10)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ann_0001 Ann_0002 1\nAnn_0001 Bob_0001\n", "line 2: expected two pictures and 1 or 0, o"),
        ("Ann_0001 Ann_0002 1\nAnn_0001 Bob_0001 2\n", "line 2: expected two pictures and 1 or 0"),
        ("Ann_0001 Ann_0009 1\n", "list, line 1: no picture Ann_0009 in .*faces"),
        ("0001 Ann_0002 1\n", "line 1: no picture 0001"),
        ("Ann_0001 Ann_0001 1\n", "line 1: the pair .* is that of itself"),
        ("Ann_0001 Bob_0001 1\n\nBob_0001 Ann_0001.jpg 0\n", "line 3: the pair .* that of line 1"),
        (
            "Cy Ann_0001 0\n",
            r"line 1: 2 pictures Cy in .* \(Ann/Cy\.jpg, Bob/Cy\.jpg\): write",
        ),
    ],
)
def test_a_bad_line_is_named(faces, text, message):
    for folder in ("Ann", "Bob"):
        (faces / folder / "Cy.jpg").touch()
    with pytest.raises(DatasetError, match=message):
        read_flagged(text, open_tree(faces), "list")
