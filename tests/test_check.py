"""A network against its manifest: with doubles that answer what a table says."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from made_detectors import network, remade

from visavis.errors import ImageError, PackError
from visavis.pack import check, load_pack
from visavis.pack.build import detector_part
from visavis.pack.check import (
    check_detector,
    check_embedder,
    check_everywhere,
    check_network,
    check_same,
)
from visavis.pack.declaration import Declared
from visavis.pack.manifest import DetectorSpec
from visavis.pack.verify import _detector
from visavis.runtime import Preprocess

ORIGIN = load_pack().manifest.detector.origin
SPEC = DetectorSpec("detector.onnx", "0" * 64, "scrfd", ORIGIN)
PLAIN = Preprocess("rgb", (0, 0, 0), (1, 1, 1))


def scrfd(height, width, *, kinds=(1, 4, 10)):
    """The shapes of SCRFD's outputs: two anchors a cell, at strides of 8, 16 and 32."""
    cells = [(height // stride) * (width // stride) * 2 for stride in (8, 16, 32)]
    return [(count, kind) for kind in kinds for count in cells]


class Double:
    """A loaded detector that answers for the picture's size, or always for `answers`."""

    def __init__(self, kinds=(1, 4, 10), size=None, answers=None):
        self.kinds, self.size, self.answers, self.asked = kinds, size, answers, []
        self.shapes = [(None, kind) for kind in kinds for _ in range(3)]

    def __call__(self, pictures):
        self.asked.append(pictures.shape)
        height, width = self.answers or pictures.shape[1:3]
        return [np.zeros(shape, np.float32) for shape in scrfd(height, width, kinds=self.kinds)]


@pytest.mark.parametrize(
    ("size", "asked"),
    [(None, [(1, 128, 256, 3), (1, 256, 128, 3)]), ((64, 96), [(1, 64, 96, 3)])],
)
def test_a_detector_is_run_on_pictures_that_are_wide_and_high(size, asked):
    double = Double(size=size)
    assert check_detector(double, SPEC, "it")
    assert double.asked == asked


def test_a_detector_of_boxes_alone_says_so():
    assert not check_detector(Double(kinds=(1, 4)), SPEC, "it")


def boxes_alone():
    """SCRFD without landmarks, of 64x64 pixels: an ONNX file."""
    return network([np.zeros(shape, np.float32) for shape in scrfd(64, 64, kinds=(1, 4))], 64, 64)


def test_no_pack_is_made_of_a_detector_of_boxes_alone(tmp_path):
    path = tmp_path / "boxes.onnx"
    path.write_bytes(boxes_alone())
    with pytest.raises(PackError, match="expected a detector that gives five landmarks"):
        detector_part(path, Declared(color="rgb", mean=(0, 0, 0), std=(1, 1, 1)))


def test_a_pack_with_a_detector_of_boxes_alone_is_named(pack, tmp_path):
    made = remade(pack, tmp_path / "pack", boxes_alone(), decoder="scrfd")
    errors = [one for one in _detector(made, made.manifest.detector) if one.level == "error"]
    assert [(one.subject, one.text) for one in errors] == [
        ("detector.onnx", "it gives no landmarks, so that no face can be aligned")
    ]


@pytest.mark.parametrize("answers", [(128, 256), (256, 128)])
def test_a_detector_that_answers_for_another_size_is_refused(answers):
    with pytest.raises(PackError, match=r"calls for other answers than .*another size"):
        check_detector(Double(answers=(128, 128)), SPEC, "it")
    # 128x256 and 256x128 have as many cells: who mixes them up is not seen by counting
    assert check_detector(Double(answers=answers), SPEC, "it")


@pytest.mark.parametrize(
    ("shapes", "size", "said"),
    [
        (scrfd(64, 64, kinds=(1, 4, 9)), None, "its outputs fit none of"),
        ([(1, None, kind) for kind in (1, 4, 10) for _ in range(3)], None, None),
        ([(2, None, kind) for kind in (1, 4, 10) for _ in range(3)], None, "a batch of one"),
        (scrfd(64, 96), (64, 96), None),
        (scrfd(64, 96), (64, 128), "a picture of 64x128 calls for other answers"),
        ([(1, *shape) for shape in scrfd(64, 96)], (64, 96), None),
        ([(1, *shape) for shape in scrfd(64, 96)], (64, 128), "a picture of 64x128 calls for"),
        ([(None, *shape) for shape in scrfd(64, 96)], (64, 96), None),
        ([(None, *shape) for shape in scrfd(64, 96)], (64, 128), "a picture of 64x128 calls for"),
        (scrfd(64, 96), (64, 100), "multiples of 32, got one for 64x100"),
        (scrfd(64, 96), (50, 96), "multiples of 32, got one for 50x96"),
    ],
)
def test_outputs_are_held_against_the_decoder(shapes, size, said):
    if said is None:
        check_network(SPEC, shapes, size, "it")
    else:
        with pytest.raises(PackError, match=said):
            check_network(SPEC, shapes, size, "it")


@pytest.mark.parametrize(
    "declared",
    [{"squashed_landmarks": True}, {"anchors": (((1.0, 1.0),) * 3,) * 3}],
    ids=["squashed", "anchors"],
)
def test_what_is_yolov5faces_alone_is_declared_of_no_other(declared):
    with pytest.raises(PackError, match=r"are yolov5face's alone.* the 9 of a scrfd"):
        check_network(replace(SPEC, **declared), scrfd(64, 96), None, "it")


@pytest.mark.parametrize(
    ("size", "said"), [(None, "a dynamic height and width"), ((64, 96), "a batch of one")]
)
def test_a_detector_that_refuses_says_what_was_expected(size, said):
    class Refuses(Double):
        def __call__(self, pictures):
            raise ImageError("too large")

    with pytest.raises(PackError, match=f"it: expected {said}; too large"):
        check_detector(Refuses(size=size), SPEC, "it")


def answers_of(monkeypatch, answer):
    """Let every embedder be this function of (N, H, W, 3) pictures."""
    monkeypatch.setattr(check, "loaded", lambda *_: answer)
    return check_embedder(b"", PLAIN, (8, 6), "it")


def turned(cosine):
    """An embedder whose first answer has this cosine to itself in a batch."""

    def answer(pictures):
        rows = np.tile(np.float32([2, 0, 0, 0]), (len(pictures), 1))
        if len(pictures) > 1:
            rows[0] = [cosine, np.sqrt(1 - cosine**2), 0, 0]
        return [rows]

    return answer


@pytest.mark.parametrize(
    ("cosine", "passes"), [(1, True), (0.99995, True), (0.99985, False), (0.5, False), (-1, False)]
)
def test_a_crop_is_the_same_in_every_batch(monkeypatch, cosine, passes):
    if passes:
        assert answers_of(monkeypatch, turned(cosine)) == 4
    else:
        with pytest.raises(PackError, match=f"with the batch it is in \\(cosine {cosine:.4f}\\)"):
            answers_of(monkeypatch, turned(cosine))


def always(*outputs):
    """An embedder of so many numbers in each output, for each picture."""
    return lambda pictures: [np.ones((len(pictures), *shape), np.float32) for shape in outputs]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (always(), r"expected \(1, D\) embeddings.*got no output"),
        (always((4,), (4,)), r"got \(1, 4\) and \(1, 4\)"),
        (always((4,), (1,), (1,)), r"got \(1, 4\) and \(1, 1\) and \(1, 1\)"),
        (always((4, 1)), r"got \(1, 4, 1\)"),
        (always((0,)), r"got \(1, 0\)"),
        (lambda pictures: [np.ones((1, 4), np.float32)], r"expected \(3, D\) .*got \(1, 4\)"),
        (lambda pictures: [np.ones((len(pictures), 3 + len(pictures)))], "of one length, got 4"),
        (
            lambda pictures: [np.zeros((len(pictures), 4))],
            "embeddings that are not all zero",
        ),
        (lambda pictures: [np.full((len(pictures), 4), np.inf)], "finite embeddings"),
    ],
)
def test_what_is_no_embedding_is_refused(monkeypatch, answer, said):
    with pytest.raises(PackError, match=said):
        answers_of(monkeypatch, answer)


