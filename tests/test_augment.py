"""Crops changed at random: how often, by how much, and the same for the same seed."""

import numpy as np
import pytest

pytest.importorskip("torch")
from visavis.train import augment as room
from visavis.train.augment import augment
from visavis.train.recipe import Augmentation

IMAGE = np.random.default_rng(0).integers(1, 255, (112, 112, 3), np.uint8)
NEVER = Augmentation(flip=0.0)


def seeded(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_nothing_is_changed_where_nothing_is_said():
    assert augment(IMAGE, NEVER, seeded(0)) is IMAGE


def test_a_mirror():
    assert np.array_equal(augment(IMAGE, Augmentation(flip=1.0), seeded(0)), IMAGE[:, ::-1])


@pytest.mark.parametrize("seed", range(20))
def test_a_part_stays_where_it_was(seed):
    kept = room.keep_part(IMAGE, seeded(seed))
    shown = kept.any(axis=2)
    assert np.array_equal(kept[shown], IMAGE[shown])
    rows, columns = (np.flatnonzero(shown.any(axis=axis)) for axis in (1, 0))
    high, wide = len(rows), len(columns)
    assert shown.sum() == high * wide == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
    assert 0.19 <= high * wide / 112**2 <= 1
    assert 0.73 <= wide / high <= 1.37


def test_low_resolution_loses_detail_and_no_size():
    lower = room.lower_resolution(IMAGE, seeded(3))
    assert lower.shape == IMAGE.shape
    assert np.abs(np.diff(lower.astype(int), axis=1)).mean() < 60


def test_light_by_a_factor_of_each_kind():
    grey = np.full((4, 4, 3), 100, np.uint8)
    changed = room.change_light(grey, seeded(1))
    # Contrast and saturation leave a grey picture as it is: brightness alone is seen.
    assert np.ptp(changed) == 0
    assert 50 <= changed[0, 0, 0] <= 150


@pytest.mark.parametrize("name", ["crop", "low_resolution", "photometric", "flip"])
def test_as_often_as_it_is_said(name):
    said = Augmentation(**{"flip": 0.0, name: 0.3})
    changed = [augment(IMAGE, said, seeded(seed)) is not IMAGE for seed in range(300)]
    assert 0.2 < np.mean(changed) < 0.4


def test_one_seed_one_picture():
    said = Augmentation(0.5, 0.5, 0.5, 0.5)
    first, second, other = (augment(IMAGE, said, seeded(seed)) for seed in (7, 7, 8))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)
