"""API keys: kept with the gallery, sealed, as hashes; who has one may do what its scope allows.

A key is 256 random bits, so a plain SHA-256 keeps it: nobody can try them out.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Literal

from visavis.gallery import Gallery
from visavis.gallery.audit import now
from visavis.serve.refusals import Refusal
from visavis.serve.who.records import SealedRecords

Role = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")  # each may what those before it may
Scope = Literal["kiosk", "viewer", "operator", "admin"]  # a kiosk may punch, and nothing else
SCOPES: tuple[Scope, ...] = ("kiosk", *ROLES)
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
    device: str = ""  # of a kiosk: the one device that it punches for


class ApiKeys:
    """The keys of a gallery, as they are now: whoever is revoked is so at the next request."""

    def __init__(self, gallery: Gallery) -> None:
        self._kept = SealedRecords(gallery, DOCUMENT, ApiKey, "API keys")

    def all(self) -> list[ApiKey]:
        """Every key. Raises GalleryError where they were altered."""
        return self._kept.all()

    def make(
        self, name: str, scope: Scope, per_minute: int = PER_MINUTE, *, device: str = ""
    ) -> tuple[ApiKey, str]:
        """A new key, and its text: that is told once, and kept nowhere.

        Raises Refusal for a kiosk's key without its device, and for a device of another's.
        """
        if (scope == "kiosk") != bool(device):
            what = "a kiosk's key is bound to a device, and no other key is"
            raise Refusal("invalid", what, mend="say the device with the scope kiosk alone")
        identity = secrets.token_hex(4)
        text = f"{PREFIX}{identity}_{secrets.token_urlsafe(32)}"
        key = ApiKey(identity, name, scope, _sha256(text), per_minute, now(), device)
        self._kept.change("make api key", {"key": identity}, lambda keys: [*keys, key])
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

        self._kept.change("revoke api key", {"key": identity}, without)

    def of_text(self, text: str) -> ApiKey | None:
        """The key of this text; None where it is none, or is revoked."""
        given = _sha256(text)
        if not FORM.fullmatch(text):
            return None
        # All are compared: how long it takes says nothing of which are there.
        fitting = [key for key in self.all() if hmac.compare_digest(key.sha256, given)]
        return fitting[0] if fitting else None


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
