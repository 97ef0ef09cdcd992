"""The known people: their templates on disk, encrypted, and in memory, searchable."""

import os
from pathlib import Path

import platformdirs

from visavis.gallery.gallery import Gallery
from visavis.gallery.index import Index, Templates, exact
from visavis.gallery.people import Person, Sample
from visavis.gallery.templates import Quarantined

__all__ = [
    "Gallery",
    "Index",
    "Person",
    "Quarantined",
    "Sample",
    "Templates",
    "default_gallery",
    "exact",
]


def default_gallery() -> Path:
    """$VISAVIS_GALLERY, or a folder of the user's data."""
    given = os.environ.get("VISAVIS_GALLERY")
    return Path(given) if given else Path(platformdirs.user_data_dir("visavis")) / "gallery"
