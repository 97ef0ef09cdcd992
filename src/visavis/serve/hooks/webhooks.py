"""The webhooks of a gallery: where events go, which ones, and the secret that signs them.

They are one sealed document: whoever writes past it into the file makes no webhook.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urlsplit

from visavis.gallery import Gallery
from visavis.gallery.audit import now
from visavis.hub.web import offline
from visavis.posts import LOOPBACK
from visavis.serve.hooks.sender import addresses_of
from visavis.serve.refusals import Refusal
from visavis.serve.who.records import SealedRecords

HookEventKind = Literal["match", "review", "unknown", "enrolled", "erased"]
EVENTS: tuple[HookEventKind, ...] = ("match", "review", "unknown", "enrolled", "erased")
DOCUMENT = "webhooks"
MOST_WEBHOOKS = 20
MOST_URL = 2000  # characters
GONE = "gone"  # the other side said so: 410


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where events go."""

    id: str
    url: str
    events: Sequence[HookEventKind]
    secret: str  # signs what is sent
    made_at: str
    since: int  # the audit's entry after which it is told of enrolments and erasures
    off: str = ""  # why nothing is sent any more


class Webhooks:
    """The webhooks of a gallery, as they are now."""

    def __init__(self, gallery: Gallery, *, inside: bool = False) -> None:
        """`inside` lets them go to this machine and to private networks."""
        self._gallery, self._inside = gallery, inside
        self._kept = SealedRecords(gallery, DOCUMENT, Webhook, "webhooks")

    def all(self) -> list[Webhook]:
        """Every webhook. Raises GalleryError where they were altered."""
        return self._kept.all()

    def one(self, identity: str) -> Webhook:
        """One by its id. Raises Refusal, 404."""
        for hook in self.all():
            if hook.id == identity:
                return hook
        raise Refusal("not_found", f"there is no webhook {identity}")

    def add(self, url: str, events: Sequence[HookEventKind]) -> Webhook:
        """A new webhook with its secret, which is told this once.

        Raises Refusal for an address that events must not go to, and where there are too many.
        """
        if variable := offline():
            raise Refusal("conflict", f"nothing is sent: {variable} is set", mend="unset it first")
        check_url(url, inside=self._inside)
        identity, secret = secrets.token_hex(4), f"whsec_{secrets.token_urlsafe(32)}"
        since = self._gallery.audit_head().seq
        kinds = [kind for kind in EVENTS if kind in events]
        hook = Webhook(identity, url, kinds, secret, now(), since)

        def added(hooks: list[Webhook]) -> list[Webhook]:
            if len(hooks) >= MOST_WEBHOOKS:
                what = f"there are {MOST_WEBHOOKS} webhooks already"
                raise Refusal("conflict", what, mend="remove one first")
            return [*hooks, hook]

        self._kept.change("add webhook", {"webhook": identity}, added)
        return hook

    def remove(self, identity: str) -> None:
        """Nothing is sent there from now on. Raises Refusal, 404."""
        self.one(identity)
        self._kept.change(
            "remove webhook",
            {"webhook": identity},
            lambda hooks: [hook for hook in hooks if hook.id != identity],
        )

    def switch_off(self, identity: str, why: str) -> None:
        """Send nothing there any more, and show why."""
        self._kept.change(
            "switch off webhook",
            {"webhook": identity},
            lambda hooks: [
                replace(hook, off=why) if hook.id == identity else hook for hook in hooks
            ],
        )


def check_url(url: str, *, inside: bool) -> None:
    """Raise Refusal for an address that is none, that others could read along, that leads to this
    machine or a private network without `inside`, or nowhere.
    """
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= MOST_URL
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        plain = False
    if not plain or not parts.hostname or parts.username is not None:
        raise Refusal("invalid", "url: expected a web address without a user in it")
    unread = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not unread:
        what = "url: expected https, since people's data are sent there"
        raise Refusal("invalid", what, mend="name another address")
    try:
        addresses_of(parts.hostname, port, inside=inside)
    except OSError as error:
        raise Refusal("invalid", f"url: {error}", mend="name another address") from error
