"""A gallery's people out of it and into it: one person's data, vectors, what is stale."""

import json
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from gallery_children import change_rows
from made import ANNA, angle

from visavis.errors import DatasetError, EmbeddingError, GalleryError, OutputError, PersonError
from visavis.gallery import Gallery, Sample, transfer
from visavis.gallery.transfer import (
    export_person,
    export_tensors,
    import_tensors,
    prune,
    read_samples,
    stale,
)

MODEL = "arcface@seed"
NAMES = ("Anna", "Bert", "Zoë", "Jean-Luc d'Arc")


def seed(folder: Path, dim: int = 512) -> dict[str, np.ndarray]:
    """database_tensor: (1, 512) float32 of norm about 24, as the attendance seed leaves them."""
    folder.mkdir()
    random = np.random.default_rng(0)
    vectors = {}
    for name in NAMES:
        row = random.normal(size=(1, dim)).astype(np.float32)
        vectors[name] = (row * random.uniform(21.9, 27.5) / np.linalg.norm(row)).astype(np.float32)
        np.save(folder / f"{name}.npy", vectors[name])
    return vectors


def test_seed_vectors_come_in_and_go_out(gallery, tmp_path):
    vectors = seed(tmp_path / "database_tensor")
    people = import_tensors(gallery, tmp_path / "database_tensor", MODEL)
    assert sorted(person.name for person in people) == sorted(NAMES)
    templates, damaged = gallery.templates(MODEL)
    assert (templates.rows.shape, damaged) == ((4, 512), ())
    np.testing.assert_allclose(np.linalg.norm(templates.rows, axis=1), 1, atol=1e-6)
    assert export_tensors(gallery, tmp_path / "out", MODEL) == 4
    for name, vector in vectors.items():
        back = np.load(tmp_path / "out" / f"{name}.npy", allow_pickle=False)
        assert (back.shape, back.dtype) == ((1, 512), np.float32)
        np.testing.assert_allclose(back, vector, rtol=1e-5)


def test_vectors_twice_are_the_same_people(gallery, tmp_path):
    seed(tmp_path / "in")
    for _ in range(2):
        assert len(import_tensors(gallery, tmp_path / "in", MODEL)) == 4
    assert [person.samples for person in gallery.people()] == [1] * 4


def test_vectors_join_the_person_enrolled_by_photo(gallery, tmp_path):
    person = gallery.add_person("Anna")
    gallery.add_sample(person.id, Sample("a.png", "0", {}, {"fake@0": angle(ANNA)}))
    seed(tmp_path / "in")
    import_tensors(gallery, tmp_path / "in", MODEL)
    assert gallery.find("Anna").samples == 2
    assert [len(gallery.templates(model)[0].rows) for model in ("fake@0", MODEL)] == [1, 4]


@pytest.mark.parametrize("shape", [(8,), (1, 8)])
@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", "<f2"])
def test_vectors_of_any_float_come_in(gallery, tmp_path, shape, kind):
    np.save(tmp_path / "Anna.npy", np.arange(1, 9).reshape(shape).astype(kind))
    import_tensors(gallery, tmp_path, MODEL)
    expected = np.arange(1, 9) / np.sqrt(204)
    np.testing.assert_allclose(gallery.templates(MODEL)[0].rows[0], expected, atol=1e-6)


@pytest.mark.parametrize(("version", "read"), [((1, 0), True), ((2, 0), True), ((3, 0), False)])
def test_the_formats_that_are_read(gallery, tmp_path, version, read):
    with (tmp_path / "Anna.npy").open("wb") as file:
        np.lib.format.write_array(file, np.float32([3, 4]), version)
    if read:
        assert [person.name for person in import_tensors(gallery, tmp_path, MODEL)] == ["Anna"]
        np.testing.assert_allclose(gallery.templates(MODEL)[0].rows, [[0.6, 0.8]])
    else:
        with pytest.raises(DatasetError, match=r"Anna.npy: .* format \(3, 0\)"):
            import_tensors(gallery, tmp_path, MODEL)


