"""Records kept with a gallery as one sealed document, read anew each time: API keys, users.

Sealed with the gallery's key: a row that is written past it opens nothing.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Generic, TypeVar

from visavis.errors import GalleryError
from visavis.gallery import Gallery
from visavis.gallery.audit import Details
from visavis.gallery.settings import KEPT, read_setting, write_setting

R = TypeVar("R", bound=Any)  # a dataclass of what JSON holds


class SealedRecords(Generic[R]):
    """The records of a gallery under one name, as they are now."""

    def __init__(self, gallery: Gallery, name: str, kind: type[R], called: str) -> None:
        self._gallery, self._name, self._kind, self._called = gallery, name, kind, called

    def all(self) -> list[R]:
        """Every record. Raises GalleryError where they were altered."""
        with self._gallery.database.reading() as connection:
            return self._opened(read_setting(connection, KEPT + self._name))

    def change(self, action: str, details: Details, change: Callable[[list[R]], list[R]]) -> None:
        """Read and write in one transaction: two who change them at once both have theirs."""
        gallery = self._gallery
        with gallery.database.writing() as connection:
            records = change(self._opened(read_setting(connection, KEPT + self._name)))
            document = json.dumps([asdict(one) for one in records]).encode()
            sealed = gallery.vault.seal(document, gallery.id, KEPT, self._name)
            write_setting(gallery.database, connection, KEPT + self._name, sealed)
            gallery.audit.record(connection, action, None, details)

    def _opened(self, sealed: bytes | None) -> list[R]:
        if sealed is None:
            return []
        document = self._gallery.vault.open(sealed, self._gallery.id, KEPT, self._name)
        if document is None:
            raise GalleryError(f"{self._gallery.where}: the {self._called} were altered")
        return [self._kind(**one) for one in json.loads(document)]