def test_an_embedder_is_run_alone_and_in_three_and_may_give_lengths(monkeypatch):
    asked = []

    def answer(pictures):
        asked.append(pictures.shape)
        return always((5,), (1,))(pictures)

    assert answers_of(monkeypatch, answer) == 5
    assert asked == [(1, 8, 6, 3), (3, 8, 6, 3)]


@pytest.mark.parametrize(("most", "said"), [(0, "for this size"), (1, "a dynamic batch")])
def test_an_embedder_that_refuses_says_what_was_expected(monkeypatch, most, said):
    def answer(pictures):
        if len(pictures) > most:
            raise ImageError("too many")
        return always((4,))(pictures)

    with pytest.raises(PackError, match=f"it: expected .*{said}.*; too many"):
        answers_of(monkeypatch, answer)


def answering(monkeypatch, answers):
    """Networks that answer with these rows, in this order; the pictures that they were shown."""
    shown, left = [], [np.array(rows, np.float32) for rows in answers]

    def loaded(data, preprocess, source, device=None):
        rows = left.pop(0)
        return lambda pictures: shown.append(pictures) or [rows]

    monkeypatch.setattr(check, "loaded", loaded)
    return shown


SPEC_4X5 = SimpleNamespace(size=(4, 5), preprocess=PLAIN)


