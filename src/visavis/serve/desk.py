"""Where requests that run models are worked on: so many at once, so many waiting, and no more."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from visavis.serve.refusals import busy

T = TypeVar("T")


class Desk:
    """Threads, and places for those who wait. Places are taken and left in the event loop alone."""

    def __init__(self, workers: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="visavis-serve")
        self.places = workers + waiting
        self.taken = self.refused = 0

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for the block. Raises Refusal, 503, where all are taken.

        It is taken before a request is read: whoever was read is worked on.
        """
        if not self.has_room:
            self.refused += 1
            raise busy("too many requests are waiting")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    @property
    def has_room(self) -> bool:
        """Whether a place is free."""
        return self.taken < self.places

    async def run(self, work: Callable[[], T]) -> T:
        """Do this in a thread, for somebody who has a place, after those who came before.

        Whoever hangs up leaves the work to its end: a write is whole or not there.
        """
        return await asyncio.shield(asyncio.wrap_future(self._pool.submit(work)))

    def close(self) -> None:
        """Let all work end that was begun."""
        self._pool.shutdown(wait=True)
