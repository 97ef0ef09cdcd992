"""Average precision by WIDER FACE's protocol, by hand and line by line."""

import numpy as np
import pytest

from visavis.errors import DatasetError
from visavis.metrics.detection import Detections, average_precision, overlaps, precision_recall

FACE, OTHER = (0, 0, 9, 9), (20, 0, 29, 9)  # 10x10 pixels each
NOWHERE = (80, 80, 89, 89)


@pytest.mark.parametrize(
    ("box", "other", "expected"),
    [
        (FACE, FACE, 1),
        (FACE, OTHER, 0),
        (FACE, (0, 0, 9, 4), 0.5),  # five rows of ten
        (FACE, (5, 0, 14, 9), 1 / 3),
        (FACE, (9, 9, 18, 18), 1 / 199),  # one pixel
        (FACE, (10, 0, 19, 9), 0),  # side by side
        ((0, 0, 0, 0), (0, 0, 0, 0), 1),  # a pixel
    ],
)
def test_overlap_by_hand(box, other, expected):
    found = overlaps(np.array([box], np.float64), np.array([other], np.float64))
    assert found == pytest.approx(np.array([[expected]]))


def found_of(*rows):
    """(box, score) pairs."""
    boxes = np.array([box for box, _ in rows], np.float64).reshape(-1, 4)
    return Detections(boxes, np.array([score for _, score in rows], np.float64))


def score(pictures):
    """The average precision of (found, faces, counted) pictures."""
    found, boxes, counted = zip(*pictures, strict=True)
    boxes = [np.array(each, np.float64).reshape(-1, 4) for each in boxes]
    flags = [np.array(each, bool) for each in counted]
    return average_precision(*precision_recall(found, boxes, flags))


FIRST, LATER = (FACE, 0.9), (OTHER, 0.1)  # a box on each face, and its score
AGAIN, ASTRAY = (FACE, 0.8), (NOWHERE, 0.8)
ALONE, STRAY = (found_of((FACE, 0.2)), [FACE], [1]), found_of((NOWHERE, 0.9))


def both(*rows):
    """One picture with FACE and OTHER, both counted."""
    return [(found_of(*rows), [FACE, OTHER], [1, 1])]


def second(*rows):
    """The same, FACE ignored."""
    return [(found_of(*rows), [FACE, OTHER], [0, 1])]


CASES = {
    "perfect": (1, [*both(FIRST, LATER), ALONE]),
    "nothing found": (0, both()),
    "one of two": (0.5, both(FIRST)),
    "an error above: precision 1/2, then 2/3": (2 / 3, both((NOWHERE, 1), FIRST, LATER)),
    "an error between: 1, then 2/3": ((1 + 2 / 3) / 2, both(FIRST, ASTRAY, LATER)),
    "an error below costs nothing": (1, both(FIRST, LATER, (NOWHERE, 0))),
    "a second box on a face is an error": ((1 + 2 / 3) / 2, both(FIRST, AGAIN, LATER)),
    "in whatever order": ((1 + 2 / 3) / 2, both(LATER, AGAIN, FIRST)),
    "half of the union is enough": (1, [(found_of(((0, 0, 9, 4), 0.9)), [FACE], [1])]),
    "less is not": (0, [(found_of(((0, 0, 9, 3), 0.9)), [FACE], [1])]),
    "an ignored face is neither hit nor error": (1, second(FIRST, LATER)),
    "nor twice": (1, second(FIRST, AGAIN, LATER)),
    "nor missed": (1, second(LATER)),
    "of two faces the one overlapped most": (0, [(found_of(FIRST), [(0, 0, 9, 11), FACE], [1, 0])]),
    "in a picture without a face nothing is judged": (1, [ALONE, (STRAY, [], [])]),
    "but in one with ignored ones": (0.5, [ALONE, (STRAY, [OTHER], [0])]),
    "a missed picture": (0.5, [ALONE, (found_of(), [FACE], [1])]),
    "equal scores are one threshold": (0.5, [(found_of(AGAIN, ASTRAY), [FACE], [1])]),
}


@pytest.mark.parametrize(("expected", "pictures"), CASES.values(), ids=CASES)
def test_average_precision_by_hand(expected, pictures):
    assert score(pictures) == pytest.approx(expected)


