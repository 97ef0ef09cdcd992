"""What two processes add, delete, merge and search for in one gallery is what a dictionary says."""

import random
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import share
from gallery_children import do, pool

from visavis.gallery import following, open_gallery

CHILD = Path(__file__).with_name("gallery_children.py")
EXACT, FAISS = 1 << 60, 1  # numbers from which an index is a large one
MOST = 60  # templates at once


def differing(place, large, operations):
    """Answers of either process that are not the dictionary's, of so many random operations."""
    dice, rows = random.Random(operations), pool()
    gallery = open_gallery(place)
    command = [sys.executable, CHILD, "told", str(place), str(large)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    owners: dict[int, str] = {}  # whose each row of the pool is
    wrong = []
    with subprocess.Popen(command, text=True, **pipes) as child:

        def told(*words):
            if dice.randrange(2):
                return do(gallery, rows, [*words])
            child.stdin.write(" ".join(words) + "\n")
            child.stdin.flush()
            return child.stdout.readline().strip()

        for number in range(operations):
            what = dice.choice(["add", "add", "search", "search", "search", "delete", "merge"])
            people = sorted(set(owners.values()))
            if what == "add" and len(owners) < MOST:
                row = dice.choice(sorted(set(range(len(rows))) - set(owners)))
                person = dice.choice([*people, "new"]) if dice.randrange(2) else "new"
                owners[row] = told("add", person, str(row), str(number))
            elif what == "delete" and len(people) > 2:
                gone = dice.sample(people, dice.choice([1, 1, 1, 2, len(people) // 2]))
                told("delete", *gone)
                owners = {row: one for row, one in owners.items() if one not in gone}
            elif what == "merge" and len(people) > 2:
                kept, merged = dice.sample(people, 2)
                told("merge", kept, merged)
                owners = {row: kept if one == merged else one for row, one in owners.items()}
            elif owners:
                row = dice.choice(sorted(owners))
                answer, expected = told("search", str(row)), f"{owners[row]} {len(owners)}"
                wrong += [] if answer == expected else [(number, answer, expected)]
        child.stdin.close()
    assert gallery.damages() == []
    gallery.close()
    return wrong


@pytest.fixture(params=[EXACT, FAISS], ids=["exact", "faiss"])
def large(request, monkeypatch):
    if request.param == FAISS:
        pytest.importorskip("faiss", reason="faiss-cpu is not installed")
    monkeypatch.setattr(following, "LARGE", request.param)
    return request.param


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_processes_answer_as_a_dictionary(place, large):
    operations = 100_000 if isinstance(place, Path) else 10_000
    assert differing(place, large, share(operations)) == []


@pytest.mark.slow
@pytest.mark.parametrize("deaf_to", [following.ERASE, following.ENROLL])
def test_the_check_of_two_processes_can_fail(place, large, monkeypatch, deaf_to):
    """Where this process does not hear of what the other one erased or added."""
    heard = following.changes_of
    monkeypatch.setattr(
        following,
        "changes_of",
        lambda entries: heard(entry for entry in entries if entry.action != deaf_to),
    )
    assert len(differing(place, large, 200)) > 5
