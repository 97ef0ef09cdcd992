"""Which photos hang together: by a number line of angles, worked out by hand."""

import numpy as np
import pytest
from made import angle

from visavis.agreement import agreeing

LEAST = 0.5  # alike are brightnesses up to 33 apart: cos(33 * 1.8 degrees) is 0.51


@pytest.mark.parametrize(
    ("levels", "near", "expected"),
    [
        ([60], None, [1]),
        ([60, 70, 160], None, [1, 1, 0]),
        ([60, 160], None, [0, 0]),  # two, and no third to say which is right
        ([60, 70, 160, 170], None, [0, 0, 0, 0]),
        ([60, 70, 80, 160, 170], None, [1, 1, 1, 0, 0]),
        ([60, 90, 120], None, [1, 1, 1]),  # the ends hang together by the middle
        ([60, 160], [True, False], [1, 0]),
        ([60, 160], [False, False], [0, 0]),
        ([60, 90, 120, 170], [True, False, False, False], [1, 1, 1, 0]),
        ([60, 160, 170, 165], [True, False, False, False], [1, 0, 0, 0]),  # not by number
    ],
)
def test_the_photos_that_hang_together(levels, near, expected):
    rows = np.stack([angle(level) for level in levels])
    known = None if near is None else np.array(near)
    assert agreeing(rows, known, LEAST).tolist() == [bool(one) for one in expected]
