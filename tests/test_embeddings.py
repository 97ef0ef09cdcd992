"""Embeddings of photos to files, and back as other tools read them."""

import csv

import numpy as np
import pytest
from PIL import Image as Pillow

from visavis import embeddings as table
from visavis.alignment import ARCFACE_112
from visavis.embeddings import (
    EmbeddedFace,
    check_writable,
    embed_photo,
    paths_beside,
    rows_beside,
    write_table,
)
from visavis.errors import ImageError, NoFaceError, OutputError
from visavis.types import Face

WHOLE = Face(np.float32([0, 0, 112, 112]), ARCFACE_112.astype(np.float32), 0.75)
HALF = Face(np.float32([56, 0, 112, 56]), np.float32(ARCFACE_112 / 2 + [56, 0]), 0.5)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Pillow.new("RGB", (112, 112), (99, 199, 0)).save(path)
    return path


GREEN = np.array([100, 200, 1, 100, 200, 1]) / np.linalg.norm([100, 200, 1, 100, 200, 1])


def row(number, path="a.jpg"):
    embedding = np.eye(6, dtype=np.float32)[[number]]
    return EmbeddedFace(path, np.float32([number, 2, 3, 4]), number / 4, embedding)


ROWS = [row(2), row(0, "b/ü.jpg"), row(0)]


def test_the_largest_face_of_a_photo_is_embedded(photo, fake_embedder):
    (found,) = embed_photo(photo, lambda image: [WHOLE, HALF], fake_embedder)
    assert (found.path, found.box.tolist(), found.score) == (str(photo), [0, 0, 112, 112], 0.75)
    np.testing.assert_allclose(found.embedding, [GREEN], atol=0.01)


def test_every_face_of_a_photo_is_embedded_where_asked(photo, fake_embedder):
    found = embed_photo(photo, lambda image: [WHOLE, HALF], fake_embedder, every=True)
    assert [face.box.tolist() for face in found] == [[0, 0, 112, 112], [56, 0, 112, 56]]
    assert [face.embedding.shape for face in found] == [(1, 6), (1, 6)]
    np.testing.assert_allclose(found[1].embedding, [GREEN], atol=0.01)


def test_faces_of_about_one_size_are_no_reason_to_ask(photo, fake_embedder):
    assert len(embed_photo(photo, lambda image: [WHOLE, WHOLE], fake_embedder)) == 1


def test_a_crop_is_embedded_as_it_is(photo, fake_embedder):
    (found,) = embed_photo(photo, None, fake_embedder)
    assert (found.box.tolist(), found.score) == ([0, 0, 112, 112], 1)
    np.testing.assert_allclose(found.embedding, [GREEN], atol=1e-6)


def test_a_photo_that_gives_nothing_is_named(photo, fake_embedder):
    with pytest.raises(NoFaceError, match=r"photo\.png: no face found"):
        embed_photo(photo, lambda image: [], fake_embedder, every=True)
    Pillow.new("RGB", (50, 60)).save(photo)
    with pytest.raises(ImageError, match=r"photo\.png: expected a 112x112 crop, got 50x60"):
        embed_photo(photo, None, fake_embedder)


def test_an_npz_holds_everything(tmp_path, fake_embedder):
    write_table(tmp_path / "faces.npz", ROWS, fake_embedder)
    with np.load(tmp_path / "faces.npz") as file:
        assert sorted(file) == ["boxes", "embeddings", "model", "paths", "scores"]
        assert file["embeddings"].dtype == file["boxes"].dtype == file["scores"].dtype == np.float32
        np.testing.assert_array_equal(file["embeddings"], np.eye(6)[[2, 0, 0]])
        assert file["paths"].tolist() == ["a.jpg", "b/ü.jpg", "a.jpg"]
        assert file["boxes"].tolist() == [[2, 2, 3, 4], [0, 2, 3, 4], [0, 2, 3, 4]]
        assert file["scores"].tolist() == [0.5, 0, 0]
        assert str(file["model"]) == "fake@0"