class Unpickled:
    """Would leave a file if it were ever unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


BAD = {
    "nan": np.array([1, np.nan], np.float32),
    "infinity": np.array([1, np.inf], np.float32),
    "zeros": np.zeros(512, np.float32),
    "cube": np.ones((1, 1, 8), np.float32),
    "int": np.arange(1, 9),
    "bool": np.ones(8, bool),
    "complex": np.ones(8, np.complex64),
    "text": np.array(["a", "b"]),
    "empty": np.empty((1, 0), np.float32),
    "no bytes": b"",
    "no npy": b"this is no array",
    "cut": b"\x93NUMPY\x01\x00\x10",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_vector_is_refused_by_name_and_nothing_of_it_stored(gallery, tmp_path, name):
    content = BAD[name]
    if isinstance(content, bytes):
        (tmp_path / "Bad.npy").write_bytes(content)
    else:
        np.save(tmp_path / "Bad.npy", content)
    with pytest.raises(DatasetError, match=r"Bad\.npy: expected"):
        import_tensors(gallery, tmp_path, MODEL)
    assert gallery.people() == []
    assert [entry.action for entry in gallery.changes(0)] == ["make gallery"]


def test_a_pickle_is_never_opened(gallery, tmp_path):
    np.save(
        tmp_path / "Bad.npy", np.array([Unpickled(tmp_path / "ran")], object), allow_pickle=True
    )
    with pytest.raises(DatasetError, match=r"Bad\.npy"):
        import_tensors(gallery, tmp_path, MODEL)
    assert not (tmp_path / "ran").exists()
    assert gallery.people() == []


def test_a_folder_without_vectors_is_refused(gallery, tmp_path):
    with pytest.raises(DatasetError, match=r"expected <name>\.npy files, found none"):
        import_tensors(gallery, tmp_path, MODEL)


def test_an_export_holds_all_there_is_on_one_person(gallery, tmp_path):
    anna = gallery.add_person("Zoë", external_id="E1", consent="signed 2026")
    gallery.add_person("Bert")
    templates = {"fake@0": angle(ANNA), "other@1": angle(0)}
    gallery.add_sample(anna.id, Sample("a.png", "ab" * 32, {"size": 80.0}, templates, b"crop"))
    gallery.note_seen([anna.id])
    folder = export_person(gallery, gallery.find("Zoë"), tmp_path / "out" / "zoe")
    document = json.loads((folder / "person.json").read_text(encoding="utf-8"))
    assert (document["name"], document["external_id"]) == ("Zoë", "E1")
    assert document["consent"] == "signed 2026"
    assert document["seen_at"]
    (sample,) = document["samples"]
    assert (sample["source"], sample["source_sha256"]) == ("a.png", "ab" * 32)
    assert sample["quality"] == {"size": 80.0}
    for model, embedding in templates.items():
        np.testing.assert_array_equal(np.load(folder / sample["templates"][model]), embedding)
    assert (folder / f"{sample['id']}.png").read_bytes() == b"crop"
    assert [entry["action"] for entry in document["audit"]] == ["add person", "enroll"]
    assert "Bert" not in (folder / "person.json").read_text(encoding="utf-8")
    with pytest.raises(OutputError, match="is there already"):
        export_person(gallery, anna, folder)


def test_stale_are_those_neither_added_nor_seen(gallery):
    people = {name: gallery.add_person(name) for name in ("Old", "Seen", "New")}
    before = (datetime.now(UTC) - timedelta(days=100)).isoformat(timespec="milliseconds")
    for name in ("Old", "Seen"):
        change_rows(gallery, "UPDATE people SET added_at = ? WHERE id = ?", before, people[name].id)
    gallery.note_seen([people["Seen"].id])
    assert [person.name for person in stale(gallery, 90)] == ["Old"]
    assert stale(gallery, 101) == []
    assert stale(gallery, 36_500) == []
    asked = [*stale(gallery, 90), people["Seen"], people["New"]]
    gallery.note_seen([people["Old"].id])
    assert prune(gallery, 90, asked) == []  # seen since it was asked: nobody
    assert len(gallery.people()) == 3


def test_who_is_stale_and_was_asked_for_is_erased_and_nobody_else(gallery, monkeypatch):
    before = (datetime.now(UTC) - timedelta(days=100)).isoformat(timespec="milliseconds")
    with monkeypatch.context() as patch:
        patch.setattr("visavis.gallery.people.now", lambda: before)
        old, _ = gallery.add_person("Old"), gallery.add_person("Older")
    pruned = prune(gallery, 90, [old, gallery.add_person("New")])
    assert [person.name for person in pruned] == ["Old"]
    assert [person.name for person in gallery.people()] == ["New", "Older"]


@pytest.mark.parametrize("days", [0, -0.0, -1, float("nan"), float("inf"), -float("inf"), 1e300])
def test_a_rule_of_no_age_erases_nobody(gallery, days):
    person = gallery.add_person("Anna")
    with pytest.raises(GalleryError, match="expected an age above 0") as error:
        stale(gallery, days)
    assert error.value.option == "older_than"
    with pytest.raises(GalleryError, match="expected an age above 0"):
        prune(gallery, days, [person])
    assert gallery.people() == [person]


def test_two_people_of_one_name_are_exported_apart(gallery, tmp_path):
    for number, external_id in enumerate(("7", "8")):
        person = gallery.add_person("Anna", external_id=external_id)
        row = np.eye(4, dtype=np.float32)[number]
        gallery.add_sample(person.id, Sample("a.npy", external_id * 64, {}, {MODEL: row}))
    assert export_tensors(gallery, tmp_path / "out", MODEL) == 2
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 2
    assert sorted(int(np.load(tmp_path / "out" / name).argmax()) for name in names) == [0, 1]


def exported(gallery, folder):
    """The files of an export of people with unfriendly names and ids, all of one model."""
    people = [
        ("王" * 200, None),
        ("王" * 199, "E1"),
        ("../../up", "a/b"),
        ("../../up", "\u202e/.."),
    ]
    for number, (name, external_id) in enumerate([*people, ("Anna", None), ("anna", None)]):
        person = gallery.add_person(name, external_id=external_id)
        row = np.eye(8, dtype=np.float32)[number]
        gallery.add_sample(person.id, Sample("a.npy", str(number), {}, {MODEL: row}))
    assert export_tensors(gallery, folder, MODEL) == 6
    return sorted(path.name for path in folder.rglob("*"))


def test_every_name_makes_a_file_of_its_own(gallery, tmp_path):
    names = exported(gallery, tmp_path / "deep" / "er" / "out")
    assert len({name.casefold() for name in names}) == 6
    assert all(len(name.encode()) <= 255 for name in names)
    assert names[0] == "Anna.npy"
    assert "_.._up.npy" in names
    assert len(import_tensors(gallery, tmp_path / "deep" / "er" / "out", "other@1")) == 6


def test_the_check_of_file_names_can_fail(gallery, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer, "safe_stem", str)
    with pytest.raises((OutputError, AssertionError)):
        exported(gallery, tmp_path / "deep" / "er" / "out")


def claiming(shape, kind="<f4"):
    """A .npy file of 8 floats whose header says something else."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    return start + np.ones(8, np.float32).tobytes()


