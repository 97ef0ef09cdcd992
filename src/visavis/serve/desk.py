"""Where requests that run models are worked on: so many at once, so many waiting, and no more."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Lock
from typing import Any, TypeVar

from visavis.serve.refusals import busy

T = TypeVar("T")


class Desk:
    """Threads, and a queue that is never longer than it may be."""

    def __init__(self, workers: int, waiting: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="visavis-serve")
        self.most = workers + waiting
        self._spare = waiting // 2
        self.inside = self.refused = 0
        self._lock = Lock()

    def check_room(self, arriving: int = 0) -> None:
        """Raise Refusal, 503, where the queue is full, or will be with the requests that are
        arriving: asked before a request is read. Some of them come late, so a few more are read.
        """
        if self.inside >= self.most or self.inside + arriving >= self.most + self._spare:
            self.refused += 1
            raise busy("too many requests are waiting")

    async def run(self, work: Callable[[], T]) -> T:
        """Do this in a thread, after those who came before. Raises Refusal where the queue is full.

        Whoever hangs up leaves the work to its end: a write is whole or not there.
        """
        self.check_room()
        with self._lock:
            self.inside += 1
        future: Future[T] = self._pool.submit(work)
        future.add_done_callback(self._leave)
        return await asyncio.shield(asyncio.wrap_future(future))

    def close(self) -> None:
        """Let all work end that was begun."""
        self._pool.shutdown(wait=True)

    def _leave(self, _: Future[Any]) -> None:
        with self._lock:
            self.inside -= 1
