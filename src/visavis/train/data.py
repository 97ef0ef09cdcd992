"""Which pictures a step shows, and their pixels. Everything follows from the seed and the step.

So a run that was interrupted goes on exactly where it was, and several processes show together
what one would. Knows no network.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from visavis.alignment import SIZE, read_crop
from visavis.batch import in_order
from visavis.dataset.images import Images
from visavis.errors import DatasetError, ImageError, VisavisError
from visavis.metrics.verification import Rows
from visavis.train.augment import augment
from visavis.train.classes import Processes
from visavis.train.recipe import Recipe
from visavis.types import Crops

TRIES = 100  # pictures tried in place of one that cannot be read


@dataclass(frozen=True, eq=False, slots=True)
class Contents:
    """What a data set holds, and what is odd about it, known before training starts."""

    images: Images
    labels: Rows  # (N,) 0 to classes - 1
    classes: int
    gaps: int  # numbers of classes that no picture has
    single: int  # people with one picture: their class pulls on nobody


def look_into(images: Images, recipe: Recipe) -> Contents:
    """Number the classes without gaps. Raises DatasetError where nothing can be learnt."""
    used, labels, counts = np.unique(images.labels, return_inverse=True, return_counts=True)
    if len(used) < 2:
        raise DatasetError(
            f"{images.source}: expected at least 2 people to tell apart, got {len(used)}"
        )
    if len(labels) < recipe.batch:
        raise DatasetError(
            f"{images.source}: {len(labels)} pictures are less than a batch of {recipe.batch}",
            mend=f"say batch={len(labels)} or less",
        )
    if recipe.people > len(used):
        raise DatasetError(
            f"{images.source}: expected {recipe.people} people in a batch, of {len(used)}",
            mend=f"say people={len(used)} or less",
        )
    gaps = int(used[-1]) + 1 - len(used)
    return Contents(images, labels, len(used), gaps, int(np.sum(counts == 1)))


def steps_of_epoch(contents: Contents, recipe: Recipe) -> int:
    """Whole batches in an epoch."""
    return len(contents.labels) // recipe.batch


def rows_of_step(contents: Contents, recipe: Recipe, step: int) -> Rows:
    """The pictures of a step, over all processes."""
    if recipe.people:
        return _people_of(contents, recipe, step)
    epoch, place = divmod(step, steps_of_epoch(contents, recipe))
    order = np.random.default_rng((recipe.seed, epoch)).permutation(len(contents.labels))
    return order[place * recipe.batch : (place + 1) * recipe.batch]


def _people_of(contents: Contents, recipe: Recipe, step: int) -> Rows:
    """As many pictures of each of some people; one who has fewer shows some twice."""
    random = np.random.default_rng((recipe.seed, step))
    each = recipe.batch // recipe.people
    chosen = random.choice(contents.classes, recipe.people, replace=False)
    rows = [np.flatnonzero(contents.labels == one) for one in chosen]
    return np.concatenate([random.choice(one, each, replace=len(one) < each) for one in rows])


@dataclass(frozen=True, eq=False, slots=True)
class Batch:
    """One process's pictures of a step."""

    step: int
    crops: Crops  # (N, 112, 112, 3)
    labels: Rows  # (N,)
    skipped: tuple[str, ...]  # pictures that could not be read, and why; another one is in place


class Loader:
    """Batches in order, decoded in threads ahead of the step that needs them."""

    def __init__(self, contents: Contents, recipe: Recipe, processes: Processes) -> None:
        self._contents, self._recipe, self._processes = contents, recipe, processes

    def batches(self, start: int, end: int, *, workers: int) -> Iterator[Batch]:
        """The steps from `start` to before `end`. Raises DatasetError where nothing can be read."""
        for _, batch in in_order(self.batch, range(start, end), workers=workers):
            if isinstance(batch, VisavisError):
                raise batch
            yield batch

    def batch(self, step: int) -> Batch:
        """One step's pictures, changed at random."""
        rows = rows_of_step(self._contents, self._recipe, step)
        mine = self._processes.share(len(rows))
        crops = np.empty((mine.stop - mine.start, SIZE, SIZE, 3), np.uint8)
        labels, skipped = [], []
        for place, row in enumerate(rows[mine], start=mine.start):
            crop, used, why = self._readable(int(row))
            random = np.random.default_rng((self._recipe.seed, step, place))
            crops[place - mine.start] = augment(crop, self._recipe.augmentation, random)
            labels.append(self._contents.labels[used])
            skipped += why
        return Batch(step, crops, np.array(labels, np.intp), tuple(skipped))

    def _readable(self, row: int) -> tuple[NDArray[np.uint8], int, list[str]]:
        """A row's picture, or that of the next row which can be read."""
        images = self._contents.images
        why: list[str] = []
        for ahead in range(TRIES):
            used = (row + ahead) % len(self._contents.labels)
            try:
                return read_crop(images.read(used)), used, why
            except (ImageError, DatasetError) as error:
                why.append(f"{images.where(used)}: {error}")
        raise DatasetError(f"{TRIES} pictures in a row cannot be read: {why[0]}")
