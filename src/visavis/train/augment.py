"""A crop changed at random, so that the next epoch shows another: AdaFace's three, and the mirror.

Functions of an image and a generator: the same seed changes it in the same way.
"""

import math

import cv2
import numpy as np

from visavis.train.recipe import Augmentation
from visavis.types import Image

LEAST_AREA, LEAST_SIDE = 0.2, 0.2  # of the crop: shares that stay
ASPECT = 4 / 3  # the most that a part's sides differ
RANGE = 0.5  # of brightness, contrast and saturation: 0.5 to 1.5
GREY = np.array([0.299, 0.587, 0.114], np.float32)
INTERPOLATIONS = (
    cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4,
)  # fmt: skip


def augment(image: Image, said: Augmentation, random: np.random.Generator) -> Image:
    """(H, W, 3) changed in each way as often as `said`; the order is AdaFace's."""
    crop, low, photometric, flip = random.random(4)
    if crop < said.crop:
        image = keep_part(image, random)
    if low < said.low_resolution:
        image = lower_resolution(image, random)
    if photometric < said.photometric:
        image = change_light(image, random)
    return np.asarray(cv2.flip(image, 1), np.uint8) if flip < said.flip else image


def keep_part(image: Image, random: np.random.Generator) -> Image:
    """A rectangle of the image where it was, on black."""
    high, wide = image.shape[:2]
    area = high * wide * random.uniform(LEAST_AREA, 1)
    aspect = math.exp(random.uniform(-math.log(ASPECT), math.log(ASPECT)))
    height = min(high, round(math.sqrt(area / aspect)))
    width = min(wide, round(math.sqrt(area * aspect)))
    top, left = random.integers(high - height + 1), random.integers(wide - width + 1)
    kept = np.zeros_like(image)
    part = slice(top, top + height), slice(left, left + width)
    kept[part] = image[part]
    return kept


def lower_resolution(image: Image, random: np.random.Generator) -> Image:
    """The image made small and large again, each with some interpolation."""
    high, wide = image.shape[:2]
    share = random.uniform(LEAST_SIDE, 1)
    down, up = (INTERPOLATIONS[place] for place in random.integers(len(INTERPOLATIONS), size=2))
    size = max(1, round(wide * share)), max(1, round(high * share))
    small = cv2.resize(image, size, interpolation=down)
    return np.asarray(cv2.resize(small, (wide, high), interpolation=up), np.uint8)


def change_light(image: Image, random: np.random.Generator) -> Image:
    """Brightness, contrast and saturation, each by a factor of its own, in any order."""
    changed = image.astype(np.float32)
    factors = random.uniform(1 - RANGE, 1 + RANGE, 3)
    for kind in random.permutation(3):
        factor = np.float32(factors[kind])
        grey = changed @ GREY
        towards = (np.float32(0), grey.mean(), grey[..., None])[kind]
        changed = np.clip(towards + factor * (changed - towards), 0, 255)
    return changed.round().astype(np.uint8)
