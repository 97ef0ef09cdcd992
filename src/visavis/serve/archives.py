"""Photos of people in a zip: by its folders, or by a roster in it. No file is unpacked.

What a zip says of itself is anybody's: names lead to no file, sizes are counted while it is read.
"""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from visavis.dataset.lists import decoded, table_of
from visavis.enrollment import ROSTER
from visavis.errors import DatasetError, ImageError, PersonError
from visavis.gallery.people import groups_in
from visavis.layouts import people_of_folder
from visavis.serve.limits import ServeLimits

TOP = Path("the zip")  # stands for it where a folder is asked for: no such path is opened
ROSTER_NAME = "roster.csv"
IGNORED = ("__MACOSX", "Thumbs.db", "desktop.ini")
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class ArchivedPhoto:
    """A photo in a zip, and whom it shows."""

    name: str
    place: str  # in the zip
    external_id: str | None = None
    consent: str | None = None
    groups: tuple[str, ...] = ()


class PhotoArchive:
    """A zip of photos."""

    def __init__(self, file: IO[bytes], limits: ServeLimits) -> None:
        """Read what it says it holds. Raises DatasetError for what is no zip, or too much."""
        self._limits = limits
        with _whole():
            self._zip = zipfile.ZipFile(file)
        members = [info for info in self._zip.infolist() if not info.is_dir()]
        size, packed = sum(info.file_size for info in members), file.seek(0, 2)
        if len(members) > limits.archived or size > limits.growth * packed:
            raise DatasetError(
                f"the zip: expected at most {limits.archived:,} files, and at most "
                f"{limits.growth} times its size; got {len(members):,} files of {size:,} bytes"
            )
        self._members = {
            place: info for info in members if (place := _place(info.filename)) is not None
        }

    def photos(self, layout: str | None = None) -> list[ArchivedPhoto]:
        """Its photos: those of its roster.csv, or all by its folders; `layout` as for a folder.

        Raises DatasetError where it is not plain whose they are.
        """
        rosters = [place for place in self._members if place.rpartition("/")[2] == ROSTER_NAME]
        if rosters:
            return self._of_roster(min(rosters, key=len))
        places = sorted(self._members)
        if not places:
            raise DatasetError("the zip: no files here")
        inner = self._common(places)
        names = people_of_folder(TOP, [TOP / place.removeprefix(inner) for place in places], layout)
        return [ArchivedPhoto(name, place) for name, place in zip(names, places, strict=True)]

    def read(self, photo: ArchivedPhoto) -> bytes:
        """A photo's bytes. Raises ImageError where it is damaged, encrypted or too large."""
        most = self._limits.photo.bytes
        try:
            with self._zip.open(self._members[photo.place]) as member:
                data = member.read(most + 1)
        except DAMAGED as error:
            raise ImageError(f"{photo.place}: cannot be read from the zip: {error}") from error
        if len(data) > most:
            raise ImageError(f"{photo.place}: over the limit of {most / 1e6:.0f} MB")
        return data

    def _of_roster(self, roster: str) -> list[ArchivedPhoto]:
        text = decoded(self.read(ArchivedPhoto("", roster)), roster)
        folder = roster.removesuffix(ROSTER_NAME)
        photos = []
        for line, row in table_of(text, roster, ROSTER[:2], ROSTER[2:]):
            name, photo, external_id, consent, groups = (row.get(column, "") for column in ROSTER)
            asked = _place(folder + photo)
            places = sorted(
                place
                for place in self._members
                if asked and (place == asked or place.startswith(f"{asked}/"))
            )
            if not name or not places:
                raise DatasetError(
                    f"{roster}, line {line}: expected a name and a photo of the zip, got {row}"
                )
            try:
                names = groups_in(groups)
            except PersonError as error:
                raise DatasetError(f"{roster}, line {line}: {error.what}") from error
            photos += [
                ArchivedPhoto(name, place, external_id or None, consent or None, names)
                for place in places
            ]
        return photos

    @staticmethod
    def _common(places: list[str]) -> str:
        """The folder with a slash that all files share, where folders lie in it; else nothing."""
        top = places[0].partition("/")[0] + "/"
        inner = all(place.startswith(top) and place.count("/") > 1 for place in places)
        return top if inner else ""


def _place(name: str) -> str | None:
    """A member's place in the zip, its parts plain; None for what is no photo of anybody's."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    plain = [part for part in parts if part not in ("/", ".", "..")]
    hidden = any(part.startswith(".") or part in IGNORED for part in plain)
    return None if hidden or not plain else "/".join(plain)


@contextmanager
def _whole() -> Iterator[None]:
    try:
        yield
    except DAMAGED as error:
        raise DatasetError(f"the zip cannot be read: {error}", mend="make it anew") from error
