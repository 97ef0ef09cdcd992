"""Folders and zips, pairs.txt, people and their label errors, photos by the folder."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from visavis.dataset import (
    apply_exclusions,
    find_people,
    find_photos,
    open_tree,
    read_pairs,
    without,
)
from visavis.dataset.pairs import by_person
from visavis.dataset.tree import tree_sha256
from visavis.errors import DatasetError

FILES = [
    "set/Ann/Ann_0001.jpg",
    "set/Ann/Ann_0002.JPG",
    "set/Bob/Bob_0001.png",
    "set/Cy_Lee/.hidden.jpg",
    "set/Cy_Lee/Cy_Lee_0010.jpg",
    "set/Cy_Lee/notes.txt",
    "set/pairs.txt",
]


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "faces"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    return root


@pytest.fixture
def zipped(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "faces.zip", "w") as file:
        file.mkdir("set")
        for name in reversed(FILES):
            file.write(folder / name, name)
    return tmp_path / "faces.zip"


def test_a_folder_and_a_zip_give_the_same(folder, zipped):
    for tree in (open_tree(folder), open_tree(zipped)):
        assert tree.names() == FILES
        assert tree.read(FILES[2]) == FILES[2].encode()
        assert tree.source in (str(folder), str(zipped))
    hashes = {tree_sha256(open_tree(path), FILES) for path in (folder, zipped)}
    assert len(hashes) == 1
    assert tree_sha256(open_tree(folder), FILES[:2]) not in hashes


def test_a_missing_file_of_a_tree_is_an_error(folder, zipped):
    for path in (folder, zipped):
        with pytest.raises(DatasetError, match=r"none\.jpg"):
            open_tree(path).read("set/none.jpg")


def test_what_is_no_tree_is_an_error(folder):
    with pytest.raises(DatasetError, match="no such folder or zip"):
        open_tree(folder / "none")
    with pytest.raises(DatasetError, match="expected a folder or a zip"):
        open_tree(folder / FILES[0])


def test_pairs_by_hand(folder, zipped):
    text = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t1\n\nBob\t1\tAnn\t2\nCy_Lee\t10\tAnn\t2\n"
    for path in (folder, zipped):
        pairs = read_pairs(text, open_tree(path))
        ann1, ann2, bob, lee = (FILES[row] for row in (0, 1, 2, 4))
        assert pairs.names == (ann1, ann2, bob, lee)  # as they come up, each once
        assert pairs.left.tolist() == [0, 0, 2, 3]
        assert pairs.right.tolist() == [1, 2, 1, 1]
        assert pairs.same.tolist() == [True, False, False, False]
        assert pairs.fold.tolist() == [0, 0, 1, 1]
        assert pairs.lines.tolist() == [2, 3, 5, 6]
        assert pairs.labels.tolist() == [0, 0, 1, 2]
        assert (pairs.source, pairs.skipped) == ("pairs.txt", 0)
        assert pairs.where(2) == f"pairs.txt, line 3: {bob}"


@pytest.mark.parametrize("text", ["1\nAnn 1 2\nAnn 1 Bob 1", "1 1\r\nAnn 1 2\r\nAnn 1 Bob 1\r\n"])
def test_spaces_and_a_single_fold_are_read_too(folder, text):
    pairs = read_pairs(text, open_tree(folder))
    assert (pairs.fold.tolist(), pairs.same.tolist()) == ([0, 0], [True, False])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"list, line 1: expected folds and pairs as in '10 300', got ''"),
        ("ten\t300\n", r"line 1: expected folds and pairs .*got 'ten\\t300'"),
        ("1 2 3\n", "line 1: expected folds and pairs"),
        ("-1 300\n", "line 1: expected folds and pairs"),
        ("0 300\nAnn 1 2\n", "line 1: expected at least 1 fold"),
        ("1 1\nAnn 1 2\nAnn 1\n", r"line 3: expected 'person i j' or .*got 'Ann 1'"),
        ("1 1\nAnn one 2\n", "line 2: expected 'person i j'"),
        ("1 1\nAnn 1 Bob\n", "line 2: expected 'person i j'"),
        ("1 1\nAnn 1 2 Bob 1\n", "line 2: expected 'person i j'"),
        ("1 1\n\n\nAnn 1 7\n", "line 4: no picture Ann/Ann_0007 in .*faces"),
        ("1 1\nAnn 1 Dan 1\n", "line 2: no picture Dan/Dan_0001"),
        ("10 300\nAnn 1 2\n", "list: expected 10 folds of equal size, got 1 pairs"),
        ("2 1\nAnn 1 2\nAnn 2 1\nAnn 1 Bob 1", "expected 2 folds of equal size, got 3 pairs"),
        ("1 1\n", "expected 1 folds of equal size, got 0 pairs"),
        ("1 1\nAnn 1 2\nAnn 1 2\n", "line 3: the pair set/Ann/Ann_0001.jpg .* is that of line 2"),
        ("1 1\nAnn 1 2\n\nAnn 2 1\n", r"line 4: the pair .*_0002\.JPG .* is that of line 2"),
        ("1 1\nAnn 1 Ann 2\nAnn 1 2\n", "line 3: .* is that of line 2"),
        ("1 1\nAnn 1 1\n", r"line 2: the pair .*_0001\.jpg .*_0001\.jpg is that of itself"),
    ],
)
def test_a_bad_line_is_named(folder, text, message):
    with pytest.raises(DatasetError, match=message):
        read_pairs(text, open_tree(folder), "list")


def test_two_pictures_of_one_number_are_an_error(folder):
    (folder / "set/Bob/Bob_0001.jpg").touch()
    with pytest.raises(
        DatasetError, match=r"line 2: 2 pictures Bob/Bob_0001 in .*\.png\): keep one"
    ):
        read_pairs("1 1\nBob 1 Ann 1\n", open_tree(folder))


def test_a_person_in_two_folders_of_one_name_is_found_by_the_number(folder):
    (folder / "more/Ann").mkdir(parents=True)
    (folder / "more/Ann/Ann_0003.jpg").touch()
    pairs = read_pairs("1\nAnn 1 3\n", open_tree(folder))
    assert pairs.names == (FILES[0], "more/Ann/Ann_0003.jpg")
    (folder / "more/Ann/Ann_0001.jpg").touch()
    with pytest.raises(DatasetError, match="2 pictures Ann/Ann_0001 in"):
        read_pairs("1\nAnn 1 3\n", open_tree(folder))


def test_bad_lines_can_be_skipped_and_are_counted(folder):
    text = "2 2\nAnn 1 2\nAnn 1 7\nAnn 1\nAnn 2 1\nBob 1 Ann 1\nBob 1 1\n"
    pairs = read_pairs(text, open_tree(folder), skip_bad=True)
    assert (pairs.skipped, pairs.lines.tolist()) == (4, [2, 6])
    assert pairs.fold.tolist() == [0, 1]  # the fold is the line's, whatever is left out
    with pytest.raises(
        DatasetError, match=r"pairs\.txt: expected pairs, found none that can be us"
    ):
        read_pairs("1 1\nAnn 1 7\n", open_tree(folder), skip_bad=True)


def test_some_of_the_pairs_are_kept_and_the_others_counted(folder):
    pairs = read_pairs("1 1\nAnn 1 2\nAnn 1 Bob 1\n", open_tree(folder))
    kept = pairs.keep(np.array([False, True]))
    assert (kept.names, kept.skipped, kept.lines.tolist()) == (pairs.names, 1, [3])
    assert kept.where(0) == f"pairs.txt, line 3: {FILES[0]}"
    assert kept.where(1) == FILES[1]  # no line that is left names it


def test_pictures_are_found_by_folder_and_stem():
    found = by_person(["a/Ann/Ann_0001.jpg", "b/Ann/Ann_0001.png", "c/Ann.jpg", "Bob/notes.txt"])
    assert found == {
        ("Ann", "Ann_0001"): ["a/Ann/Ann_0001.jpg", "b/Ann/Ann_0001.png"],
        ("c", "Ann"): ["c/Ann.jpg"],
    }


def test_people_are_folders_of_pictures(folder, zipped):
    for path in (folder, zipped):
        people = find_people(open_tree(path))
        assert people.names == ("Ann", "Bob", "Cy_Lee")
        assert people.pictures == tuple(FILES[row] for row in (0, 1, 2, 4))
        assert people.labels.tolist() == [0, 0, 1, 2]


def test_one_folder_of_pictures_is_not_people(tmp_path):
    for name in ("Ann/Ann_0001.jpg", "Bob/notes.txt", "loose.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match="a folder of pictures for each person, found 1"):
        find_people(open_tree(tmp_path))


@pytest.mark.parametrize(
    ("excluded", "names", "labels"),
    [
        (set(), ("Ann", "Bob", "Cy_Lee"), [0, 0, 1, 2]),
        ({"Ann_0002"}, ("Ann", "Bob", "Cy_Lee"), [0, 1, 2]),
        ({"Ann"}, ("Bob", "Cy_Lee"), [0, 1]),
        ({"Bob_0001"}, ("Ann", "Cy_Lee"), [0, 0, 1]),  # the last picture of somebody
        ({"Nobody"}, ("Ann", "Bob", "Cy_Lee"), [0, 0, 1, 2]),
    ],
)
def test_people_without_some(folder, excluded, names, labels):
    people = without(find_people(open_tree(folder)), excluded)
    assert people.names == names
    assert people.labels.tolist() == labels
    assert len(people.pictures) == len(labels)


def excluded(folder, text):
    path = folder / "errors.csv"
    path.write_text(text)
    return apply_exclusions(find_people(open_tree(folder)), path)


def test_label_errors_are_people_of_two_names_and_wrong_pictures(folder):
    people = excluded(folder, "a,b,reason\nAnn_0001,,is Bob\nBob , Cy_Lee,married\n")
    assert people.pictures == (FILES[1], FILES[2], FILES[4])
    assert people.names == ("Ann", "Bob", "Cy_Lee")
    assert people.one_person == ((1, 2),)


def test_two_names_of_one_person_follow_when_rows_move(folder):
    people = excluded(folder, "a,b,reason\nBob,Cy_Lee,married\n")
    assert without(people, {"Ann"}).one_person == ((0, 1),)
    assert without(people, {"Bob"}).one_person == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b,reason\nAnn,Bob,x\nAnn,Dan,x\n", r"errors\.csv, line 3: .*got Ann,Dan"),
        ("a,b,reason\nAnn_0009,,x\n", r"line 2: .*got Ann_0009,"),
        ("a,b,reason\nAnn,,a folder is no picture\n", r"line 2: .*got Ann,"),
        ("a,b,reason\nAnn,Bob,\n", "line 2: expected known names and a reason"),
        ("a,b\nAnn,Bob\n", "no column reason; expected a CSV with columns a, b, reason"),
        ("a,b,reason\nAnn\n", "line 2: expected known names and a reason"),
    ],
)
def test_a_label_error_that_fits_nobody_is_named(folder, text, message):
    with pytest.raises(DatasetError, match=message):
        excluded(folder, text)


def test_a_list_of_label_errors_that_is_missing_is_an_error(folder):
    with pytest.raises(DatasetError, match=r"none\.csv: cannot read"):
        apply_exclusions(find_people(open_tree(folder)), folder / "none.csv")


PHOTOS = [FILES[row] for row in (0, 1, 2, 4)]


def test_photos_of_a_folder_at_any_depth_without_hidden_and_other_files(folder):
    assert find_photos([folder]) == [folder / name for name in PHOTOS]
    assert find_photos([str(folder / "set" / "Bob"), folder / "set" / "Ann"]) == [
        folder / name for name in (FILES[2], FILES[0], FILES[1])
    ]


def test_photos_by_name_and_by_pattern(folder, monkeypatch):
    monkeypatch.chdir(folder)
    strange = folder / "set" / "odd[1].txt"
    strange.touch()
    assert find_photos([strange, "missing.jpg"]) == [strange, Path("missing.jpg")]
    assert [path.as_posix() for path in find_photos(["set/*/*_0001.*"])] == [FILES[0], FILES[2]]
    assert [path.name for path in find_photos(["**/Cy*.jpg"])] == ["Cy_Lee_0010.jpg"]


def test_nothing_found_is_an_error(folder):
    (folder / "empty").mkdir()
    for source in (folder / "empty", folder / "*.gif"):
        with pytest.raises(DatasetError, match="no photos here: they may be JPEG"):
            find_photos([source])


@pytest.mark.timeout(20)
def test_a_link_to_the_folder_it_lies_in_is_not_followed(folder):
    os.symlink(folder, folder / "set" / "loop")
    assert find_photos([folder]) == [folder / name for name in PHOTOS]
    assert open_tree(folder).names() == FILES


def test_labels_are_rows_of_names(folder):
    people = find_people(open_tree(folder))
    shown = np.array(people.names)[people.labels]
    assert shown.tolist() == ["Ann", "Ann", "Bob", "Cy_Lee"]
