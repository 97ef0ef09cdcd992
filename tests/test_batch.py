"""Many items at once: their order, their errors, and where it stops."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from visavis import batch
from visavis.batch import AHEAD, in_order
from visavis.errors import ImageError, NoFaceError

PATIENCE = 20  # seconds until a test that hangs gives up


class Counted:
    """Items with a count of those taken, and work with a list of those begun."""

    def __init__(self, count):
        self.count = count
        self.taken = 0
        self.begun = []

    def __iter__(self):
        for item in range(self.count):
            self.taken += 1
            yield item

    def work(self, item):
        self.begun.append(item)
        return item * item


@pytest.fixture
def held(monkeypatch):
    """An event that is set when the pool is told to shut down, not before."""
    event = threading.Event()

    class Pool(ThreadPoolExecutor):
        def shutdown(self, *arguments, **options):
            event.set()
            super().shutdown(*arguments, **options)

    monkeypatch.setattr(batch, "ThreadPoolExecutor", Pool)
    return event


def threads():
    """The workers that are alive."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("visavis")]


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("count", [0, 1, 5, 60])
def test_answers_come_in_the_order_of_the_items(count, workers):
    delays = random.Random(count)
    pause = [delays.random() / 200 for _ in range(count)]

    def work(item):
        time.sleep(pause[item])
        return item * item

    answers = list(in_order(work, range(count), workers=workers))
    assert answers == [(item, item * item) for item in range(count)]
    assert threads() == []


def test_the_first_item_may_be_the_last_to_be_done():
    others = threading.Semaphore(0)

    def work(item):
        if item == 0:
            assert all(others.acquire(timeout=PATIENCE) for _ in range(3))
        else:
            others.release()
        return item

    assert [item for item, _ in in_order(work, range(4), workers=2)] == [0, 1, 2, 3]


def test_two_workers_are_at_work_at_once():
    both = threading.Barrier(2)

    def work(item):
        both.wait(PATIENCE)  # raises unless another is here too
        return item

    assert len(list(in_order(work, range(6), workers=2))) == 6


def test_an_error_of_ours_is_an_answer_and_the_rest_goes_on():
    errors = {1: NoFaceError("none"), 4: ImageError("torn")}

    def work(item):
        if item in errors:
            raise errors[item]
        return item

    answers = list(in_order(work, range(6), workers=2))
    assert answers == [(0, 0), (1, errors[1]), (2, 2), (3, 3), (4, errors[4]), (5, 5)]


def test_any_other_error_is_raised_and_nothing_new_begins(held):
    begun = []

    def work(item):
        begun.append(item)
        if item == 3:
            raise ZeroDivisionError("three")
        if item > 3:
            assert held.wait(PATIENCE)
        return item

    answers = in_order(work, range(1000), workers=2)
    assert [next(answers) for _ in range(3)] == [(0, 0), (1, 1), (2, 2)]
    with pytest.raises(ZeroDivisionError, match="three"):
        next(answers)
    assert set(begun) <= {0, 1, 2, 3, 4, 5}  # four and five may have been in work by then
    assert list(answers) == []
    assert threads() == []


def test_an_error_of_the_items_themselves_is_raised(held):
    def items():
        yield 0
        raise OSError("the list is gone")

    with pytest.raises(OSError, match="the list is gone"):
        list(in_order(lambda item: item, items(), workers=2))
    assert held.is_set()
    assert threads() == []


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_no_more_is_taken_ahead_than_was_promised(workers):
    items = Counted(40)
    for item, _ in in_order(items.work, items, workers=workers):
        assert items.taken == min(40, item + workers + AHEAD)
    assert items.taken == 40


def test_nothing_is_taken_before_the_first_answer_is_asked_for():
    items = Counted(40)
    in_order(items.work, items, workers=2)
    assert (items.taken, items.begun, threads()) == (0, [], [])


@pytest.mark.parametrize(
    "reason", [KeyboardInterrupt, RuntimeError], ids=lambda reason: reason.__name__
)
def test_a_reader_that_stops_waits_for_what_is_in_work_alone(reason, held):
    items = Counted(1000)

    def work(item):
        items.begun.append(item)
        if item > 0:
            assert held.wait(PATIENCE)

    def read():
        for _ in in_order(work, items, workers=2):
            raise reason

    with pytest.raises(reason):
        read()
    assert len(items.begun) <= 3  # the one that was read, and one for each worker
    assert items.taken == 2 + AHEAD
    assert threads() == []


def test_an_interrupt_while_waiting_for_an_answer_stops_all(held, monkeypatch):
    begun = []

    def work(item):
        begun.append(item)
        assert held.wait(PATIENCE)

    def interrupted(future):
        raise KeyboardInterrupt

    monkeypatch.setattr(batch, "_answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        next(in_order(work, range(1000), workers=2))
    assert len(begun) <= 3
    assert threads() == []


def test_an_iterator_that_is_closed_early_begins_nothing_more(held):
    items = Counted(1000)

    def work(item):
        items.begun.append(item)
        if item > 0:
            assert held.wait(PATIENCE)

    answers = in_order(work, items, workers=2)
    assert next(answers) == (0, None)
    answers.close()
    assert len(items.begun) <= 3
    assert items.taken == 2 + AHEAD
    assert threads() == []