CLAIMS = [
    "(1000000000000,)",
    "(1, 1000000000000)",
    f"({2**62},)",
    f"({2**70},)",
    "(-8,)",
    "(7,)",
    "(9,)",
    "()",
    "(True,)",
    "(8.0,)",
    "8",
    "(" * 300 + ")" * 300,
    "(8,",
]


@pytest.mark.parametrize("shape", CLAIMS)
def test_a_header_is_not_believed(gallery, tmp_path, shape):
    (tmp_path / "Bad.npy").write_bytes(claiming(shape))
    tracemalloc.start()
    try:
        with pytest.raises(DatasetError, match=r"Bad\.npy: expected"):
            import_tensors(gallery, tmp_path, MODEL)
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert gallery.people() == []


def test_a_file_that_is_too_large_is_not_read(gallery, tmp_path):
    with (tmp_path / "Bad.npy").open("wb") as file:
        file.truncate(1 << 40)  # sparse: 1 TB of zeros
    with pytest.raises(DatasetError, match=r"Bad\.npy: expected at most 268,435,456 bytes"):
        import_tensors(gallery, tmp_path, MODEL)


def test_the_files_that_are_read_still_are(gallery, tmp_path):
    (tmp_path / "Good.npy").write_bytes(claiming("(8,)"))
    assert len(import_tensors(gallery, tmp_path, MODEL)) == 1


