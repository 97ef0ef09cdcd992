"""The known people: their templates on disk, encrypted, and in memory, searchable.

Knows names, photos' data, templates, keys and databases. Does not know how photos are read, how
faces are found or embedded, or which similarity is a match.
"""

import os
from pathlib import Path

import platformdirs

from visavis.gallery.database import Database
from visavis.gallery.gallery import Gallery
from visavis.gallery.index import ExactIndex, Index, Templates
from visavis.gallery.people import Person
from visavis.gallery.samples import Sample, StoredSample
from visavis.gallery.sqlite import SqliteDatabase
from visavis.gallery.templates import Quarantined

__all__ = [
    "Database",
    "ExactIndex",
    "Gallery",
    "Index",
    "Person",
    "Quarantined",
    "Sample",
    "StoredSample",
    "Templates",
    "default_gallery",
    "open_gallery",
]


def open_gallery(where: Path | str, *, create: bool = True) -> Gallery:
    """The gallery in a folder; with `create`, made where there is none.

    Raises GalleryError for what is no gallery, GalleryKeyError for a missing or wrong key.
    """
    database = SqliteDatabase(Path(where))
    database.prepare(create=create)
    return Gallery(database)


def default_gallery() -> Path:
    """$VISAVIS_GALLERY, or a folder of the user's data."""
    folder = os.environ.get("VISAVIS_GALLERY")
    return Path(folder) if folder else Path(platformdirs.user_data_dir("visavis")) / "gallery"
