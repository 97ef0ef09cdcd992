"""Links by which somebody reads their own days: sealed by the gallery's key, for a while.

Whoever has the link may read; nobody else can make one, or tell from it whose it is. Nothing of a
link is kept but when somebody's earlier ones were revoked.
"""

import base64
import binascii
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from visavis.gallery import Gallery
from visavis.serve.refusals import Refusal
from visavis.serve.who.records import SealedRecords

LINKS = "own links"
MOST_DAYS_OF_LINK = 366
INVALID = "this link is not valid, or its time is over"


@dataclass(frozen=True, slots=True)
class RevokedLinks:
    """Somebody whose links of earlier open nothing."""

    person: str
    before: float  # seconds since 1970, UTC


class OwnLinks:
    """The links of a gallery's people."""

    def __init__(
        self, gallery: Gallery, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._gallery, self._clock = gallery, clock
        self._revoked = SealedRecords(gallery, LINKS, RevokedLinks, "links")

    def make(self, person: str, days: int) -> str:
        """The text of a new link of somebody, by the gallery's id, for so many days."""
        made = self._clock()
        until = made + timedelta(days=days)
        said = json.dumps([person, made.timestamp(), until.timestamp()]).encode()
        sealed = self._gallery.vault.seal(said, self._gallery.id, LINKS)
        return base64.urlsafe_b64encode(sealed).decode().rstrip("=")

    def person(self, text: str) -> str:
        """Whose link it is. Raises Refusal for one that is none, or is over, or was revoked."""
        try:
            sealed = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
        except (binascii.Error, UnicodeEncodeError, ValueError):
            sealed = b""
        opened = self._gallery.vault.open(sealed, self._gallery.id, LINKS)
        if opened is None:
            raise Refusal("not_found", INVALID, mend="ask for a new one")
        person, made, until = json.loads(opened)
        before = max((one.before for one in self._revoked.all() if one.person == person), default=0)
        if made <= before or self._clock().timestamp() >= until:
            raise Refusal("not_found", INVALID, mend="ask for a new one")
        return str(person)

    def revoke(self, person: str) -> None:
        """Every link of somebody that was made until now opens nothing."""
        now = self._clock().timestamp()

        def changed(revoked: list[RevokedLinks]) -> list[RevokedLinks]:
            others = [one for one in revoked if one.person != person]
            return [*others, RevokedLinks(person, now)]

        self._revoked.change("revoke own links", {"of": person}, changed)
