"""API keys: kept with the gallery, sealed, as hashes; who has one may do what its scope allows.

A key is 256 random bits, so a plain SHA-256 keeps it: nobody can try them out. The keys' document
is sealed with the gallery's key: a row that is written past it opens nothing.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Literal

from visavis.errors import GalleryError
from visavis.gallery import Gallery
from visavis.gallery.audit import Audit, now
from visavis.gallery.settings import KEPT, read_setting, write_setting
from visavis.serve.refusals import Refusal

Scope = Literal["viewer", "operator", "admin"]
SCOPES: tuple[Scope, ...] = ("viewer", "operator", "admin")  # each may what those before it may
DOCUMENT = "api keys"
PREFIX = "visavis_"
FORM = re.compile(f"{PREFIX}([0-9a-f]{{8}})_([A-Za-z0-9_-]{{43}})")
PER_MINUTE = 6000  # requests that a key may make, unless it says otherwise


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: nobody can use what is here."""

    id: str
    name: str  # what it is for
    scope: Scope
    sha256: str
    per_minute: int
    made_at: str


class ApiKeys:
    """The keys of a gallery, as they are now: whoever is revoked is so at the next request."""

    def __init__(self, gallery: Gallery) -> None:
        self._gallery = gallery

    def all(self) -> list[ApiKey]:
        """Every key. Raises GalleryError where they were altered."""
        with self._gallery.database.reading() as connection:
            return self._opened(read_setting(connection, KEPT + DOCUMENT))

    def make(self, name: str, scope: Scope, per_minute: int = PER_MINUTE) -> tuple[ApiKey, str]:
        """A new key, and its text: that is told once, and kept nowhere."""
        identity = secrets.token_hex(4)
        text = f"{PREFIX}{identity}_{secrets.token_urlsafe(32)}"
        key = ApiKey(identity, name, scope, _sha256(text), per_minute, now())
        self._change("make api key", identity, lambda keys: [*keys, key])
        return key, text

    def revoke(self, identity: str) -> None:
        """A key opens nothing from now on. Raises Refusal for one that is not there, and for the
        last of an admin: nobody could make another.
        """

        def without(keys: list[ApiKey]) -> list[ApiKey]:
            left = [key for key in keys if key.id != identity]
            if len(left) == len(keys):
                raise Refusal("not_found", f"there is no key {identity}")
            if not any(key.scope == "admin" for key in left):
                what = "this is the last admin's key"
                raise Refusal("conflict", what, mend="make another one first")
            return left

        self._change("revoke api key", identity, without)

    def of_text(self, text: str) -> ApiKey | None:
        """The key of this text; None where it is none, or is revoked."""
        given = _sha256(text)
        if not FORM.fullmatch(text):
            return None
        # All are compared: how long it takes says nothing of which are there.
        fitting = [key for key in self.all() if hmac.compare_digest(key.sha256, given)]
        return fitting[0] if fitting else None

    def _change(
        self, action: str, identity: str, change: Callable[[list[ApiKey]], list[ApiKey]]
    ) -> None:
        """Read and write in one transaction: two who make keys at once both have theirs."""
        gallery, name = self._gallery, KEPT + DOCUMENT
        with gallery.database.writing() as connection:
            keys = change(self._opened(read_setting(connection, name)))
            document = json.dumps([asdict(key) for key in keys]).encode()
            sealed = gallery.vault.seal(document, gallery.id, KEPT, DOCUMENT)
            write_setting(gallery.database, connection, name, sealed)
            audit = Audit(gallery.database, gallery.vault, gallery.id)
            audit.record(connection, action, None, {"key": identity})

    def _opened(self, sealed: bytes | None) -> list[ApiKey]:
        if sealed is None:
            return []
        document = self._gallery.vault.open(sealed, self._gallery.id, KEPT, DOCUMENT)
        if document is None:
            raise GalleryError(f"{self._gallery.where}: the API keys were altered")
        return [ApiKey(**key) for key in json.loads(document)]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
