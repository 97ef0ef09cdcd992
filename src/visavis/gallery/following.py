"""An index that follows its gallery: caught up from the audit chain, not read again whole."""

import json
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec

from sqlalchemy import Connection

from visavis.errors import MismatchError
from visavis.gallery.audit import (
    CONFIGURING,
    ENROLL,
    ERASE,
    GROUP,
    MERGE,
    RE_EMBED,
    REMOVE,
    ChainHead,
    Entry,
    head,
    history,
)
from visavis.gallery.index import ExactIndex, Index
from visavis.gallery.people import Among
from visavis.gallery.templates import (
    Opened,
    Parts,
    Quarantined,
    all_templates,
    chunks_of_templates,
    models_of_parts,
    templates_of_people,
    templates_of_samples,
    templates_shape,
)
from visavis.gallery.vault import SampleVault

# Numbers in all templates from which FAISS is faster by more than it takes to get ready: 20,000
# templates of 512 numbers, 80,000 of 128.
LARGE = 10_000_000
ROSTERS = 4  # indexes of so many ids that are kept: rosters change with the clock
# Actions that change who is in a group.
OF_GROUPS = {GROUP, MERGE, "accept person"}
# Actions that neither add, move nor erase a template.
HARMLESS = {
    "add negative",
    "remove negative",
    "add webhook",
    "remove webhook",
    "switch off webhook",
    "make gallery",
    "add person",
    "rename",
    GROUP,
    "consent",
    "require consent",
    "configure",
    *CONFIGURING,
    "keep",
    "export",
    # The service's own: it notes each search, and the next one must not read everything again.
    "request",
    "make api key",
    "revoke api key",
    "add user",
    "remove user",
    "revoke own links",
}


@dataclass(slots=True)
class Followed:
    """The index of an embedder's templates, and the entry of the chain up to which it is right."""

    index: Index
    head: ChainHead
    quarantined: dict[str, Quarantined]  # by photo
    members: frozenset[str] | None = None  # of the group whose templates these are; None: all


@dataclass(slots=True)
class Changes:
    """Whose templates changed."""

    gone: set[str] = field(default_factory=set)  # people without any template from now on
    people: set[str] = field(default_factory=set)  # whose templates are all to be read again
    samples: dict[str, str] = field(default_factory=dict)  # photos to be read again: their person


def changes_of(entries: Iterable[Entry]) -> Changes | None:
    """What entries of the chain did to templates; None where one of them does not say it.

    An older visavis may have left out what is needed, and a newer one may do what is not known
    here: then everything is read again.
    """
    changes = Changes()
    for entry in entries:
        if entry.action in HARMLESS:
            continue
        try:
            details = json.loads(entry.details)
            sample, merged = details.get("sample"), details.get("merged")
        except (ValueError, TypeError, AttributeError):
            return None
        if entry.person and entry.action in (ENROLL, RE_EMBED, REMOVE) and sample:
            changes.samples[sample] = entry.person
        elif entry.person and entry.action == ERASE:
            changes.gone.add(entry.person)
        elif entry.person and entry.action == MERGE and merged:
            changes.gone.add(merged)
            changes.people.add(entry.person)
        else:
            return None
    return changes


def follow(
    connection: Connection,
    vault: SampleVault,
    parts: Parts,
    known: Followed | None,
    members: Callable[[], frozenset[str] | None],
) -> Followed:
    """The index as the gallery is now: `known` caught up, or a new one where that cannot be.

    `members` tells whose templates it is of; None: everybody's.
    """
    changes = None
    if known is None:
        last = head(connection)
    else:
        last, entries = history(connection, known.head)
        if last == known.head:
            return known
        changes = None if entries is None else _changes_among(known.members, entries)
    # Of another length are templates of a model whose others are all gone by now.
    with suppress(MismatchError):
        if known is not None and changes is not None:
            _apply(known, changes, _read(connection, vault, parts, changes))
            known.head = last
            return known
    some = members()
    read = _read_whole if some is None else partial(_read_members, members=some)
    index, quarantined = read(connection, vault, parts)
    return Followed(index, last, {one.sample: one for one in quarantined}, some)


