"""How many networks run at once, one a core, and crops of several requests embedded together.

Single-threaded networks side by side answer more requests than one network on all cores. A request
that finds all cores busy waits, and what several wait to embed goes through the network together.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Condition, Lock

import numpy as np

from visavis.embedder import Ensemble
from visavis.errors import VisavisError
from visavis.recognizer import Recognizer
from visavis.types import Crops, Detector, Embedder, Embeddings, Face, Image, Part

MOST_TOGETHER = 32  # crops


class InferenceBudget:
    """So many networks at once; the others wait."""

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.active = self.waiting = self.peak = 0
        self._changed = Condition()

    @contextmanager
    def slot(self, unless: Callable[[], bool] = lambda: False) -> Iterator[bool]:
        """Wait for a free core, and hold it for the block: True. False, holding none, where
        `unless` comes true before: somebody else did the work.
        """
        with self._changed:
            self.waiting += 1
            self._changed.wait_for(lambda: unless() or self.active < self.slots)
            self.waiting -= 1
            held = not unless()
            self.active += held
            self.peak = max(self.peak, self.active)
        try:
            yield held
        finally:
            with self._changed:
                self.active -= held
                self._changed.notify_all()


@dataclass(frozen=True, eq=False, slots=True)
class _Asked:
    crops: Crops
    answer: Future[Embeddings] = field(default_factory=Future)


class SharedEmbedder:
    """An embedder within a budget: whoever gets a core embeds for all who wait."""

    def __init__(self, embed: Embedder, budget: InferenceBudget) -> None:
        self._embed, self._budget = embed, budget
        self._asked: list[_Asked] = []
        self._lock = Lock()
        self.model, self.dim = embed.model, embed.dim
        self.parts: tuple[Part, ...] = embed.parts
        self.margin = embed.margin

    def __call__(self, crops: Crops, /) -> Embeddings:
        """Unit rows, as the embedder alone gives them."""
        mine = _Asked(crops)
        with self._lock:
            self._asked.append(mine)
        with self._budget.slot(unless=mine.answer.done) as held:
            if held:
                self._answer(self._taken())
        return mine.answer.result()

    def _taken(self) -> list[_Asked]:
        """Those who asked first, as many as go together."""
        with self._lock:
            count, crops = 0, 0
            for one in self._asked:
                crops += len(one.crops)
                if count and crops > MOST_TOGETHER:
                    break
                count += 1
            taken, self._asked = self._asked[:count], self._asked[count:]
        return taken

    def _answer(self, asked: list[_Asked]) -> None:
        if not asked:
            return
        try:
            rows = self._embed(np.concatenate([one.crops for one in asked]))
        except VisavisError as error:
            self._answer_each(asked, error)
            return
        ends = np.cumsum([len(one.crops) for one in asked])[:-1]
        for one, embeddings in zip(asked, np.split(rows, ends), strict=True):
            one.answer.set_result(embeddings)

    def _answer_each(self, asked: list[_Asked], error: VisavisError) -> None:
        """Each by itself: the fault is one's, and the others have their answer."""
        for one in asked:
            try:
                if len(asked) == 1:
                    raise error
                one.answer.set_result(self._embed(one.crops))
            except VisavisError as own:
                one.answer.set_exception(own)


def budgeted_detector(detect: Detector, budget: InferenceBudget) -> Detector:
    """A detector within a budget."""

    def within(image: Image, /) -> list[Face]:
        with budget.slot():
            return detect(image)

    return within


def budgeted(recognizer: Recognizer, budget: InferenceBudget) -> Recognizer:
    """A recognizer whose networks share a budget."""
    return replace(
        recognizer,
        detect=budgeted_detector(recognizer.detect, budget),
        embed=_shared(recognizer.embed, budget),
    )


def _shared(embed: Embedder, budget: InferenceBudget) -> Embedder:
    if not isinstance(embed, Ensemble):
        return SharedEmbedder(embed, budget)
    # Its members, each by itself: of some faces not all of them are asked.
    return Ensemble(tuple(replace(one, embed=_shared(one.embed, budget)) for one in embed.members))