def failing(gallery, folder):
    """An import whose third vector of three cannot be stored; the people and entries it leaves."""
    folder.mkdir()
    for number, name in enumerate(("A", "B", "C")):
        np.save(folder / f"{name}.npy", np.eye(3, dtype=np.float32)[number])
    samples = read_samples(folder, MODEL)
    with pytest.raises(PersonError, match="control character"):
        gallery.add_all([*samples[:2], ("C\u2028D", samples[2][1])])
    return gallery.people(), [entry.action for entry in gallery.changes(0)]


def test_an_import_that_fails_leaves_nothing(gallery, tmp_path):
    assert failing(gallery, tmp_path / "in") == ([], ["make gallery"])
    (tmp_path / "in" / "C.npy").rename(tmp_path / "in" / "C\u2028D.npy")
    with pytest.raises(PersonError, match="control character"):
        import_tensors(gallery, tmp_path / "in", MODEL)
    np.save(tmp_path / "in" / "C\u2028D.npy", np.ones(4, np.float32))
    with pytest.raises(DatasetError, match=r"expected embeddings of one length, got \[3, 4\]"):
        import_tensors(gallery, tmp_path / "in", MODEL)
    assert gallery.people() == []


def test_vectors_of_another_length_than_the_models_are_refused(gallery, tmp_path):
    for name, length in (("first", 3), ("second", 4)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "Anna.npy", np.ones(length, np.float32))
    import_tensors(gallery, tmp_path / "first", MODEL)
    with pytest.raises(EmbeddingError, match="another model made it"):
        import_tensors(gallery, tmp_path / "second", MODEL)


def test_the_check_of_failed_imports_can_fail(gallery, tmp_path, monkeypatch):
    def one_by_one(self, samples):
        return [self.add_sample(self.find_or_add(name).id, sample) for name, sample in samples]

    monkeypatch.setattr(Gallery, "add_all", one_by_one)
    people, actions = failing(gallery, tmp_path / "in")
    assert ([person.name for person in people], len(actions)) == (["A", "B"], 5)


def left_by_a_failed_import(run, folder):
    """What is there after the first import into a gallery failed."""
    (folder / "in").mkdir()
    (folder / "in" / "Bad.npy").write_bytes(b"")
    words = ("--model", MODEL, "--gallery", folder / "gallery")
    code, out, err = run("people", "import", folder / "in", *words)
    assert (code, out, "Bad.npy" in err) == (2, "", True)
    return sorted(path.name for path in folder.iterdir())


def test_a_failed_first_import_makes_no_gallery(run, cache, tmp_path):
    assert left_by_a_failed_import(run, tmp_path) == ["in"]


def test_the_check_of_first_imports_can_fail(run, cache, tmp_path, monkeypatch):
    read = transfer.read_samples

    def read_late(folder, model):
        yield from read(folder, model)

    monkeypatch.setattr(transfer, "read_samples", read_late)
    assert left_by_a_failed_import(run, tmp_path) == ["gallery", "in"]