def _changes_among(members: frozenset[str] | None, entries: list[Entry]) -> Changes | None:
    """What entries did to the templates of a group's members; None as for `changes_of`, and where
    others may be members now.
    """
    changes = changes_of(entries)
    if members is None or changes is None:
        return changes
    if any(entry.action in OF_GROUPS for entry in entries):
        return None
    own = {photo: person for photo, person in changes.samples.items() if person in members}
    return Changes(changes.gone, changes.people, own)


def _read_members(
    connection: Connection, vault: SampleVault, parts: Parts, members: frozenset[str]
) -> tuple[Index, list[Quarantined]]:
    """The templates of so many people: by FAISS as for all."""
    opened = templates_of_people(connection, vault, parts, sorted(members))
    if not _is_large(*opened.rows.shape):
        return ExactIndex(opened.people, opened.samples, opened.rows), opened.quarantined
    from visavis.gallery.faiss import FaissIndex

    index = FaissIndex(opened.rows, len(opened.rows))
    index.extend(opened.people, opened.samples, opened.rows)
    return index, opened.quarantined


def keep_newest(
    every: dict[tuple[Parts, Among], Followed], key: tuple[Parts, Among], one: Followed
) -> None:
    """Keep an index under its key; of those of so many ids the last few alone."""
    rosters = [old for old in every if isinstance(old[1], frozenset) and old != key]
    if isinstance(key[1], frozenset):
        for old in rosters[: max(0, len(rosters) + 1 - ROSTERS)]:
            del every[old]
    every.pop(key, None)
    every[key] = one


def index_bytes(count: int, numbers: int) -> int:
    """Bytes of memory that an index of so many templates takes, by its arrays."""
    if _is_large(count, numbers):
        return count * (numbers + numbers // 8 + 16)  # 8 bits a number, its code, whose row it is
    return count * (4 * numbers + 4)


def _is_large(count: int, length: int) -> bool:
    return count * length >= LARGE and not length % 4 and find_spec("faiss") is not None


def forget(followed: Followed, people: Iterable[str]) -> None:
    """Let nobody find these people any more, whether or not anybody asks for the index anew."""
    with followed.index.changing():
        for person in people:
            followed.index.remove(person)


def _read_whole(
    connection: Connection, vault: SampleVault, parts: Parts
) -> tuple[Index, list[Quarantined]]:
    """All templates: by FAISS where there are so many that it answers sooner.

    Its rows take a quarter of the memory, and are read a chunk at a time.
    """
    count, numbers = templates_shape(connection, models_of_parts(parts)[0])
    others = 0 if isinstance(parts, str) else sum(part.dim for part in parts[1:])
    if not _is_large(count, numbers + others):
        opened = all_templates(connection, vault, parts)
        return ExactIndex(opened.people, opened.samples, opened.rows), opened.quarantined
    from visavis.gallery.faiss import FaissIndex

    quarantined: list[Quarantined] = []
    index: FaissIndex | None = None
    adding: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:  # one chunk is added while the next one is read
        for opened in chunks_of_templates(connection, vault, parts, numbers):
            quarantined += opened.quarantined
            if len(opened.rows):
                index = FaissIndex(opened.rows, count) if index is None else index
                while adding:
                    adding.pop().result()
                adding.append(pool.submit(index.extend, opened.people, opened.samples, opened.rows))
        while adding:
            adding.pop().result()
    return index or ExactIndex(), quarantined


def _read(
    connection: Connection, vault: SampleVault, parts: Parts, changes: Changes
) -> list[Opened]:
    """The templates of what changed, as they are now."""
    read = []
    if changes.samples:
        read.append(templates_of_samples(connection, vault, parts, sorted(changes.samples)))
    if changes.people:
        read.append(templates_of_people(connection, vault, parts, sorted(changes.people)))
    return read


def _apply(known: Followed, changes: Changes, read: list[Opened]) -> None:
    moved = changes.gone | changes.people
    for sample, one in list(known.quarantined.items()):
        if sample in changes.samples or one.person in moved:
            del known.quarantined[sample]
    with known.index.changing():
        forget(known, moved)
        for sample, person in changes.samples.items():
            known.index.remove(person, sample)
        added: set[str] = set()
        for opened in read:
            for row, (person, sample) in enumerate(zip(opened.people, opened.samples, strict=True)):
                # A photo that was added and then moved by a merge is read twice.
                if sample not in added:
                    known.index.add(person, sample, opened.rows[row : row + 1])
                added.add(sample)
            known.quarantined.update({one.sample: one for one in opened.quarantined})
