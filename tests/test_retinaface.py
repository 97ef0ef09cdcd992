"""RetinaFace's three outputs to boxes: priors by hand, in any order, scores of either kind."""

from itertools import permutations

import numpy as np
import pytest

from visavis.decode.retinaface import PRIORS, decode_retinaface
from visavis.detect import ScanDetector
from visavis.errors import ModelError

HEIGHT, WIDTH = 96, 160  # not square, so that rows and columns cannot be taken for each other
GRIDS = {8: (20, 12), 16: (10, 6), 32: (5, 3)}  # stride to columns and rows
FIRST = {8: 0, 16: 480, 32: 600}  # row of the first prior of a stride: two on each cell
COUNT = 630
SPOTS = [
    (stride, size, column, row)
    for stride, (columns, rows) in GRIDS.items()
    for size in range(2)
    for column, row in ((0, 0), (columns - 1, 0), (1, rows - 1))
]


def silent(count=COUNT):
    """Outputs in which every prior is background: boxes, classes, points."""
    classes = np.tile(np.float32([1, 0]), (1, count, 1))
    return [np.zeros((1, count, 4), np.float32), classes, np.zeros((1, count, 10), np.float32)]


def lit(row, *, score=1.0, box=(0,) * 4, points=(0,) * 10):
    """The same with one prior that is a face."""
    outputs = silent()
    for output, values in zip(outputs, (box, (1 - score, score), points), strict=True):
        output[0, row] = values
    return outputs


@pytest.mark.parametrize(("stride", "size", "column", "row"), SPOTS)
def test_zeros_mean_the_prior_itself(stride, size, column, row):
    place = FIRST[stride] + 2 * (row * GRIDS[stride][0] + column) + size
    found = decode_retinaface(lit(place), HEIGHT, WIDTH, min_score=0.5)
    x, y, half = (column + 0.5) * stride, (row + 0.5) * stride, PRIORS[stride][size] / 2
    assert found.boxes.tolist() == [[x - half, y - half, x + half, y + half]]
    assert found.landmarks.tolist() == [[[x, y]] * 5]
    assert found.scores.tolist() == [1]


def test_offsets_are_tenths_of_the_prior_and_sizes_fifths_of_a_logarithm():
    box = (1, -2, 5 * np.log(2), 5 * np.log(0.5))
    points = (1, 0, -1, 0, 0, 2, 0, -2, 10, 10)
    found = decode_retinaface(lit(480, box=box, points=points), HEIGHT, WIDTH, min_score=0.5)
    # the prior of 64 pixels round (8, 8): centre (14.4, -4.8), size 128 by 32
    np.testing.assert_allclose(found.boxes, [[-49.6, -20.8, 78.4, 11.2]], rtol=1e-5)
    expected = [[[14.4, 8], [1.6, 8], [8, 20.8], [8, -4.8], [72, 72]]]
    np.testing.assert_allclose(found.landmarks, expected, rtol=1e-5)


@pytest.mark.parametrize("order", [*permutations(range(3))])
def test_outputs_are_told_apart_by_their_last_dimension(order):
    outputs = lit(600, score=0.75)
    found = decode_retinaface([outputs[at] for at in order], HEIGHT, WIDTH, min_score=0.5)
    assert found.boxes.tolist() == [[16 - 128, 16 - 128, 16 + 128, 16 + 128]]
    assert found.scores.tolist() == [0.75]


@pytest.mark.parametrize(
    ("logits", "expected"),
    [((0, 0), 0.5), ((1, 3), 1 / (1 + np.exp(-2))), ((-500, 500), 1), ((500, -500), 0)],
)
def test_logits_are_recognised_and_made_shares(logits, expected):
    outputs = silent()
    outputs[1][:] = 0, -9
    outputs[1][0, 7] = logits
    found = decode_retinaface(outputs, HEIGHT, WIDTH, min_score=0)
    assert found.scores[7] == pytest.approx(expected)
    assert found.scores[8] == pytest.approx(1 / (1 + np.exp(9)), abs=1e-6)


def test_shares_of_bfloat16_are_not_taken_for_logits():
    outputs = lit(0, score=0.9)
    outputs[1] += np.float32(0.004)
    found = decode_retinaface(outputs, HEIGHT, WIDTH, min_score=0.5)
    assert found.scores == pytest.approx(0.904)


@pytest.mark.parametrize(("score", "faces"), [(0.5, 1), (0.49, 0)])
def test_a_score_of_exactly_the_least_is_a_face(score, faces):
    assert len(decode_retinaface(lit(3, score=score), HEIGHT, WIDTH, min_score=0.5).scores) == faces


def test_the_last_cells_may_be_cut():
    cells = 12 * 8 + 6 * 4 + 3 * 2  # of 90 x 60 pixels, at 8, 16 and 32
    found = decode_retinaface(silent(2 * cells), 60, 90, min_score=0)
    assert found.boxes[-1].tolist() == [80 - 256, 48 - 256, 80 + 256, 48 + 256]


def test_other_counts_than_there_are_priors_are_an_error():
    image = np.zeros((64, 64, 3), np.uint8)
    detect = ScanDetector(lambda pictures: silent(), decode_retinaface, 0.5, 0.4)
    with pytest.raises(ModelError, match="do not fit together"):
        detect(image)


def test_a_size_beyond_all_numbers_is_an_error_and_no_warning():
    def broken(pictures):
        cells = sum(-(-pictures.shape[1] // s) * -(-pictures.shape[2] // s) for s in PRIORS)
        outputs = silent(2 * cells)
        outputs[0][:], outputs[1][:] = 1e6, (0, 1)
        return outputs

    with pytest.raises(ModelError, match="far from the picture"):
        ScanDetector(broken, decode_retinaface, 0.5, 0.4)(np.zeros((64, 64, 3), np.uint8))


def test_silence_is_no_face():
    found = decode_retinaface(silent(), HEIGHT, WIDTH, min_score=0.5)
    assert (found.boxes.shape, found.landmarks.shape) == ((0, 4), (0, 5, 2))
