"""CFP's own folder: made pictures of 20 people, two a fold, in the layout of its Readme."""

import shutil
import zipfile

import numpy as np
import pytest

from visavis.dataset import open_tree, read_cfp
from visavis.errors import DatasetError

SUBJECTS = 20  # 4 frontal pictures of each and 2 profiles; two subjects to a fold


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def cfp(tmp_path):
    """FF and FP, for each fold three same pairs of its first subject and two different ones."""
    root = tmp_path / "cfp" / "cfp-dataset"
    for kind, view, count in (("F", "frontal", 4), ("P", "profile", 2)):
        paths = [f"{s:03d}/{view}/{n:02d}.jpg" for s in range(1, 21) for n in range(1, count + 1)]
        lines = [f"{n} ../Data/Images/{path}\n" for n, path in enumerate(paths, start=1)]
        write(root, f"Protocol/Pair_list_{kind}.txt", "".join(lines))
        for path in paths:
            write(root, f"Data/Images/{path}", path)
    for fold in range(10):
        split, f, p = f"{fold + 1:02d}", 8 * fold, 4 * fold
        write(root, f"Protocol/Split/FF/{split}/same.txt", f"{f + 1},{f + 2}\n{f + 2},{f + 1}\n")
        write(root, f"Protocol/Split/FF/{split}/diff.txt", f"{f + 1},{f + 5}\n")
        write(root, f"Protocol/Split/FP/{split}/same.txt", f"{f + 1},{p + 1}\n{f + 4},{p + 2}\n")
        write(root, f"Protocol/Split/FP/{split}/diff.txt", f"{f + 1},{p + 3}\n\n{f + 8}, {p + 1}")
    return root


def shown(pairs, row):
    sides = (pairs.names[side[row]] for side in (pairs.left, pairs.right))
    return [name.split("Data/Images/")[1] for name in sides]


def test_frontal_to_profile_by_hand(cfp):
    pairs = read_cfp(open_tree(cfp), "FP")
    assert [shown(pairs, row) for row in range(4)] == [
        ["001/frontal/01.jpg", "001/profile/01.jpg"],
        ["001/frontal/04.jpg", "001/profile/02.jpg"],
        ["001/frontal/01.jpg", "002/profile/01.jpg"],
        ["002/frontal/04.jpg", "001/profile/01.jpg"],
    ]
    assert shown(pairs, 36) == ["019/frontal/01.jpg", "019/profile/01.jpg"]
    assert pairs.same.tolist() == [True, True, False, False] * 10
    assert pairs.fold.tolist() == [fold for fold in range(10) for _ in range(4)]
    assert pairs.lines.tolist() == [*range(1, 41)]
    assert (pairs.source, pairs.skipped) == ("Protocol/Split/FP", 0)
    assert len(set(pairs.names)) == len(pairs.names) == 60


def test_frontal_to_frontal_holds_pairs_both_ways_round(cfp):
    pairs = read_cfp(open_tree(cfp), "FF")
    assert shown(pairs, 0) == ["001/frontal/01.jpg", "001/frontal/02.jpg"]
    assert shown(pairs, 1) == ["001/frontal/02.jpg", "001/frontal/01.jpg"]
    assert shown(pairs, 2) == ["001/frontal/01.jpg", "002/frontal/01.jpg"]
    assert pairs.same.tolist() == [True, True, False] * 10


def test_labels_are_subjects(cfp):
    pairs = read_cfp(open_tree(cfp), "FP")
    subjects = np.array(sorted({name.split("/")[2] for name in pairs.names}))
    assert subjects[pairs.labels].tolist() == [name.split("/")[2] for name in pairs.names]
    assert np.array_equal(pairs.labels[pairs.left] == pairs.labels[pairs.right], pairs.same)


def test_a_zip_and_a_deeper_folder_give_the_same(cfp, tmp_path):
    archive = tmp_path / "cfp.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(cfp.rglob("*")):
            file.write(path, path.relative_to(cfp.parent))
    here = read_cfp(open_tree(cfp), "FP")
    for above in (read_cfp(open_tree(cfp.parent), "FP"), read_cfp(open_tree(archive), "FP")):
        assert above.names == tuple(f"cfp-dataset/{name}" for name in here.names)
        np.testing.assert_array_equal(above.left, here.left)
        assert above.source == "cfp-dataset/Protocol/Split/FP"


