"""The known people: their templates on disk, encrypted, and in memory, searchable.

Knows names, photos' data, templates, keys and databases. Does not know how photos are read, how
faces are found or embedded, or which similarity is a match.
"""

import os
from pathlib import Path

from visavis.errors import GalleryError, OutputError
from visavis.folders import data_folder
from visavis.gallery.database import Database
from visavis.gallery.gallery import Gallery
from visavis.gallery.index import ExactIndex, Index, Templates
from visavis.gallery.people import Person
from visavis.gallery.samples import Apart, Sample, StoredSample
from visavis.gallery.sqlite import SqliteDatabase
from visavis.gallery.templates import Quarantined

__all__ = [
    "Apart",
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
    """$VISAVIS_GALLERY, or a folder of the user's data.

    Raises GalleryError for neither: the user has no home folder.
    """
    folder = os.environ.get("VISAVIS_GALLERY")
    if folder:
        return Path(folder)
    try:
        return data_folder() / "gallery"
    except OutputError as error:
        mend = "name the gallery's folder, or set $VISAVIS_GALLERY"
        raise GalleryError(error.what, mend=mend, option="gallery") from error
