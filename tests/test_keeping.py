"""What another process changes is in this one's memory within a second, though nobody searches."""

import time

import numpy as np
import pytest
from gallery_children import MODEL, photo, place_of

from visavis.errors import GalleryError
from visavis.gallery import keeping, open_gallery
from visavis.gallery.groups import add_to_group, remove_from_group
from visavis.gallery.keeping import KeptUp

RNG = np.random.default_rng(4)
PATIENCE = 1.0  # seconds


@pytest.fixture
def gallery(place):
    opened = open_gallery(place)
    yield opened
    opened.close()


def seconds_until(condition) -> float:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < 3 * PATIENCE
        time.sleep(0.005)
    return time.monotonic() - start


def test_what_another_process_enrols_and_erases_is_followed_within_a_second(gallery):
    another = open_gallery(place_of(gallery))
    index = gallery.index(MODEL)
    with KeptUp(gallery):
        ann = another.add_person("Ann")
        another.add_sample(ann.id, photo(RNG, "1"))
        enrolled = seconds_until(lambda: len(index) == 1)
        another.delete(ann.id)
        erased = seconds_until(lambda: len(index) == 0)
    another.close()
    assert max(enrolled, erased) < PATIENCE


def test_without_it_nothing_is_forgotten_until_somebody_searches(gallery):
    another = open_gallery(place_of(gallery))
    another.add_sample(another.add_person("Ann").id, photo(RNG, "1"))
    index = gallery.index(MODEL)
    another.delete(another.find("Ann").id)
    another.close()
    assert len(index) == 1
    assert len(gallery.index(MODEL)) == 0  # at once, where a search asks


def test_the_index_of_a_group_that_nobody_is_in_any_more_is_let_go(gallery):
    ann = gallery.add_person("Ann")
    gallery.add_sample(ann.id, photo(RNG, "1"))
    add_to_group(gallery, "night", [ann.id])
    assert len(gallery.index(MODEL, "night")) == 1
    remove_from_group(gallery, "night", [ann.id])
    gallery.catch_up()
    assert gallery._followed == {}


def test_a_database_that_is_away_is_said_once_and_followed_again(gallery, monkeypatch, caplog):
    monkeypatch.setattr(keeping, "EVERY", 0.01)
    catch_up, looks = gallery.catch_up, []

    def sometimes():
        looks.append(1)
        if len(looks) < 5:
            raise GalleryError("the database does not answer")
        catch_up()

    monkeypatch.setattr(gallery, "catch_up", sometimes)
    with KeptUp(gallery):
        seconds_until(lambda: len(looks) > 6)
    assert caplog.text.count("not followed now: the database does not answer") == 1
