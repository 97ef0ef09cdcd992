"""One embedder on one data set, as a run: what it holds, and that it comes back from its file."""

import io
from dataclasses import fields, replace

import numpy as np
import pytest
from PIL import Image as Pillow
from test_protocols import COLORS, colored, seen_in

from visavis.dataset import open_tree
from visavis.errors import DatasetError, ImageError
from visavis.evaluate.protocols import CropSource
from visavis.evaluate.run import Subject, load_run, measure, save_run, scores_csv


@pytest.fixture
def tree(tmp_path):
    for name, color in COLORS.items():
        Pillow.new("RGB", (112, 112), color).save(tmp_path / name)
    return open_tree(tmp_path)


def subject(embed, **more):
    return Subject("fake", embed, settings={"precision": "float32"}, **more)


def test_a_run_says_what_was_measured(tree, fake_embedder, calibration):
    run = measure(
        subject(fake_embedder, calibration=calibration, bytes=7), CropSource(tree), colored()
    )
    about = run.about
    assert (about.name, about.bytes, about.calibration) == ("fake", 7, calibration)
    assert about.settings == {"model": "fake@0", "precision": "float32"}
    assert (about.names, about.result.pairs) == ([*COLORS], 3)
    similar = [run.embeddings[a] @ run.embeddings[b] for a, b in ((0, 2), (0, 1), (1, 2))]
    np.testing.assert_allclose(run.similarity, similar, rtol=1e-6)
    assert run.labels.tolist() == [-1, -1, -1]
    assert run.pairs.labels is None


def test_people_are_named_by_folder_and_numbered_without_gaps(tmp_path, fake_embedder):
    for name, color in COLORS.items():
        (tmp_path / name[:-4]).mkdir()
        Pillow.new("RGB", (112, 112), color).save(tmp_path / name[:-4] / name)
    names = tuple(f"{name[:-4]}/{name}" for name in COLORS)
    pairs = replace(colored(), names=names, labels=np.array([7, 3, 7]))
    run = measure(subject(fake_embedder), CropSource(open_tree(tmp_path)), pairs)
    assert (run.about.people, run.labels.tolist()) == (["green", "red"], [1, 0, 1])


def test_a_run_keeps_the_crops_of_its_worst_pairs(tree, fake_embedder):
    run = measure(subject(fake_embedder), CropSource(tree), colored())
    for row, crop in zip(run.shown, run.crops, strict=True):
        assert crop[0, 0].tolist() == list([*COLORS.values()][row])


def test_a_bad_picture_is_named_or_left_out(tree, fake_embedder, tmp_path):
    (tmp_path / "green.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"line 3: green\.png"):
        measure(subject(fake_embedder), CropSource(tree), colored())


def test_any_callable_with_a_model_and_a_dim_is_measured(tree):
    class Rival:
        model, dim, margin = "rival", 2, 0.0

        def __call__(self, crops):
            angle = crops[:, 0, 0, 0].astype(float)
            return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)

    run = measure(Subject("rival", Rival()), CropSource(tree), colored())
    assert run.similarity[0] == pytest.approx(np.cos(190), abs=1e-6)


def test_time_is_of_embedding_after_the_first_call(tree, fake_embedder, monkeypatch):
    monkeypatch.setattr("visavis.evaluate.protocols.CHUNK", 1)
    run = measure(subject(fake_embedder), CropSource(tree), colored())
    assert 0 < run.about.milliseconds < 1000


def test_scores_are_a_line_a_pair_and_empty_without_a_face(tree, fake_embedder):
    source = CropSource(tree, seen_in(COLORS["red.png"], COLORS["blue.png"]))
    lines = scores_csv(measure(subject(fake_embedder), source, colored())).decode().splitlines()
    assert lines[0] == "reference,probe,mated,similarity"
    assert lines[1].startswith("red.png,blue.png,1,0.")
    assert lines[2:] == ["red.png,green.png,0,", "green.png,blue.png,0,"]


def test_a_run_comes_back_from_its_file(tree, fake_embedder, calibration, tmp_path):
    run = measure(subject(fake_embedder, calibration=calibration), CropSource(tree), colored())
    save_run(tmp_path / "run.npz", run)
    again = load_run(tmp_path / "run.npz")
    assert again.about == run.about
    for field in fields(run):
        if field.name != "about":
            np.testing.assert_array_equal(getattr(again, field.name), getattr(run, field.name))


def spoiled(run, path, **arrays):
    """The run's file with some arrays exchanged, None: left out."""
    save_run(path, run)
    with np.load(path) as file:
        kept = {name: file[name] for name in file.files} | arrays
    np.savez(path, **{name: array for name, array in kept.items() if array is not None})


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"left": None}, "expected .*'left'.*, got"),
        ({"other": np.zeros(1)}, "got .*'other'"),
        ({"left": np.array([0, 0, 3])}, "left: expected rows below 3"),
        ({"right": np.array([0, -1, 2])}, "right: expected rows below 3"),
        ({"similarity": np.zeros(2)}, r"similarity: expected \(3,\) of kind .f., got \(2,\)"),
        ({"crops": np.zeros((1, 112, 112, 1), np.uint8)}, "crops: expected"),
        ({"embeddings": np.zeros(3, np.float32)}, "embeddings: expected"),
        ({"embeddings": np.zeros((2, 6), np.float32)}, "embeddings: expected"),
        ({"same": np.zeros(3)}, "same: expected .* of kind 'b'"),
        ({"labels": np.array([0, 0, 0])}, "labels: expected rows below 0"),
        ({"run.json": np.frombuffer(b"{}", np.uint8)}, "name: Field required"),
        ({"same": np.array([None] * 3)}, "allow_pickle"),
    ],
)
def test_a_file_that_is_no_run_is_refused(tree, fake_embedder, tmp_path, arrays, message):
    run = measure(subject(fake_embedder), CropSource(tree), colored())
    spoiled(run, tmp_path / "run.npz", **arrays)
    with pytest.raises(DatasetError, match=message):
        load_run(tmp_path / "run.npz")


def npy():
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3))
    return buffer.getvalue()


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"no run", b"\x93NUMPY", npy()])
def test_other_files_are_no_runs(tmp_path, data):
    (tmp_path / "run.npz").write_bytes(data)
    with pytest.raises(DatasetError, match=r"run\.npz: expected"):
        load_run(tmp_path / "run.npz")
