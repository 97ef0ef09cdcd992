"""Many items at once, answers in the order asked. Knows nothing of faces."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from visavis.errors import VisavisError

Item = TypeVar("Item")
Answer = TypeVar("Answer")

Progress = Callable[[Iterable[str]], Iterable[str]]  # names through, progress shown

AHEAD = 4  # items taken beyond those in work, so that no worker waits for the one who reads


def in_order(
    work: Callable[[Item], Answer], items: Iterable[Item], *, workers: int
) -> Iterator[tuple[Item, Answer | VisavisError]]:
    """Each item with its answer, in the order of the items, `workers` at a time in threads.

    An item that fails with a VisavisError has that for an answer, and the rest goes on; any other
    exception is raised here. When the reader stops, what has not begun is not begun.
    """
    waiting: deque[tuple[Item, Future[Answer]]] = deque()
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


def _answer(future: Future[Answer]) -> Answer | VisavisError:
    try:
        return future.result()
    except VisavisError as error:
        return error
