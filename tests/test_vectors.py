"""Other tools' galleries: what each holds becomes names with vectors; what is none, or is hostile,
is refused, and nothing of it runs.
"""

import io
import json
import pickle
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path

import numpy as np
import pytest
from malformed import MEGABYTES, measured
from test_transfer import Unpickled

from visavis.dataset import vectors as module
from visavis.dataset.vectors import read_vectors
from visavis.errors import DatasetError, PersonError
from visavis.gallery import open_gallery
from visavis.gallery.transfer import import_tensors

MODEL = "facenet512@theirs"
ROWS = np.array([[3, 4, 0], [0, 1, 0], [0, 0, -2]], np.float64)
ANNA, BERT, ANNA_AGAIN = ROWS
NAMES = ["Anna", "Bert", "Anna"]
SIMPLE = [("Anna", ANNA), ("Bert", BERT), ("Anna", ANNA_AGAIN)]
IN_ORDER = [("Anna", ANNA), ("Anna", ANNA_AGAIN), ("Bert", BERT)]


def pickled(content, protocol=4):
    return pickle.dumps(content, protocol)


def zipped(compressed=False, **arrays):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def saved(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def text(content):
    return json.dumps(content).encode()


def deepface(*paths):
    """As DeepFace.find keeps a folder: a list of dictionaries."""
    return [
        {"identity": path, "hash": "ab" * 20, "embedding": list(row), "target_x": 1,
         "target_y": 2, "target_w": 30, "target_h": 40}
        for path, row in zip(paths, ROWS, strict=True)
    ]  # fmt: skip


FOLDERS = ("db/Anna/1.jpg", "db/Bert/b.png", "db/Anna/2.jpg")
ENCODINGS = {"encodings": list(ROWS), "names": NAMES}
GROUPED = {"Anna": [ANNA, ANNA_AGAIN], "Bert": [BERT]}
SUBJECTS = [
    {"subject": name, "embedding": row.tolist(), "calculator": "Facenet2018"}
    for name, row in zip(NAMES, ROWS, strict=True)
]
# What tools write, and what is read.
FILES = {
    "DeepFace": (pickled(deepface(*FOLDERS)), SIMPLE),
    "DeepFace, Windows": (pickled(deepface(*(p.replace("/", "\\") for p in FOLDERS))), SIMPLE),
    "DeepFace before 0.0.80": (
        pickled([[path, row.tolist()] for path, row in zip(FOLDERS, ROWS, strict=True)]), SIMPLE),
    "DeepFace, one folder": (pickled(deepface("db/Anna.jpg", "db/Bert.png", "db/Zoë.jpg")),
        [("Anna", ANNA), ("Bert", BERT), ("Zoë", ANNA_AGAIN)]),
    **{f"face_recognition, protocol {n}": (pickled(ENCODINGS, n), SIMPLE) for n in (2, 3, 4, 5)},
    "face_recognition, lists": (pickled({"encodings": ROWS.tolist(), "names": NAMES}), SIMPLE),
    "known_face_encodings": (
        pickled({"known_face_encodings": list(ROWS), "known_face_names": NAMES}), SIMPLE),
    "names and encodings": (pickled((NAMES, list(ROWS))), SIMPLE),
    "encodings and names": (pickled([ROWS, np.array(NAMES)]), SIMPLE),
    "by name": (pickled({"Anna": ANNA, "Bert": BERT}), SIMPLE[:2]),
    "by name, lists": (pickled(GROUPED), IN_ORDER),
    "by name, ordered": (pickled(OrderedDict(Anna=ANNA, Bert=BERT)), SIMPLE[:2]),
    "by name, collected": (pickled(defaultdict(list, GROUPED)), IN_ORDER),
    "float32": (pickled({"Anna": ANNA.astype(np.float32)}), SIMPLE[:1]),
    "float16": (pickled({"Anna": ANNA.astype(np.float16)}), SIMPLE[:1]),
    "the other byte order": (pickled({"Anna": ANNA.astype(">f8")}), SIMPLE[:1]),
    "columns first": (pickled((NAMES, np.asfortranarray(ROWS))), SIMPLE),
    "numbers of NumPy": (pickled({"Anna": [float(n) for n in ANNA], "Bert": list(BERT)}),
        SIMPLE[:2]),
    "npz, labels": (zipped(arr_0=ROWS, arr_1=np.array(NAMES)), SIMPLE),
    "npz, compressed": (zipped(True, embeddings=ROWS, labels=np.array(NAMES)), SIMPLE),
    "npz, by name": (zipped(Anna=ANNA, Bert=BERT[None]), SIMPLE[:2]),
    "npz of visavis embed": (zipped(embeddings=ROWS.astype(np.float32), paths=np.array(FOLDERS),
        boxes=np.zeros((3, 4), np.float32), scores=np.ones(3, np.float32), model=np.array("m@1")),
        SIMPLE),
    "npy, (N, D)": (saved(ROWS), [("file", row) for row in ROWS]),
    "npy, (D,)": (saved(ANNA), [("file", ANNA)]),
    "CompreFace, records": (text(SUBJECTS), SIMPLE),
    "CompreFace, under a key": (text({"calculator_version": "1.2", "faces": [
        {"name": "Anna", "embeddings": [ANNA.tolist(), ANNA_AGAIN.tolist()]},
        {"name": "Bert", "embeddings": [BERT.tolist()]}]}), IN_ORDER),
    "JSON by name": (text({"Anna": [3, 4, 0], "Bert": [0.0, 1, 0]}), SIMPLE[:2]),
    "JSON with a BOM": (b"\xef\xbb\xbf" + text({"Anna": [3, 4, 0]}), SIMPLE[:1]),
}  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), FILES.values(), ids=FILES)
def test_what_tools_write_is_read(data, expected, tmp_path):
    (tmp_path / "file.any").write_bytes(data)
    rows = read_vectors(tmp_path / "file.any")
    assert [row.person for row in rows] == [name for name, _ in expected]
    np.testing.assert_array_equal([row.vector for row in rows], [row for _, row in expected])


