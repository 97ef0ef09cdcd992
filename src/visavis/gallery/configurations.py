"""A gallery's configurations: numbered, one of them active, none ever lost.

They are one sealed document, so two can never be active. It holds the number of the audit's entry
that wrote it, and so does the audit's seal: whoever takes it away, or puts an older one back, is
noticed, whatever they write into the audit.
"""

import getpass
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection

from visavis.configuration import Configuration, calibration_name
from visavis.document import parse, to_bytes
from visavis.errors import ConfigurationError, GalleryError
from visavis.gallery.audit import ACTIVATE, NEW, ROLL_BACK, now
from visavis.gallery.gallery import Gallery
from visavis.gallery.keycheck import check_key
from visavis.gallery.models import Apart, photos_apart
from visavis.gallery.settings import KEPT, read_setting, write_setting
from visavis.types import Part

NAME = "configurations"  # the document's, among what the gallery keeps


@dataclass(frozen=True, slots=True)
class History:
    """All configurations of a gallery, and which were active."""

    versions: tuple[Configuration, ...] = ()
    activated: tuple[int, ...] = ()  # in their order: the last one is active
    entry: int = 0  # of the audit, which says that this was written

    def __post_init__(self) -> None:
        numbers = [one.version for one in self.versions]
        if numbers != list(range(1, len(numbers) + 1)):
            raise ConfigurationError(
                f"expected versions from 1, each one more than the last, got {numbers}"
            )
        if not set(self.activated) <= set(numbers):
            raise ConfigurationError(
                f"expected active versions among {numbers}, got {list(self.activated)}"
            )

    @property
    def active(self) -> Configuration | None:
        """The one that decides; None where none was ever activated."""
        return self.version(self.activated[-1]) if self.activated else None

    def version(self, number: int) -> Configuration:
        """One by its number. Raises ConfigurationError for a number that there is not."""
        if not 1 <= number <= len(self.versions):
            known = f"1 to {len(self.versions)}" if self.versions else "none yet"
            raise ConfigurationError(f"no configuration {number}; there are: {known}")
        return self.versions[number - 1]


def read_history(gallery: Gallery) -> History:
    """A gallery's configurations. Raises GalleryError where they were altered."""
    with gallery.database.reading() as connection:
        return _read(connection, gallery)


def active_configuration(gallery: Gallery) -> Configuration | None:
    """The configuration that decides; None where the gallery has none that is active."""
    return read_history(gallery).active


def configuration_damages(gallery: Gallery) -> list[str]:
    """What is wrong with the configurations, in words; empty where they are whole."""
    with gallery.database.reading() as connection:
        return altered_configurations(connection, gallery)


def altered_configurations(connection: Connection, gallery: Gallery) -> list[str]:
    """`configuration_damages` within a transaction."""
    try:
        _read(connection, gallery)
    except (GalleryError, ConfigurationError) as error:
        return [error.what]
    return []


def add_configuration(gallery: Gallery, configuration: Configuration) -> Configuration:
    """`add_configurations` of one."""
    return add_configurations(gallery, [configuration])[0]


def add_configurations(
    gallery: Gallery, configurations: Sequence[Configuration]
) -> tuple[Configuration, ...]:
    """Keep configurations as new versions, all of them or none; none is active yet.

    Raises PackError for a pack that is not there, ModelError for packs that cannot answer together.
    """
    for configuration in configurations:
        configuration.packs()

    def add(history: History) -> History:
        start, at, author = len(history.versions) + 1, now(), _user()
        new = tuple(
            replace(one.anywhere(), version=number, at=at, author=one.author or author)
            for number, one in enumerate(configurations, start)
        )
        return replace(history, versions=(*history.versions, *new))

    return _change(gallery, NEW, add).versions[-len(configurations) :]


def keep_calibration_file(gallery: Gallery, configuration: Configuration, file: Path) -> None:
    """Let the gallery use a file's calibration of a configuration's members together.

    Raises CalibrationError for one of other packs, or of other weights.
    """
    calibration = configuration.models().calibration(file)
    gallery.keep(calibration_name(calibration.model), to_bytes(calibration))


def stale_photos(gallery: Gallery, configuration: Configuration) -> Apart:
    """The photos that lack a template of one of its models: of those whose packs are there."""
    enabled = [state for state in configuration.states() if state.member.enabled]
    # How many numbers they give is not asked here.
    parts = tuple(Part(state.model, 0) for state in enabled if state.model)
    return photos_apart(gallery, parts) if parts else Apart(0, 0, ())


def activate(gallery: Gallery, number: int) -> Configuration:
    """Let a version decide from now on, and no other.

    Raises ConfigurationError for a number that is none of theirs, PackError for a missing pack.
    """
    read_history(gallery).version(number).packs()

    def switch(history: History) -> History:
        history.version(number)
        if history.activated[-1:] == (number,):
            return history
        return replace(history, activated=(*history.activated, number))

    return _change(gallery, ACTIVATE, switch).version(number)


def roll_back(gallery: Gallery) -> Configuration:
    """Let the version decide that did before the active one. Raises ConfigurationError for none."""

    def back(history: History) -> History:
        if len(history.activated) < 2:
            raise ConfigurationError("no configuration was active before this one")
        return replace(history, activated=history.activated[:-1])

    history = _change(gallery, ROLL_BACK, back)
    return history.version(history.activated[-1])


def _change(gallery: Gallery, action: str, change: Callable[[History], History]) -> History:
    """Change what is kept in one transaction with the audit's entry; what is kept then."""
    with gallery.database.writing() as connection:
        before = _read(connection, gallery)
        after = change(before)
        if after == before:
            return before
        number = after.versions[-1].version if action == NEW else after.activated[-1]
        entry = gallery.audit.record(connection, action, None, {"version": number})
        after = replace(after, entry=entry)
        sealed = gallery.vault.seal(to_bytes(after), gallery.id, KEPT, NAME)
        write_setting(gallery.database, connection, KEPT + NAME, sealed)
        return after


def _read(connection: Connection, gallery: Gallery) -> History:
    history, seal = _kept_history(connection, gallery), gallery.audit.sealed(connection)
    if seal is None:
        check_key(connection, gallery.vault, gallery.id)
        raise _altered(gallery, "cannot be told from older ones, for the audit's seal is gone")
    if history.entry != seal.configured:
        what = "are older ones, put back" if history.entry else "were taken away"
        raise _altered(gallery, what)
    return history


def accept_configurations(connection: Connection, gallery: Gallery) -> int:
    """Take them as they are, were they older ones, and remove what cannot be read; the entry that
    they name, 0 for none.
    """
    try:
        return _kept_history(connection, gallery).entry
    except (GalleryError, ConfigurationError):
        write_setting(gallery.database, connection, KEPT + NAME, None)
        return 0


def _kept_history(connection: Connection, gallery: Gallery) -> History:
    sealed = read_setting(connection, KEPT + NAME)
    if sealed is None:
        return History()
    document = gallery.vault.open(sealed, gallery.id, KEPT, NAME)
    if document is None:
        check_key(connection, gallery.vault, gallery.id)
        raise _altered(gallery, "were altered")
    return parse(History, document, gallery.where, ConfigurationError)


def _altered(gallery: Gallery, what: str) -> GalleryError:
    return GalleryError(
        f"{gallery.where}: its configurations {what}: nothing is decided by them",
        mend="restore a backup, take what is there (visavis people audit accept), or name a pack",
        option="pack",
    )


def _user() -> str:
    """Who is at work, as the system has it; empty where it does not say."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