def test_an_int8_form_is_as_like_as_its_least_like_embedding(monkeypatch):
    """Of (0, 2) and (5, 12): 24 / (2 * 13)."""
    exact, coarse = [[3, 4], [5, 0], [0, 2]], [[6, 8], [1, 0], [5, 12]]
    shown = answering(monkeypatch, [exact, coarse])
    assert check_same(b"", b"", SPEC_4X5, "it") == pytest.approx(12 / 13)
    assert [pictures.shape for pictures in shown] == [(3, 4, 5, 3)] * 2
    assert (shown[0] == shown[1]).all()


@pytest.mark.parametrize(
    ("coarse", "said"),
    [
        ([[6, 8], [1, 0], [1, 0]], r"cosine of 0\.0000"),
        ([[6, 8], [1, 0], [0, -2]], r"cosine of -1\.0000"),
        ([[6, 8, 0]] * 3, r"expected \(3, 2\) embeddings, got \(3, 3\)"),
    ],
)
def test_an_int8_form_of_another_network_is_refused(monkeypatch, coarse, said):
    answering(monkeypatch, [[[3, 4], [5, 0], [0, 2]], coarse])
    with pytest.raises(PackError, match=said):
        check_same(b"", b"", SPEC_4X5, "it")


@pytest.mark.parametrize(("other", "same"), [([6, 8], True), ([4, 3], False), ([-3, -4], False)])
def test_every_runtime_gives_one_embedding(monkeypatch, other, same):
    """However long it is; of (3, 4) and (4, 3) the cosine is 0.96."""
    runtimes = [SimpleNamespace(name=name) for name in ("openvino", "onnxruntime")]
    monkeypatch.setattr(check, "available_runtimes", lambda: runtimes)
    shown = answering(monkeypatch, [[[3, 4]], [other]])
    if same:
        check_everywhere(b"", PLAIN, (4, 5), "it")
    else:
        with pytest.raises(PackError, match="onnxruntime gives another embedding"):
            check_everywhere(b"", PLAIN, (4, 5), "it")
    assert [pictures.shape for pictures in shown] == [(1, 4, 5, 3)] * 2
