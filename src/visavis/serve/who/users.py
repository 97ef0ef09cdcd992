"""Users: kept with the gallery, sealed, their passwords as argon2 hashes; scopes as the keys'."""

import secrets
from dataclasses import dataclass
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from visavis.gallery import Gallery
from visavis.gallery.audit import now
from visavis.gallery.people import clean_name
from visavis.serve.refusals import Refusal
from visavis.serve.who.keys import PER_MINUTE, Role
from visavis.serve.who.records import SealedRecords

USERS = "users"  # the document's name, among what the gallery keeps
LEAST, MOST = 12, 200  # characters of a password
HASHER = PasswordHasher()  # RFC 9106, the second recommended option: 64 MB


@dataclass(frozen=True, slots=True)
class UserAccount:
    """A user as they are kept."""

    id: str
    name: str
    scope: Role
    argon2: str
    made_at: str
    per_minute: int = PER_MINUTE


class Users:
    """The users of a gallery, as they are now: who is removed is so at the next request."""

    def __init__(self, gallery: Gallery) -> None:
        self._kept = SealedRecords(gallery, USERS, UserAccount, "users")

    def all(self) -> list[UserAccount]:
        """Every user. Raises GalleryError where they were altered."""
        return self._kept.all()

    def add(self, name: str, password: str, scope: Role) -> UserAccount:
        """A new user. Raises Refusal for a name that is taken and for a short password."""
        if not LEAST <= len(password) <= MOST:
            what = f"password: expected {LEAST} to {MOST} characters, got {len(password)}"
            raise Refusal("invalid", what)
        known = secrets.token_hex(4)
        user = UserAccount(known, clean_name(name), scope, HASHER.hash(password), now())

        def added(users: list[UserAccount]) -> list[UserAccount]:
            if any(one.name == user.name for one in users):
                raise Refusal("conflict", "there is a user of this name", mend="choose another")
            return [*users, user]

        self._kept.change("add user", {"user": user.id}, added)
        return user

    def remove(self, identity: str) -> None:
        """A user may nothing from now on. Raises Refusal for one that is not there."""

        def without(users: list[UserAccount]) -> list[UserAccount]:
            left = [one for one in users if one.id != identity]
            if len(left) == len(users):
                raise Refusal("not_found", f"there is no user {identity}")
            return left

        self._kept.change("remove user", {"user": identity}, without)

    def of_password(self, name: str, password: str) -> UserAccount | None:
        """The user of this name and password; None where either is wrong.

        A name that nobody has takes as long as a wrong password: the time says nothing.
        """
        user = next((one for one in self.all() if one.name == name), None)
        try:
            HASHER.verify(user.argon2 if user else _nobodys(), password)
        except VerifyMismatchError:
            return None
        return user


@cache
def _nobodys() -> str:
    """The hash of a password that nobody has."""
    return HASHER.hash(secrets.token_urlsafe(32))
