"""RecordIO, written byte by byte from its description, and what is made of damaged files."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from visavis.dataset.images import open_images
from visavis.dataset.recordio import read_recordio
from visavis.errors import DatasetError, VisavisError

MAGIC = bytes.fromhex("0a23d7ce")  # 0xced7230a, the lowest byte first


def record(data: bytes, kind: int = 0) -> bytes:
    word = struct.pack("<I", kind << 29 | len(data))
    return MAGIC + word + data + bytes(-len(data) % 4)


def image(label: float, data: bytes) -> bytes:
    """No further labels, the label, and two numbers that nobody reads."""
    return struct.pack("<I", 0) + struct.pack("<f", label) + struct.pack("<QQ", 5, 0) + data


def first(*labels: float) -> bytes:
    return struct.pack("<IfQQ", len(labels), 0, 0, 0) + struct.pack(f"<{len(labels)}f", *labels)


def jpeg(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (112, 112), (grey, grey, grey)).save(file, "jpeg")
    return file.getvalue()


# 3 images of classes 0, 0 and 1; record 0 says that they end at 4, and people's ranges at 6.
PICTURES = [b"one", b"\xff\xd8two!", b"three"]
BODIES = [first(4, 6), *map(image, (0, 0, 1), PICTURES), first(1, 3), first(3, 4)]


def written(folder, records, *, index=True):
    data, lines = b"", ""
    for key, one in enumerate(records):
        lines += f"{key}\t{len(data)}\n"
        data += one
    (folder / "train.rec").write_bytes(data)
    if index:
        (folder / "train.idx").write_text(lines)
    return folder / "train.rec"


@pytest.mark.parametrize("index", [True, False])
def test_images_and_labels_are_read(tmp_path, index):
    read = read_recordio(written(tmp_path, map(record, BODIES), index=index))
    assert read.labels.tolist() == [0, 0, 1]
    assert [read.read(row) for row in range(3)] == PICTURES
    assert read.where(1).endswith(f"train.rec, record at byte {read.offsets[1]}")


def test_a_file_without_record_0_is_all_images(tmp_path):
    read = read_recordio(written(tmp_path, map(record, BODIES[1:4])))
    assert read.labels.tolist() == [0, 0, 1]


def test_the_magic_number_within_an_image_is_put_back(tmp_path):
    """Such an image is cut at its magic numbers, which are left out, into first, middle, last."""
    whole = image(0, b"head" + MAGIC + b"body" + MAGIC + b"tail")
    parts = whole.split(MAGIC)
    cut = record(parts[0], 1) + record(parts[1], 2) + record(parts[2], 3)
    read = read_recordio(written(tmp_path, [cut, record(BODIES[3])], index=False))
    assert read.read(0) == b"head" + MAGIC + b"body" + MAGIC + b"tail"
    assert read.labels.tolist() == [0, 1]


GOOD = record(image(0, b"x"))
DAMAGED = [
    ([b"\0" * 64], "no record begins at byte 0"),
    ([GOOD, MAGIC + struct.pack("<I", 1 << 28)], "at byte 36 is cut off"),
    ([GOOD, MAGIC], "at byte 36 is cut off"),
    ([record(b"short")], "too short for an image's header"),
    ([record(image(0, b"x"), 2)], r"expected a part \(0, 1\), got 2"),
    ([record(image(0, b"x"), 1) + GOOD], r"expected a part \(2, 3\), got 0"),
    ([record(image(0, b"x"), 7)], r"expected a part \(0, 1\), got 7"),
    ([record(struct.pack("<IfQQ", 1 << 31, 0, 0, 0))], "says that it has 2147483648 labels"),
    ([record(first(9, 9)), GOOD], "images end at 9, of 2 records"),
    ([record(first(float("nan"), 9)), GOOD], "images end at nan"),
    ([record(image(-1, b"x"))], "expected a class, got -1"),
    ([record(image(0.5, b"x"))], "expected a class, got 0.5"),
    ([record(image(float("inf"), b"x"))], "expected a class, got inf"),
]


@pytest.mark.parametrize(("records", "message"), DAMAGED)
def test_damage_is_named_with_its_byte(tmp_path, records, message):
    with pytest.raises(DatasetError, match=message):
        read_recordio(written(tmp_path, records, index=False))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("0\t0\n1\n", "line 2: expected a record and its offset"),
        ("0\t-4\n", "line 1: expected a record"),
        ("0\t4000\n", "offset 4000 of 36 bytes"),
        ("0\t2\n", "no record begins at byte 2"),
        ("", "expected records, found none"),
    ],
)
def test_a_damaged_index_is_named(tmp_path, index, message):
    path = written(tmp_path, [GOOD])
    (tmp_path / "train.idx").write_text(index)
    with pytest.raises(DatasetError, match=message):
        read_recordio(path)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.rec").write_bytes(b"")
    with pytest.raises(DatasetError, match="cannot read"):
        read_recordio(tmp_path / "a.rec")


def test_any_bytes_end_in_an_answer_or_a_typed_error(tmp_path):
    """No byte of a damaged file makes it read out of bounds."""
    whole = b"".join(map(record, BODIES))
    random = np.random.default_rng(0)
    path = tmp_path / "a.rec"
    for _ in range(200):
        data = bytearray(whole)
        data[random.integers(len(data))] = random.integers(256)
        path.write_bytes(data)
        try:
            read = read_recordio(path)
            [read.read(row) for row in range(len(read.labels))]
        except VisavisError:
            continue


def test_the_folder_of_a_data_set_is_enough(tmp_path):
    written(tmp_path, map(record, BODIES))
    (tmp_path / "property").write_text("2,112,112\n")
    assert open_images(tmp_path).labels.tolist() == [0, 0, 1]
    (tmp_path / "other.rec").write_bytes(GOOD)
    with pytest.raises(DatasetError, match=r"2 files of records: other.rec, train.rec"):
        open_images(tmp_path)


@pytest.mark.slow
def test_converted_to_a_hugging_face_data_set_the_bytes_are_as_they_were(tmp_path):
    pytest.importorskip("datasets")
    from visavis.dataset.arrow import write_arrow

    pictures = [jpeg(10), jpeg(200), jpeg(90)]
    bodies = [first(4, 6), *map(image, (0, 0, 1), pictures)]
    source = open_images(written(tmp_path, map(record, bodies)))
    assert write_arrow(tmp_path / "out", source) == 3
    read = open_images(tmp_path / "out")
    assert read.labels.tolist() == [0, 0, 1]
    assert [read.read(row) for row in range(3)] == pictures
    assert read.where(2).endswith("out, row 2")
    import datasets

    plain = datasets.load_from_disk(str(tmp_path / "out"))
    plain.remove_columns("label").save_to_disk(str(tmp_path / "bare"))
    with pytest.raises(DatasetError, match="expected columns image and label, got image"):
        open_images(tmp_path / "bare")


SPLITS = [
    (["test", "train", "validation"], "train"),
    (["all"], "all"),
    (["train"], "train"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("names", "meant"), SPLITS)
def test_of_several_splits_the_one_to_train_on_is_read(tmp_path, names, meant):
    made = splits(tmp_path, names)
    read = open_images(made)
    assert read.source.endswith(f"made/{meant}")
    assert read.labels.tolist() == [names.index(meant)]
    assert open_images(made / names[0]).labels.tolist() == [0]


@pytest.mark.slow
def test_splits_of_which_none_is_to_train_on_are_named(tmp_path):
    made = splits(tmp_path, ["test", "validation"])
    with pytest.raises(DatasetError, match="expected a split train, got test, va") as error:
        open_images(made)
    assert error.value.mend == f"name one of them: {made / 'test'}"


def splits(folder, names):
    """A Hugging Face DatasetDict, whose splits have a picture each, of the class of their place."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(decode=False), "label": datasets.Value("int64")}
    )
    rows = [
        {"image": [{"bytes": jpeg(9), "path": None}], "label": [place]}
        for place, _ in enumerate(names)
    ]
    sets = [datasets.Dataset.from_dict(one, features=features) for one in rows]
    whole = datasets.DatasetDict(dict(zip(names, sets, strict=True)))
    whole.save_to_disk(str(folder / "made"))
    return folder / "made"
