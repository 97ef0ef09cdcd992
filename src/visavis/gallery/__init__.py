"""The known people: their templates on disk, encrypted, and in memory, searchable.

Knows names, photos' data, templates, keys and databases. Does not know how photos are read, how
faces are found or embedded, or which similarity is a match.
"""

from visavis.gallery.database import Database
from visavis.gallery.gallery import Gallery
from visavis.gallery.index import ExactIndex, Index, Templates
from visavis.gallery.people import Person
from visavis.gallery.places import GalleryPlace, database_at, default_gallery
from visavis.gallery.samples import Sample, StoredSample
from visavis.gallery.templates import Quarantined

__all__ = [
    "Database",
    "ExactIndex",
    "Gallery",
    "GalleryPlace",
    "Index",
    "Person",
    "Quarantined",
    "Sample",
    "StoredSample",
    "Templates",
    "default_gallery",
    "open_gallery",
]


def open_gallery(where: GalleryPlace, *, create: bool = True) -> Gallery:
    """The gallery of a folder, or of a database's address; with `create`, made where there is none.

    Raises GalleryError for what is no gallery, GalleryKeyError for a missing or wrong key.
    """
    database = database_at(where)
    database.prepare(create=create)
    return Gallery(database)
