"""Counts in grammar."""

import pytest

from visavis.answers.counts import counted, people_counted


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (counted(0, "photo"), "0 photos"),
        (counted(1, "photo"), "1 photo"),
        (counted(2, "photo"), "2 photos"),
        (counted(12_345, "face"), "12,345 faces"),
        (people_counted(1), "1 person"),
        (people_counted(2), "2 people"),
    ],
)
def test_a_count_agrees_with_its_noun(words, expected):
    assert words == expected
