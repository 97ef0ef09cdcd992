"""Unknown faces in groups: found, merged, split, named, and the page to look at."""

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from visavis.clustering import (
    FaceGroups,
    GroupedFace,
    candidates,
    group_faces,
    group_rows,
    make_folder,
    merged,
    read_face_groups,
    save_face_groups,
    sheet,
    split,
    write_crops,
)
from visavis.enrollment import Candidate
from visavis.errors import DatasetError, OutputError

CROP = np.full((1, 112, 112, 3), 90, np.uint8)


def rows(*degrees: float) -> np.ndarray:
    """Unit rows in the plane; two are alike by the cosine of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def members(*names: str) -> tuple[GroupedFace, ...]:
    return tuple(GroupedFace(f"/photos/{name}.jpg", 1, f"crops/{name}.png") for name in names)


THREE = FaceGroups(0.5, (members("a", "b", "c"), members("d"), members("e", "f")))


@pytest.mark.parametrize(
    ("degrees", "threshold", "expected"),
    [
        ((), 0.5, []),
        ((0,), 0.5, [[0]]),
        ((0, 90), 0.5, [[0], [1]]),
        ((0, 90, 1, 91, 2), 0.5, [[2, 0, 4], [1, 3]]),  # the middle one of three is the cover
        ((0, 90, 1, 91), 0.5, [[0, 2], [1, 3]]),  # groups of one size by their first face
        ((0, 60), 0.5, [[0, 1]]),  # exactly at the threshold is in
        ((0, 61), 0.5, [[0], [1]]),
        ((0, 0, 0), 1.0, [[0, 1, 2]]),
        # A chain: each close to the next. On average the ends are not, so it is no one group.
        ((0, 40, 81, 120), 0.7, [[0, 1], [2, 3]]),
    ],
)
def test_cluster(degrees, threshold, expected):
    assert group_rows(rows(*degrees), threshold) == expected


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.6, 0.7, 0.9])
def test_the_threshold_is_in_whatever_its_last_bit(threshold):
    pair = np.array([[1, 0], [threshold, np.sqrt(1 - threshold**2)]], np.float32)
    assert group_rows(pair, threshold) == [[0, 1]]
    assert group_rows(pair, threshold + 1e-4) == [[0], [1]]


def test_groups_are_the_people_whatever_the_order():
    random = np.random.default_rng(0)
    centers = np.linalg.qr(random.normal(size=(64, 20)))[0].T
    labels = random.permutation(np.repeat(np.arange(20), random.integers(1, 12, 20)))
    noisy = centers[labels] + 0.05 * random.normal(size=(len(labels), 64))
    found = group_rows((noisy / np.linalg.norm(noisy, axis=1)[:, None]).astype(np.float32), 0.5)
    assert sorted(map(sorted, found)) == sorted(
        np.flatnonzero(labels == person).tolist() for person in set(labels)
    )
    assert [len(one) for one in found] == sorted((len(one) for one in found), reverse=True)


def test_pairs_are_found_across_blocks(monkeypatch):
    monkeypatch.setattr("visavis.clustering.BLOCK", 3)
    assert group_rows(rows(*[0, 90] * 5), 0.5) == [[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [(1, 2, ["abcd", "ef"]), (2, 1, ["dabc", "ef"]), (3, 1, ["d", "efabc"])],
)
def test_merge(first, second, expected):
    assert spelled(merged(THREE, first, second)) == expected


@pytest.mark.parametrize(
    ("number", "faces", "expected"),
    [
        (1, [2], ["ac", "d", "ef", "b"]),
        (1, [3, 1], ["b", "d", "ef", "ac"]),
        (3, [1, 1], ["abc", "d", "f", "e"]),
    ],
)
def test_split(number, faces, expected):
    assert spelled(split(THREE, number, faces)) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda: merged(THREE, 1, 1), "expected two groups, got 1 twice"),
        (lambda: merged(THREE, 0, 1), "expected a group from 1 to 3, got 0"),
        (lambda: merged(THREE, 1, 4), "expected a group from 1 to 3, got 4"),
        (lambda: split(THREE, 4, [1]), "expected a group from 1 to 3, got 4"),
        (lambda: split(THREE, 1, []), "faces 1 to 3; some must go and some stay, got none"),
        (lambda: split(THREE, 1, [1, 2, 3]), "some must go and some stay"),
        (lambda: split(THREE, 1, [4]), "faces 1 to 3"),
        (lambda: split(THREE, 2, [1]), "faces 1 to 1"),
        (lambda: candidates(THREE, -1, "Anna"), "expected a group from 1 to 3, got -1"),
    ],
)
def test_what_cannot_be_changed_is_said(change, said):
    with pytest.raises(DatasetError, match=said):
        change()


def spelled(groups: FaceGroups) -> list[str]:
    return ["".join(Path(member.photo).stem for member in one) for one in groups.groups]


def test_a_group_is_enrolled_face_by_face():
    found = candidates(THREE, 3, "Zoë", external_id="E1", consent="signed")
    photos = [Path("/photos/e.jpg"), Path("/photos/f.jpg")]
    assert found == [Candidate("Zoë", photo, "E1", "signed", face=1) for photo in photos]


def test_groups_come_back_as_they_were_saved(tmp_path):
    assert read_back(tmp_path, THREE) == THREE
    assert read_back(tmp_path, FaceGroups(0.5, ())) == FaceGroups(0.5, ())


def read_back(folder: Path, groups: FaceGroups) -> FaceGroups:
    save_face_groups(folder, groups)
    return read_face_groups(folder)


@pytest.mark.parametrize(
    "document", [None, b"", b"[]", b'{"threshold": 0.5}', b'{"threshold": NaN, "groups": []}']
)
def test_a_folder_without_whole_groups_is_refused(tmp_path, document):
    if document is not None:
        (tmp_path / "groups.json").write_bytes(document)
    with pytest.raises(DatasetError, match=r"groups\.json"):
        read_face_groups(tmp_path)


def test_the_sheet_shows_every_group_and_counts_faces_as_split_does():
    page = sheet(THREE)
    assert page.count("<section>") == 3
    assert page.count("<img ") == 6
    assert "Group 1 · 3" in page
    for caption in ("1 · a.jpg", "2 · b.jpg", "3 · c.jpg", "1 · d.jpg", "1 · e.jpg"):
        assert f"<figcaption>{caption}</figcaption>" in page
    assert 'src="crops/f.png"' in page


def test_the_sheet_says_what_to_do_next_and_opens_photos():
    page = sheet(THREE, Path("/my groups"))
    assert "<title>Groups of faces</title>" in page
    assert '<meta name="viewport" content="width=device-width' in page  # for a phone
    assert "visavis people name-group &#x27;/my groups&#x27; 1 &#x27;NAME&#x27;" in page
    assert "visavis people merge-groups &#x27;/my groups&#x27; FIRST SECOND" in page
    assert page.count('<a href="file:///') == 6
    # Groups of one face are folded away, behind the others.
    several, singles = page.split("<details>")
    alone = sum(len(group) == 1 for group in THREE.groups)
    assert (several.count("<section>"), singles.count("<section>")) == (3 - alone, alone)
    assert f"Single faces: {alone}" in singles


HOSTILE = ["<script>alert(1)</script>.jpg", '"><img src=x onerror=alert(1)>.jpg', "a&b'.jpg"]


@pytest.mark.parametrize("name", HOSTILE)
def test_the_sheet_escapes_hostile_names(name):
    page = sheet(FaceGroups(0.5, ((GroupedFace(f"/photos/{name}", 1, f"crops/{name}"),),)))
    assert name.rsplit("/", maxsplit=1)[-1] not in page
    assert "<script" not in page
    assert page.count("<img ") == 1


def test_a_groups_folder_is_its_owners_and_new(tmp_path):
    folder = tmp_path / "a" / "groups"
    make_folder(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    found = [*write_crops(folder, Path("x.jpg"), CROP.repeat(2, axis=0), before=0)]
    found += [*write_crops(folder, Path("none.jpg"), CROP[:0], before=2)]
    found += [*write_crops(folder, Path("y.jpg"), CROP, before=2)]
    files = [(Path(member.photo).name, member.face, member.crop) for member in found]
    assert files == [
        ("x.jpg", 1, "crops/00001.png"),
        ("x.jpg", 2, "crops/00002.png"),
        ("y.jpg", 1, "crops/00003.png"),
    ]
    assert all(Path(member.photo).is_absolute() for member in found)
    assert group_faces(found, rows(0, 90, 1), 0.5).groups == ((found[0], found[2]), (found[1],))
    with pytest.raises(OutputError, match="groups are here already"):
        make_folder(folder)


def test_a_groups_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="cannot make this folder"):
        make_folder(tmp_path / "file")


@pytest.mark.pack
def test_portraits_fall_into_their_people(run, portraits, tmp_path, monkeypatch):
    monkeypatch.chdir(portraits)
    names = ("obama.jpg", "biden.jpg", "obama2.jpg", "obama3.jpg")
    code, out, _ = run("people", "cluster", *names, "--out", tmp_path / "groups")
    assert (code, out.startswith("4 faces in 2 groups: ")) == (0, True)
    found = [
        {Path(member.photo).name for member in one}
        for one in read_face_groups(tmp_path / "groups").groups
    ]
    assert found == [{"obama.jpg", "obama2.jpg", "obama3.jpg"}, {"biden.jpg"}]
    monkeypatch.chdir(tmp_path)
    people = ("--gallery", tmp_path / "gallery")
    code, out, _ = run("people", "name-group", "groups", 1, "Obama", *people)
    assert (code, out) == (0, "3 photos enrolled, 0 refused\n")
    code, out, _ = run("people", "name-group", "groups", 2, "Obama", *people)
    assert (code, "unlike: not like the other photos of Obama" in out) == (2, True)
    assert run("people", "name-group", "groups", 3, "Carl", *people)[0] == 2


@pytest.mark.pack
def test_groups_are_merged_and_split_by_verbs(run, portraits, tmp_path):
    folder = tmp_path / "groups"
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    photos = (portraits / "obama.jpg", portraits / "biden.jpg", tmp_path / "bad.jpg")
    code, out, err = run("people", "cluster", *photos, "--out", folder, "--json")
    document = json.loads(out)
    assert (code, document["groups"], len(document["errors"])) == (3, [1, 1], 1)
    assert "bad.jpg" in err
    assert run("people", "merge-groups", folder, 1, 2)[1].startswith("1 group:")
    assert run("people", "split-group", folder, 1, 2)[1].startswith("2 groups")
    assert run("people", "cluster", portraits / "obama.jpg", "--out", folder)[0] == 2
