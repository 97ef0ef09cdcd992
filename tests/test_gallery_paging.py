"""People and audit page by page."""

import pytest

from visavis.gallery.paging import audit_page, people_page

NAMES = ["Bob", "Anna", "anna", "Zoë", "Anna"]


def test_pages_put_together_are_everybody_in_order(gallery):
    people = {gallery.add_person(name).id for name in NAMES}
    place, seen = None, []
    while True:
        page, place = people_page(gallery, 2, after=place)
        seen += page
        if place is None:
            break
        assert len(page) == 2
    assert [one.name for one in seen] == sorted(NAMES)
    assert {one.id for one in seen} == people


@pytest.mark.parametrize(
    ("like", "names"),
    [("ann", ["Anna", "anna"]), ("E-1", ["Zoë"]), ("%", ["a%b"]), ("_", []), ("e\u0308", ["Zoë"])],
)
def test_a_text_is_looked_for_as_it_is_written(gallery, like, names):
    for name, external_id in (("Anna", None), ("anna", None), ("Zoë", "e-17"), ("a%b", None)):
        gallery.add_person(name, external_id=external_id)
    page, more = people_page(gallery, 10, like=like)
    assert ([one.name for one in page], more) == (names, None)


def test_a_page_whose_last_person_was_erased_is_followed_by_the_next_one(gallery):
    for name in "ABC":
        gallery.add_person(name)
    page, place = people_page(gallery, 1)
    gallery.delete(page[0].id)
    assert [one.name for one in people_page(gallery, 1, after=place)[0]] == ["B"]


def test_the_audit_comes_in_order_and_in_parts(gallery):
    for name in "ABC":
        gallery.add_person(name)
    entries = gallery.changes(0)
    assert audit_page(gallery, 100) == entries
    assert audit_page(gallery, 2, after=entries[0].seq) == entries[1:3]
    assert audit_page(gallery, 2, after=entries[-1].seq) == []