SPLIT = "Protocol/Split/FP/03/diff.txt"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (SPLIT, "17,11\n17\n", r"FP/03/diff\.txt, line 2: expected two numbers .* got '17'"),
        (SPLIT, "17,11,12\n", r"FP/03/diff\.txt, line 1: expected two numbers"),
        (SPLIT, "\n17,a\n", r"FP/03/diff\.txt, line 2: expected two numbers"),
        (SPLIT, "1" * 5000 + ",2", r"FP/03/diff\.txt, line 1: expected two numbers"),
        (SPLIT, "-1,2\n", r"FP/03/diff\.txt, line 1: expected two numbers"),
        (SPLIT, "0,2\n", r"diff\.txt, line 1: no picture 0 in .*Pair_list_F\.txt, which has 80"),
        (SPLIT, "1,41\n", r"diff\.txt, line 1: no picture 41 in .*Pair_list_P\.txt, which has 40"),
        (SPLIT, "17,11\n18,11\n17,11\n", r"line 3: the pair 17,11 is that of .*diff\.txt, line 1"),
        (SPLIT, "17,9\n", r"diff\.txt, line 1: the pair 17,9 is that of .*FP/03/same\.txt, line 1"),
        ("Protocol/Pair_list_P.txt", "1\n", r"Pair_list_P\.txt, line 1: expected a new number"),
        ("Protocol/Pair_list_P.txt", "1 a\n1 b", r"Pair_list_P\.txt, line 2: .*got '1 b'"),
        ("Protocol/Pair_list_P.txt", "x a\n", r"Pair_list_P\.txt, line 1: .*got 'x a'"),
        (
            "Protocol/Pair_list_P.txt",
            "1 ../Data/9.jpg\n",
            r"FP/01/same\.txt, line 1: no picture Data/9\.jpg in .*list_P\.txt, line 1\)",
        ),
        (
            "Protocol/Pair_list_P.txt",
            "1 ../../../etc/passwd\n",
            r"no picture \.\./\.\./etc/passwd in ",
        ),
    ],
)
def test_a_bad_line_is_named(cfp, name, text, message):
    write(cfp, name, text)
    with pytest.raises(DatasetError, match=message):
        read_cfp(open_tree(cfp), "FP")


def test_a_picture_with_itself_is_no_pair(cfp):
    write(cfp, "Protocol/Split/FF/01/same.txt", "3,3\n")
    with pytest.raises(DatasetError, match=r"same\.txt, line 1: .* that of a picture with itself"):
        read_cfp(open_tree(cfp), "FF")


def test_bad_lines_can_be_skipped_and_are_counted(cfp):
    write(cfp, SPLIT, "17,11\n17\n17,11\n1,99\n18,11\n")
    (cfp / "Data/Images/001/profile/01.jpg").unlink()  # of two pairs in the first fold
    pairs = read_cfp(open_tree(cfp), "FP", skip_bad=True)
    assert (pairs.skipped, len(pairs.same)) == (5, 38)
    assert pairs.lines.tolist()[:8] == [2, 3, 5, 6, 7, 8, 9, 10]
    assert pairs.lines.tolist()[8:14] == [11, 15, 16, 17, 18, 19]
    shutil.rmtree(cfp / "Data")
    with pytest.raises(DatasetError, match="FP: expected pairs, found none"):
        read_cfp(open_tree(cfp), "FP", skip_bad=True)


def test_what_is_not_cfp_is_refused(cfp):
    tree = open_tree(cfp)
    with pytest.raises(DatasetError, match="expected a protocol of CFP, FF or FP, got 'PP'"):
        read_cfp(tree, "PP")
    with pytest.raises(DatasetError, match=r"expected CFP's Protocol/Pair_list_F\.txt once, found"):
        read_cfp(open_tree(cfp / "Data"), "FP")
    shutil.copytree(cfp / "Protocol", cfp / "copy" / "Protocol")
    with pytest.raises(DatasetError, match="once, found 2"):
        read_cfp(tree, "FP")


def test_a_missing_fold_is_an_error_even_where_bad_lines_are_skipped(cfp):
    (cfp / "Protocol/Split/FP/10/same.txt").unlink()
    with pytest.raises(DatasetError, match=r"FP/10/same\.txt"):
        read_cfp(open_tree(cfp), "FP", skip_bad=True)
