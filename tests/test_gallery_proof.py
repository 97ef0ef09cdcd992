"""An erasure's proof: true, and false where the erasure is sabotaged."""

import pytest
from made import ANNA, angle

from visavis.errors import GalleryError, PersonError
from visavis.gallery import Gallery, Sample, audit
from visavis.gallery.proof import erase_with_proof
from visavis.gallery.sqlite import SqliteDatabase
from visavis.gallery.tables import PEOPLE


@pytest.fixture
def anna(gallery) -> str:
    """Somebody with two photos, one of them with templates of two models."""
    person = gallery.add_person("Anna").id
    for number, models in enumerate((["fake@0"], ["fake@0", "other@0"])):
        templates = {model: angle(ANNA) for model in models}
        gallery.add_sample(person, Sample(f"{number}.png", str(number), {}, templates))
    return person


def test_what_was_erased_is_counted_and_nothing_is_left(gallery, anna):
    proof = erase_with_proof(gallery, anna)
    assert (proof.person, proof.photos, proof.templates) == (anna, 2, 3)
    assert (proof.left, proof.files_clean) == (0, True)
    (entry,) = [one for one in gallery.audit_of(anna) if one.action == audit.ERASE]
    assert (proof.entry, proof.at) == (entry.seq, entry.at)
    assert proof.head == str(gallery.audit_head())
    with pytest.raises(PersonError):
        erase_with_proof(gallery, anna)


def test_an_erasure_that_leaves_photos_is_told(gallery, anna, monkeypatch):
    def half(self: Gallery, person: str) -> None:
        with self.database.writing() as connection:
            self.audit.record(connection, audit.ERASE, person, {})

    monkeypatch.setattr(Gallery, "delete", half)
    assert erase_with_proof(gallery, anna).left == 6  # the person, two photos, three templates


def test_files_that_could_not_be_searched_are_told(gallery, anna, monkeypatch):
    def refuse(self, traces):
        raise GalleryError("another program reads what was")

    monkeypatch.setattr(SqliteDatabase, "scrub", refuse)
    proof = erase_with_proof(gallery, anna)
    assert (proof.left, proof.files_clean) == (0, False)
    with gallery.database.reading() as connection:
        assert connection.execute(PEOPLE.select()).first() is None
