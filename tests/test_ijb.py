"""The lists of IJB-B and IJB-C, from a made set."""

import numpy as np
import pytest

from visavis.dataset.ijb import read_ijb
from visavis.errors import DatasetError

POINTS = "38.3 51.7 73.5 51.5 56.0 71.7 41.5 92.4 70.7 92.2"
# Templates 10 and 11 are the galleries', 20 ... 22 probes; 20 has two pictures of media 5.
MEMBERS = ["1.jpg 10 1", "2.jpg 11 2", "3.jpg 20 5", "4.jpg 20 5", "5.jpg 21 7", "6.jpg 22 8"]
SCORES = (1.0, 0.5, 0.75, 0.25, 0.5, 1.0)
PAIRS = ["10 20 1", "10 21 0", "11 21 1", "11 20 0"]
HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID"
LISTS = {
    "face_tid_mid.txt": MEMBERS,
    "name_5pts_score.txt": [f"{i}.jpg {POINTS} {score}" for i, score in enumerate(SCORES, 1)],
    "template_pair_label.txt": PAIRS,
    "1N_gallery_G1.csv": [HEADER, "10,100,img/1.jpg,1"],
    "1N_gallery_G2.csv": [HEADER, "11,101,img/2.jpg,2"],
    "1N_probe_mixed.csv": [HEADER, "20,100,a,3", "20,100,b,4", "21,101,c,5", "22,102,d,6"],
}


def write_ijb(folder, lists=LISTS, *, stem="ijbc", pictures=range(1, 7)):
    """A set in a folder; its pictures are empty files."""
    (folder / "meta").mkdir()
    (folder / "loose_crop").mkdir()
    for name, lines in lists.items():
        path = folder / "meta" / f"{stem}_{name}"
        path.write_text("".join(f"{line}\n" for line in lines))
    for number in pictures:
        (folder / "loose_crop" / f"{number}.jpg").touch()
    return folder


def test_the_lists_of_a_small_set(tmp_path):
    ijb = read_ijb(write_ijb(tmp_path))
    assert ijb.names == ("1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.jpg", "6.jpg")
    assert ijb.templates.tolist() == [10, 11, 20, 21, 22]
    assert ijb.template.tolist() == [0, 1, 2, 2, 3, 4]
    assert ijb.media.tolist() == [1, 2, 5, 5, 7, 8]
    assert ijb.scores.tolist() == list(SCORES)
    assert ijb.landmarks.shape == (6, 5, 2)
    assert ijb.landmarks[0, 4].tolist() == pytest.approx([70.7, 92.2])
    assert ijb.pairs.left.tolist() == [0, 0, 1, 1]
    assert ijb.pairs.right.tolist() == [2, 3, 3, 2]
    assert ijb.pairs.same.tolist() == [True, False, True, False]
    assert ijb.galleries["G1"].templates.tolist() == [0]
    assert ijb.galleries["G2"].people.tolist() == [101]
    assert ijb.probes.templates.tolist() == [2, 3, 4]
    assert ijb.probes.people.tolist() == [100, 101, 102]
    assert ijb.where(3).endswith("ijbc_name_5pts_score.txt, line 4: 4.jpg")
    assert ijb.skipped == 0


def test_ijb_b_has_galleries_of_its_own(tmp_path):
    lists = {name.replace("_G", "_S"): lines for name, lines in LISTS.items()}
    assert list(read_ijb(write_ijb(tmp_path, lists, stem="ijbb")).galleries) == ["S1", "S2"]


def test_a_set_may_be_without_lists_of_searches(tmp_path):
    lists = {name: lines for name, lines in LISTS.items() if "1N" not in name}
    ijb = read_ijb(write_ijb(tmp_path, lists))
    assert (ijb.galleries, ijb.probes) == ({}, None)


