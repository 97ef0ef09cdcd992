"""Many items at once, their answers in the order of the items. Knows nothing of faces."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from visavis.errors import VisavisError

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")

# Passes names through, and shows how many have passed.
Progress = Callable[[Iterable[str]], Iterable[str]]

AHEAD = 4  # items begun beyond one a worker, so that no worker waits for the reader


def in_order(
    work: Callable[[_Item], _Answer], items: Iterable[_Item], *, workers: int
) -> Iterator[tuple[_Item, _Answer | VisavisError]]:
    """Each item with its answer, in the order of the items, `workers` at a time in threads.

    The answer of an item that fails with a VisavisError is that error, and the rest goes on; any
    other exception is raised here. When the reader stops, no further item is begun.
    """
    waiting: deque[tuple[_Item, Future[_Answer]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="visavis") as pool:
        try:
            for new in items:
                waiting.append((new, pool.submit(work, new)))
                if len(waiting) >= workers + AHEAD:
                    item, future = waiting.popleft()
                    answer = _answer(future)
                    yield item, answer
            while waiting:
                item, future = waiting.popleft()
                answer = _answer(future)
                yield item, answer
        finally:
            for _, future in waiting:
                future.cancel()


def _answer(future: Future[_Answer]) -> _Answer | VisavisError:
    try:
        return future.result()
    except VisavisError as error:
        return error