def test_an_npy_holds_the_embeddings(tmp_path, fake_embedder):
    write_table(tmp_path / "faces.npy", ROWS, fake_embedder)
    np.testing.assert_array_equal(np.load(tmp_path / "faces.npy"), np.eye(6)[[2, 0, 0]])


def test_no_rows_are_an_empty_table(tmp_path, fake_embedder):
    write_table(tmp_path / "faces.npz", [], fake_embedder)
    write_table(tmp_path / "faces.npy", [], fake_embedder)
    with np.load(tmp_path / "faces.npz") as file:
        shapes = {name: file[name].shape for name in file}
    assert shapes == {
        "embeddings": (0, 6), "paths": (0,), "boxes": (0, 4), "scores": (0,), "model": ()
    }  # fmt: skip
    assert np.load(tmp_path / "faces.npy").shape == (0, 6)


@pytest.mark.parametrize("rows", [ROWS, []], ids=["three", "none"])
def test_a_parquet_file_holds_everything(tmp_path, fake_embedder, rows):
    parquet = pytest.importorskip("pyarrow.parquet")
    check_writable(tmp_path / "faces.parquet")
    write_table(tmp_path / "faces.parquet", rows, fake_embedder)
    read = parquet.read_table(tmp_path / "faces.parquet")
    assert sorted(read.column_names) == ["box", "embedding", "path", "score"]
    assert read["path"].to_pylist() == [row.path for row in rows]
    assert read["score"].to_pylist() == [row.score for row in rows]
    assert read["box"].to_pylist() == [row.box.tolist() for row in rows]
    assert read["embedding"].to_pylist() == [row.embedding[0].tolist() for row in rows]
    assert read.schema.metadata[b"model"] == b"fake@0"
    assert read.schema.field("embedding").type.list_size == 6


def test_parquet_without_its_package_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    with pytest.raises(OutputError, match=r"pip install '\.\[parquet\]'"):
        check_writable(tmp_path / "faces.parquet")
    check_writable(tmp_path / "faces.npz")  # needs no package


@pytest.mark.parametrize("name", ["faces.csv", "faces", "faces.NPZ", "faces.npz.gz"])
def test_an_unknown_suffix_lists_the_known_ones(tmp_path, name):
    with pytest.raises(OutputError, match=r"expected a name in \.npz, \.npy, \.parquet"):
        check_writable(tmp_path / name)


def test_a_missing_folder_is_an_error_and_a_relative_name_is_none(tmp_path, monkeypatch):
    with pytest.raises(OutputError, match=r"no such folder: .*none"):
        check_writable(tmp_path / "none" / "faces.npz")
    monkeypatch.chdir(tmp_path)
    check_writable((tmp_path / "faces.npz").relative_to(tmp_path))


def test_a_folder_that_has_gone_is_an_error(tmp_path, fake_embedder):
    with pytest.raises(OutputError, match=r"faces\.npz: cannot write"):
        write_table(tmp_path / "none" / "faces.npz", ROWS, fake_embedder)


def test_beside_a_npy_stands_whose_face_each_row_is(tmp_path, fake_embedder):
    write_table(tmp_path / "faces.npy", ROWS, fake_embedder)
    header, *lines = rows_beside(tmp_path / "faces.npy").read_text().splitlines()
    assert header == "path,left,top,right,bottom,score"
    assert len(lines) == len(np.load(tmp_path / "faces.npy")) == len(ROWS)
    for line, row in zip(csv.reader(lines), ROWS, strict=True):
        assert line[0] == row.path
        assert [float(cell) for cell in line[1:5]] == pytest.approx(row.box.tolist(), abs=0.05)
    write_table(tmp_path / "others.npz", ROWS, fake_embedder)
    assert [path.name for path in tmp_path.glob("others*")] == ["others.npz"]


def test_beside_a_npy_stands_a_path_a_line(tmp_path, fake_embedder):
    """A line break in a photo's name makes no line of its own."""
    write_table(tmp_path / "faces.npy", [*ROWS, row(1, "a\nb.jpg")], fake_embedder)
    lines = paths_beside(tmp_path / "faces.npy").read_text(encoding="utf-8").split("\n")
    assert lines == ["a.jpg", "b/ü.jpg", "a.jpg", "a\\nb.jpg", ""]