def test_the_lists_of_pictures_may_differ_in_order(tmp_path):
    ijb = read_ijb(write_ijb(tmp_path, LISTS | {"face_tid_mid.txt": MEMBERS[::-1]}))
    assert ijb.template.tolist() == [0, 1, 2, 2, 3, 4]


def edited(name, line, text):
    """The lists with one line another."""
    lines = list(LISTS[name])
    lines[line - 1] = text
    return LISTS | {name: lines}


MEMBER, POINT, PAIR = "face_tid_mid.txt", "name_5pts_score.txt", "template_pair_label.txt"
PROBE = "1N_probe_mixed.csv"
UNNAMED = ("3.jpg", f"2.jpg {POINTS} 1", f"9.jpg {POINTS} 1")  # after which 3.jpg has no points
BAD_LINES = [
    (MEMBER, 4, "4.jpg 20", "expected 3 words, got '4.jpg 20'"),
    (MEMBER, 4, "4.jpg twenty 5", "expected the ids of a template and a media, got twenty 5"),
    (MEMBER, 4, "1.jpg 20 5", r"1\.jpg stands in line 1, too"),
    (POINT, 3, "3.jpg", "expected 12 words, got '3.jpg'"),
    (POINT, 3, f"3.jpg {POINTS} x", "expected 10 coordinates and a score"),
    (POINT, 3, f"3.jpg {POINTS} nan", "expected 10 coordinates and a score"),
    (POINT, 3, f"3.jpg {POINTS} -1", "expected 10 coordinates and a score"),
    (POINT, 3, f"2.jpg {POINTS} 1", r"2\.jpg stands in line 2, too"),
    (POINT, 3, f"9.jpg {POINTS} 1", r"9\.jpg is in no template of ijbc_face_tid_mid.txt"),
    (PAIR, 2, "10 21", "expected 3 words, got '10 21'"),
    (PAIR, 2, "10 21 0 0", "expected 3 words"),
    (PAIR, 2, "10 21 2", "expected two templates and 0 or 1, got '10 21 2'"),
    (PAIR, 2, "10 21.0 1", "expected two templates and 0 or 1"),
    (PAIR, 2, "10 99 0", "expected known templates, got 10 and 99"),
    (PAIR, 2, "99 10 0", "expected known templates, got 99 and 10"),
    (PROBE, 4, "21,?,c,5", r"expected the ids of a template and a subject, got \['21', '\?'\]"),
    (PROBE, 4, "21", r"expected the ids of a template and a subject, got \['21'\]"),
    (PROBE, 4, "99,101,c,5", "expected a known template, got 99"),
    (PROBE, 4, "20,101,c,5", "template 20 shows 100 and 101"),
]


@pytest.mark.parametrize(("name", "line", "text", "message"), BAD_LINES)
def test_a_bad_line_is_named(tmp_path, name, line, text, message):
    write_ijb(tmp_path, edited(name, line, text))
    with pytest.raises(DatasetError, match=f"ijbc_{name}, line {line}: {message}"):
        read_ijb(tmp_path)


@pytest.mark.parametrize(("name", "line", "text", "message"), BAD_LINES)
def test_a_bad_line_is_counted(tmp_path, name, line, text, message):
    ijb = read_ijb(write_ijb(tmp_path, edited(name, line, text)), skip_bad=True)
    assert ijb.skipped == 1 + (name == MEMBER or text in UNNAMED)  # and its other list's line
    assert len(ijb.names) == (5 if name in (MEMBER, POINT) else 6)
    assert len(ijb.pairs.same) == (3 if name == PAIR else 4)
    assert len(ijb.probes.people) == (2 if name == PROBE else 3)


def test_a_missing_picture_is_named_or_counted(tmp_path):
    write_ijb(tmp_path, pictures=[1, 2, 3, 5, 6])
    with pytest.raises(DatasetError, match=r"score.txt, line 4: no picture 4\.jpg in loose_crop"):
        read_ijb(tmp_path)
    ijb = read_ijb(tmp_path, skip_bad=True)
    assert ijb.names == ("1.jpg", "2.jpg", "3.jpg", "5.jpg", "6.jpg")
    assert ijb.lines.tolist() == [1, 2, 3, 5, 6]
    assert ijb.skipped == 1


