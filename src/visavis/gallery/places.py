"""Where a gallery lies: in a folder, or in a PostgreSQL database that many servers share.

A password is in nothing that is printed of a place, and in no error about it.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from visavis.errors import GalleryError, OutputError
from visavis.folders import data_folder
from visavis.gallery.database import Database
from visavis.gallery.sqlite import SqliteDatabase

GalleryPlace = Path | str  # a folder, or an address that begins as one of SCHEMES
SCHEMES = ("postgresql:", "postgres:")
GALLERY = "visavis"  # the schema of a database's gallery, where the address names none
NAMES = re.compile("[a-z_][a-z0-9_]{0,62}")
OPTIONS = (  # of an address: what else libpq takes may run programs, or write files
    "host",
    "port",
    "user",
    "password",
    "passfile",
    "service",
    "connect_timeout",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "target_session_attrs",
)
FORM = "postgresql://USER@HOST:PORT/DATABASE?gallery=NAME"
SECRET = (
    "keep the password in ~/.pgpass or $PGPASSWORD; in an address its / @ : ? # and % are written "
    "%2F %40 %3A %3F %23 and %25"
)


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """A gallery of a PostgreSQL database."""

    database: str
    gallery: str  # its schema
    options: dict[str, str] = field(repr=False)  # libpq's, the password among them

    def __str__(self) -> str:
        host = self.options.get("host", "")
        return f"postgresql://{host}/{self.database}?gallery={self.gallery}"

    @classmethod
    def of_text(cls, text: str) -> Self:
        """The address of a text. Raises GalleryError, which shows nothing of what it got."""
        try:
            parts = urlsplit(text)
            options = {**_authority(parts), **dict(parse_qsl(parts.query, strict_parsing=True))}
        except ValueError as error:
            raise _no_address("what came cannot be read") from error
        gallery = options.pop("gallery", GALLERY)
        database = unquote(parts.path.lstrip("/"))
        if text.count("@") > 1 or "/" in database or parts.fragment:
            raise _no_address("what came has an @, / or # too many")
        if unknown := sorted(set(options) - set(OPTIONS)):
            raise _no_address(f"{len(unknown)} of its options are not among {', '.join(OPTIONS)}")
        if not NAMES.fullmatch(gallery) or gallery.startswith("pg_"):
            raise _no_address("a gallery's name has small letters, digits and _")
        return cls(database, gallery, options)


def database_at(where: GalleryPlace) -> Database:
    """The database of a place; nothing is opened yet. Raises GalleryError for no place.

    Raises DeviceError where the extra `postgres` is not installed.
    """
    if not is_address(where):
        return SqliteDatabase(Path(where))
    from visavis.gallery.postgres import PostgresDatabase

    return PostgresDatabase(DatabaseAddress.of_text(str(where)))


def is_address(place: GalleryPlace) -> bool:
    """Whether it is a database's, and no folder."""
    return str(place).startswith(SCHEMES)


def place_shown(place: GalleryPlace) -> str:
    """A place as it is printed: who connects to a database, and their password, stay out."""
    return str(DatabaseAddress.of_text(str(place))) if is_address(place) else str(place)


def default_gallery() -> GalleryPlace:
    """$VISAVIS_GALLERY, or a folder of the user's data.

    Raises GalleryError for neither: the user has no home folder.
    """
    place = os.environ.get("VISAVIS_GALLERY")
    if place:
        return place if is_address(place) else Path(place)
    try:
        return data_folder() / "gallery"
    except OutputError as error:
        mend = "name the gallery's folder, or set $VISAVIS_GALLERY"
        raise GalleryError(error.what, mend=mend, option="gallery") from error


def _authority(parts: SplitResult) -> dict[str, str]:
    """Who connects to which server. Raises ValueError for a port that is none."""
    named = {
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "host": unquote(parts.hostname or ""),
        "port": str(parts.port or ""),
    }
    return {name: value for name, value in named.items() if value}


def _no_address(what: str) -> GalleryError:
    return GalleryError(f"expected {FORM}; {what}", mend=SECRET, option="gallery")