@pytest.mark.parametrize("scale", [1, 100, 1e-3])
@pytest.mark.parametrize("shift", [0, -5])
def test_only_the_order_and_spacing_of_scores_count(scale, shift):
    rows = [(NOWHERE, 0.95), (FACE, 0.9), (NOWHERE, 0.5), (OTHER, 0.1)]
    moved = found_of(*((box, value * scale + shift) for box, value in rows))
    pictures = [(moved, [FACE, OTHER], [1, 1])]
    assert score(pictures) == score(both(*rows)) == 0.5
    rows = [(FACE, 0.9), (NOWHERE, 0.5), (OTHER, 0.1)]
    moved = found_of(*((box, value * scale + shift) for box, value in rows))
    assert score([(moved, [FACE, OTHER], [1, 1])]) == pytest.approx(5 / 6)  # 1, and then 2 of 3


def test_scores_within_a_thousandth_are_one_threshold():
    rows = [(FACE, 1.0), (NOWHERE, 0.5002), (OTHER, 0.5001), (NOWHERE, 0.0)]
    precision, recall = precision_recall(
        [found_of(*rows)], [np.array([FACE, OTHER], np.float64)], [np.ones(2, bool)]
    )
    assert (len(precision), recall[0], recall[-1]) == (1000, 0.5, 1)
    assert (recall[498], recall[499], precision[499]) == (0.5, 1, 2 / 3)  # thresholds 0.501, 0.5
    assert precision[-1] == 0.5


def judged(found, truth, counted):
    """Of the official tool's two lists: whether a box is proposed, how many faces are recalled."""
    recalled, proposed, reached = np.zeros(len(truth)), np.ones(len(found.boxes)), []
    for row, share in enumerate(overlaps(found.boxes, truth)):
        best = share.argmax()
        if share[best] >= 0.5 and not counted[best]:
            recalled[best] = proposed[row] = -1
        elif share[best] >= 0.5 and recalled[best] == 0:
            recalled[best] = 1
        reached.append(np.sum(recalled == 1))
    return proposed, reached


def official(pictures):
    """The official tool, line by line, of pictures in which something was found."""
    scores = np.concatenate([found.scores for found, _, _ in pictures])
    low, high = scores.min(), scores.max()
    curve = np.zeros((1000, 2))
    for found, truth, counted in pictures:
        order = np.argsort(-found.scores, kind="stable")
        values = ((found.scores - low) / (high - low))[order]
        proposed, reached = judged(Detections(found.boxes[order], values), truth, counted)
        for step in range(1000):
            above = np.flatnonzero(values >= 1 - (step + 1) / 1000)
            if len(above):
                curve[step] += np.sum(proposed[: above[-1] + 1] == 1), reached[above[-1]]
    faces = sum(sum(counted) for _, _, counted in pictures)
    recall = np.r_[0, curve[:, 1] / faces, 1]
    precision = np.r_[0, curve[:, 1] / np.maximum(curve[:, 0], 1), 0]
    for row in range(len(precision) - 1, 0, -1):
        precision[row - 1] = max(precision[row - 1], precision[row])
    steps = np.flatnonzero(recall[1:] != recall[:-1])
    return np.sum((recall[steps + 1] - recall[steps]) * precision[steps + 1])


@pytest.mark.parametrize("seed", range(10))
def test_average_precision_is_that_of_the_official_tool(seed):
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(12):
        corner = rng.uniform(0, 60, (8, 2))
        truth = np.concatenate([corner, corner + rng.uniform(8, 25, (8, 2))], axis=1)
        near = truth[rng.integers(0, 8, 20)] + rng.normal(0, 2, (20, 4))
        pictures.append((Detections(near, rng.random(20).round(2)), truth, rng.random(8) < 0.6))
    assert score(pictures) == pytest.approx(official(pictures), abs=1e-12)
    assert 0.05 < score(pictures) < 0.95


def test_a_score_that_is_no_number_is_an_error():
    with pytest.raises(DatasetError, match="expected finite scores, got nan"):
        score([(found_of((FACE, np.nan)), [FACE], [1])])


def test_no_face_to_find_is_an_error():
    with pytest.raises(DatasetError, match="none that is counted"):
        score([(found_of((FACE, 0.9)), [FACE], [0])])