def test_a_template_whose_pictures_are_missing_keeps_its_pairs(tmp_path):
    ijb = read_ijb(write_ijb(tmp_path, pictures=[1, 2, 3, 4, 6]), skip_bad=True)
    assert ijb.templates.tolist() == [10, 11, 20, 21, 22]
    assert len(ijb.pairs.same) == 4
    assert ijb.skipped == 1


def test_a_picture_without_points_is_named_by_its_own_line(tmp_path):
    write_ijb(tmp_path, LISTS | {POINT: LISTS[POINT][:5]})
    with pytest.raises(DatasetError, match=r"mid.txt, line 6: no line of 6\.jpg in ijbc_name"):
        read_ijb(tmp_path)
    assert read_ijb(tmp_path, skip_bad=True).skipped == 1


def test_empty_lines_are_no_lines(tmp_path):
    lists = {name: [*lines, ""] for name, lines in LISTS.items()}
    lists[PAIR] = ["", *lists[PAIR][:2], "", *lists[PAIR][2:]]
    assert read_ijb(write_ijb(tmp_path, lists)).pairs.same.tolist() == [True, False, True, False]


def without(name):
    return {other: lines for other, lines in LISTS.items() if other != name}


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (without(MEMBER), "expected ijbb_face_tid_mid.txt or ijbc_face_tid_mid.txt, found 0"),
        (without(POINT), "ijbc_name_5pts_score.txt: expected a list of IJB"),
        (without(PAIR), "ijbc_template_pair_label.txt: .*No such file|not found"),
        (without(PROBE), "ijbc_1N_probe_mixed.csv: expected a CSV"),
        (without("1N_gallery_G2.csv"), "ijbc_1N_gallery_G2.csv: expected a CSV"),
        (LISTS | {POINT: []}, "line 1: no line of 1.jpg"),
        (LISTS | {PAIR: []}, "label.txt: expected pairs, found none"),
        (LISTS | {PROBE: []}, "mixed.csv, line 1: expected TEMPLATE_ID,SUBJECT_ID"),
        (LISTS | {PROBE: [HEADER]}, "mixed.csv: expected templates, found none"),
        (edited(PROBE, 1, "FILENAME,TEMPLATE_ID"), "line 1: expected TEMPLATE_ID,SUBJECT_ID"),
    ],
)
def test_a_missing_or_empty_list_is_an_error(tmp_path, lists, message):
    write_ijb(tmp_path, lists)
    with pytest.raises(DatasetError, match=message):
        read_ijb(tmp_path)


def test_without_pictures_the_folder_is_named(tmp_path):
    write_ijb(tmp_path, pictures=[])
    (tmp_path / "loose_crop").rmdir()
    with pytest.raises(DatasetError, match="expected a folder loose_crop"):
        read_ijb(tmp_path)


def test_a_list_that_is_no_text_is_an_error(tmp_path):
    write_ijb(tmp_path)
    (tmp_path / "meta" / f"ijbc_{MEMBER}").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DatasetError, match="expected a list of IJB"):
        read_ijb(tmp_path)


def test_the_template_ids_may_lie_far_apart(tmp_path):
    lists = LISTS | {
        MEMBER: [line.replace(" 22 ", f" {10**15} ") for line in MEMBERS],
        PROBE: [*LISTS[PROBE][:4], f"{10**15},102,d,6"],
    }
    ijb = read_ijb(write_ijb(tmp_path, lists))
    assert ijb.templates.tolist() == [10, 11, 20, 21, 10**15]
    np.testing.assert_array_equal(ijb.probes.templates, [2, 3, 4])