def test_a_real_files_people_are_read(data):
    rows = read_vectors(data / "fixtures" / "cases" / "encodings.pickle")
    assert len(rows) == 3
    assert {row.person for row in rows} == {"ann", "bo"}
    assert all(row.vector.shape == (128,) for row in rows)


def nested(depth):
    """A list that names the list below it a thousand times, and so on."""
    lists = [0.5, 0.5]
    for _ in range(depth):
        lists = [lists] * 1000
    return lists


REFUSED = {
    "HTML": (b"<!DOCTYPE html>", "Expecting value"),
    "empty": (b"", "Expecting value"),
    "cut": (pickled(ENCODINGS)[:60], "cut short|index out of range"),
    "another global": (b"\x80\x04\x8c\x06pandas\x8c\x09DataFrame\x93.", "names 'pandas.DataFrame'"),
    "a call": (b"cos\nsystem\n(S'true'\ntR.", "Expecting value"),
    "a call of protocol 2": (b"\x80\x02cos\nsystem\n(U\x04truetR.", "names 'os.system', which no"),
    "eval": (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93\x8c\x011\x85R.", "names 'builtins.eval'"),
    "objects": (pickled({"Anna": np.array([None, 1], object)}), "got dtype 'O8'"),
    "whole numbers": (pickled({"Anna": np.arange(3)}), "got dtype 'i8'"),
    "a set": (pickled({"Anna": {1.0}}), "opcode EMPTY_SET"),
    "long numbers": (pickled({"Anna": [1 << 70]}), "of a number of any length"),
    "no names": (pickled({"encodings": list(ROWS)}), "a dictionary without names"),
    "an array alone": (zipped(arr_0=ROWS), "a dictionary without names"),
    "a name too few": (pickled({"encodings": list(ROWS), "names": NAMES[:2]}),
        "a name for each embedding, got 2 names and 3 embeddings"),
    "numbers for names": (pickled({"encodings": list(ROWS), "names": [1, 2, 3]}), "got 0 names"),
    "several lengths": (pickled({"Anna": ANNA, "Bert": np.ones(4)}), r"one length, got \[3, 4\]"),
    "NaN": (pickled({"Anna": np.array([1, np.nan])}), "expected finite numbers, .* of 'Anna'"),
    "zeros": (text({"Anna": [0, 0]}), "not all of them zero, of 'Anna'"),
    "nothing": (text([]), "got list"),
    "a number": (text(7), "got int"),
    "a cube": (zipped(Anna=np.ones((2, 2, 2))), r"expected vectors \(D,\) or \(N, D\)"),
    "an npz of objects": (zipped(arr_0=ROWS, arr_1=np.array(["a", None, "b"], object)),
        "floats or text, got dtype"),
    "named a million times": (pickled({"Anna": nested(2)}), "larger than the file"),
    "named 10 ** 12 times": (pickled({"Anna": nested(4)}), "larger than the file"),
    "a deep one": (b"[" * 100_000, "recursion|Expecting|Stack overflow"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "said"), REFUSED.values(), ids=REFUSED)
def test_what_holds_no_people_is_refused_and_nothing_is_made(data, said, run, tmp_path):
    file = tmp_path / "bad.pkl"
    file.write_bytes(data)

    def work():
        with pytest.raises(DatasetError, match=rf"bad\.pkl: expected names with .*({said})"):
            read_vectors(file)

    cost = measured(work)
    assert (cost.seconds < 2, cost.megabytes < MEGABYTES) == (True, True)
    words = ("people", "import", file, "--model", MODEL, "--gallery", tmp_path / "gallery")
    code, shown, err = run(*words)
    assert (code, shown, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "gallery").exists()


def test_a_zip_bomb_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Anna.npy", bytes(50 << 20))
    with pytest.raises(DatasetError, match="over 100 times its size"):
        read_vectors(tmp_path / "bomb.npz")


@pytest.mark.parametrize("shape", [b"(9,)", b"(-8,)", b"(8**40,)"[:8]])
def test_a_header_that_claims_another_size_is_refused(shape, tmp_path):
    data = saved(np.ones(8))
    padded = shape + b" " * (len(b"(8,), }     ") - len(shape) - 3) + b", }"
    (tmp_path / "file.npy").write_bytes(data.replace(b"(8,), }     ", padded))
    with pytest.raises(DatasetError, match=r"file\.npy: expected names"):
        read_vectors(tmp_path / "file.npy")


@pytest.mark.parametrize("protocol", range(6))
def test_code_in_a_pickle_never_runs(protocol, tmp_path):
    file = tmp_path / "evil.pkl"
    file.write_bytes(pickled({"Anna": Unpickled(tmp_path / "ran")}, protocol))
    with pytest.raises(DatasetError, match=r"evil\.pkl"):
        read_vectors(file)
    assert not (tmp_path / "ran").exists()


def test_without_the_list_of_globals_code_runs(tmp_path, monkeypatch):
    """A sabotaged copy: the attack above takes effect."""
    file = tmp_path / "evil.pkl"
    file.write_bytes(pickled({"Anna": Unpickled(tmp_path / "ran")}))
    monkeypatch.setattr(module.PlainUnpickler, "find_class", pickle.Unpickler.find_class)
    with pytest.raises(DatasetError):
        read_vectors(file)
    assert (tmp_path / "ran").exists()


def test_without_its_limit_a_list_is_unfolded(tmp_path, monkeypatch):
    """A sabotaged copy: 50,000 numbers are made of a file of 3 KB."""
    data = pickled({"Anna": [[0.5] * 50] * 1000})
    assert len(data) < 4000
    (tmp_path / "file.pkl").write_bytes(data)
    with pytest.raises(DatasetError, match="larger than the file"):
        read_vectors(tmp_path / "file.pkl")
    lifted = module._Reader
    monkeypatch.setattr(module, "_Reader", lambda left: lifted(1 << 40))
    assert len(read_vectors(tmp_path / "file.pkl")) == 1000


@pytest.mark.parametrize("key", ["DeepFace", "face_recognition, protocol 4", "npz, labels"])
def test_one_template_a_row_and_again_the_same(key, run, tmp_path):
    (tmp_path / "theirs").write_bytes(FILES[key][0])
    folder = tmp_path / "gallery"
    words = ("people", "import", tmp_path / "theirs", "--model", MODEL, "--gallery", folder)
    for _ in range(2):
        code, shown, _ = run(*words, "--json")
        document = json.loads(shown)
        assert code == 0
        assert [person["name"] for person in document["imported"]] == ["Anna", "Bert"]
        assert document["vectors"] == 3
    gallery = open_gallery(folder)
    assert [(person.name, person.samples) for person in gallery.people()] == [
        ("Anna", 2),
        ("Bert", 1),
    ]
    rows = gallery.templates(MODEL)[0].rows
    np.testing.assert_allclose(
        sorted(rows.tolist()), [[0, 0, -1], [0, 1, 0], [0.6, 0.8, 0]], atol=1e-6
    )
    assert run(*words)[1] == f"2 people imported with 3 templates of {MODEL}\n"


def test_a_folder_may_hold_several_rows_a_person(gallery, tmp_path):
    np.save(tmp_path / "Anna.npy", ROWS)
    np.save(tmp_path / "Bert.npy", BERT)
    import_tensors(gallery, tmp_path, MODEL)
    assert [(one.name, one.samples) for one in gallery.people()] == [("Anna", 3), ("Bert", 1)]


@pytest.mark.parametrize("name", ["", " ", "a\x00b", "x" * 5000])
def test_a_name_that_cannot_be_is_refused_and_nothing_is_made(name, run, tmp_path):
    file = tmp_path / "file.json"
    file.write_bytes(text({"names": ["Anna", name], "embeddings": [[1, 2], [3, 4]]}))
    with pytest.raises(PersonError):
        import_tensors(open_gallery(tmp_path / "other"), file, MODEL)
    assert open_gallery(tmp_path / "other").people() == []
    words = ("people", "import", file, "--model", MODEL, "--gallery", tmp_path / "gallery")
    assert run(*words)[0] == 2
    assert not Path(tmp_path / "gallery").exists()
