"""IJB-B and IJB-C as InsightFace publishes them: lists in meta/, pictures in loose_crop/.

Knows nothing of how templates are made or compared.
"""

import csv
import os
import warnings
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from visavis.dataset.tree import Tree, open_tree
from visavis.errors import DatasetError

_Rows = NDArray[np.intp]

# The two galleries of each set, by the stem of its lists: meta/<stem>_face_tid_mid.txt.
GALLERIES = {"ijbb": ("S1", "S2"), "ijbc": ("G1", "G2")}
MEMBERS, POINTS, PAIRS = "face_tid_mid.txt", "name_5pts_score.txt", "template_pair_label.txt"


@dataclass(frozen=True, eq=False, slots=True)
class TemplatePairs:
    """Pairs of templates and whether they are of one person."""

    left: _Rows  # (P,) rows of `templates`
    right: _Rows  # (P,)
    same: NDArray[np.bool_]  # (P,)


@dataclass(frozen=True, eq=False, slots=True)
class TemplatePeople:
    """The templates of a gallery or of the probes, each once, and whom they show."""

    templates: _Rows  # (K,) rows of `templates`
    people: _Rows  # (K,) subject ids


@dataclass(frozen=True, eq=False, slots=True)
class Ijb:
    """The lists of one set: N pictures make T templates."""

    tree: Tree  # the pictures
    names: tuple[str, ...]  # (N,)
    lines: _Rows  # (N,) in `points`, from 1
    points: str  # the list of pictures, for messages
    landmarks: NDArray[np.float32]  # (N, 5, 2) pixels
    scores: NDArray[np.float32]  # (N,) the detector's
    template: _Rows  # (N,) rows of `templates`
    media: _Rows  # (N,) ids: a photo, or all frames of one video
    templates: _Rows  # (T,) ids, sorted
    pairs: TemplatePairs
    galleries: dict[str, TemplatePeople]  # by name; empty where the set has no 1:N lists
    probes: TemplatePeople | None
    skipped: int = 0  # lines left out because they were bad

    def where(self, row: int) -> str:
        """A picture and the line that lists it, for messages."""
        return f"{self.points}, line {self.lines[row]}: {self.names[row]}"


@dataclass(slots=True)
class _Bad:
    """What happens to a bad line: it is an error, or it is counted."""

    skip: bool
    count: int = 0

    def __call__(self, path: Path, line: int, message: str) -> None:
        if not self.skip:
            raise DatasetError(f"{path}, line {line}: {message}")
        self.count += 1


@dataclass(frozen=True, slots=True)
class _Member:
    template: int
    media: int
    line: int


@dataclass(frozen=True, slots=True)
class _Picture:
    name: str
    line: int
    numbers: list[float]  # ten coordinates, the detector's score


def read_ijb(folder: Path, *, skip_bad: bool = False) -> Ijb:
    """Read the lists of a folder with meta/ and loose_crop/, IJB-B's or IJB-C's.

    The 1:N lists may be missing, all of them. Raises DatasetError for another missing file, and
    with file and line for a line that cannot be read, a picture that is missing or listed twice,
    and a template without a picture; `skip_bad` counts and leaves out such lines.
    """
    meta, bad = folder / "meta", _Bad(skip_bad)
    stem = _stem(meta)
    if not (folder / "loose_crop").is_dir():
        raise DatasetError(f"{folder}: expected a folder loose_crop with the pictures")
    tree = open_tree(folder / "loose_crop")
    # tree.names() would be slow for half a million files.
    files = frozenset(os.listdir(folder / "loose_crop"))
    paths = meta / f"{stem}_{MEMBERS}", meta / f"{stem}_{POINTS}"
    members = _members(paths[0], bad)
    templates = np.unique([member.template for member in members.values()])
    pictures = _pictures(paths, members, files, bad)
    if not pictures:
        raise DatasetError(f"{paths[1]}: expected pictures, found none that can be used")
    own = [members[picture.name] for picture in pictures]
    numbers = np.array([picture.numbers for picture in pictures], np.float32)
    pairs = _pairs(meta / f"{stem}_{PAIRS}", templates, bad)
    galleries, probes = _searches(meta, stem, templates, bad)
    return Ijb(
        tree=tree,
        names=tuple(picture.name for picture in pictures),
        lines=np.array([picture.line for picture in pictures]),
        points=str(paths[1]),
        landmarks=numbers[:, :10].reshape(-1, 5, 2),
        scores=numbers[:, 10],
        template=np.searchsorted(templates, [member.template for member in own]),
        media=np.array([member.media for member in own]),
        templates=templates,
        pairs=pairs,
        galleries=galleries,
        probes=probes,
        skipped=bad.count,
    )


def _stem(meta: Path) -> str:
    stems = [stem for stem in GALLERIES if (meta / f"{stem}_{MEMBERS}").is_file()]
    if len(stems) != 1:
        wanted = " or ".join(f"{stem}_{MEMBERS}" for stem in GALLERIES)
        raise DatasetError(f"{meta}: expected {wanted}, found {len(stems)} of them")
    return stems[0]


def _lines(path: Path, columns: int, bad: _Bad) -> Iterator[tuple[int, list[str]]]:
    """The lines of so many words, each with its number."""
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                words = line.split()
                if len(words) == columns:
                    yield number, words
                elif words:
                    bad(path, number, f"expected {columns} words, got {line.strip()!r}")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: expected a list of IJB: {error}") from error


def _members(path: Path, bad: _Bad) -> dict[str, _Member]:
    """The template and media of each picture, from lines of name, template and media."""
    members: dict[str, _Member] = {}
    for number, (name, template, media) in _lines(path, 3, bad):
        if not (_is_id(template) and _is_id(media)):
            bad(path, number, f"expected the ids of a template and a media, got {template} {media}")
        elif name in members:
            bad(path, number, f"{name} stands in line {members[name].line}, too")
        else:
            members[name] = _Member(int(template), int(media), number)
    return members


def _pictures(
    paths: tuple[Path, Path], members: dict[str, _Member], files: frozenset[str], bad: _Bad
) -> list[_Picture]:
    """The pictures of the second list; each must be in the first, which `members` was read from."""
    pictures: dict[str, _Picture] = {}
    listed = set()
    for number, (name, *words) in _lines(paths[1], 12, bad):
        listed.add(name)
        numbers = _numbers(words)
        if numbers is None:
            bad(paths[1], number, f"expected 10 coordinates and a score, got {' '.join(words)!r}")
        elif name in pictures:
            bad(paths[1], number, f"{name} stands in line {pictures[name].line}, too")
        elif name not in members:
            bad(paths[1], number, f"{name} is in no template of {paths[0].name}")
        elif name not in files:
            bad(paths[1], number, f"no picture {name} in loose_crop")
        else:
            pictures[name] = _Picture(name, number, numbers)
    for name, member in members.items():
        if name not in listed:
            bad(paths[0], member.line, f"no line of {name} in {paths[1].name}")
    return list(pictures.values())


def _numbers(words: list[str]) -> list[float] | None:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        return None
    return numbers if all(map(isfinite, numbers)) and numbers[-1] >= 0 else None


def _pairs(path: Path, templates: _Rows, bad: _Bad) -> TemplatePairs:
    """The pairs, from lines of two templates and 1 where they show one person, else 0."""
    try:
        with warnings.catch_warnings():
            # NumPy only warns of an empty list, or of 1.0.
            warnings.simplefilter("error")
            table = np.loadtxt(path, np.int64, comments=None, ndmin=2)
    except OSError as error:
        raise DatasetError(f"{path}: {error.strerror or error}") from error
    except (ValueError, Warning):
        table = np.empty((0, 0), np.int64)
    pairs = _as_pairs(table, templates)
    if pairs is None:
        # This is slow, but knows the line.
        pairs = _as_pairs(_pairs_by_line(path, templates, bad), templates)
    if pairs is None or not len(pairs.same):
        raise DatasetError(f"{path}: expected pairs, found none that can be used")
    return pairs


def _as_pairs(table: NDArray[np.int64], templates: _Rows) -> TemplatePairs | None:
    if table.shape[1] != 3 or not np.isin(table[:, 2], (0, 1)).all():
        return None
    left, right = (np.searchsorted(templates, table[:, column]) for column in (0, 1))
    for column, rows in enumerate((left, right)):
        np.minimum(rows, len(templates) - 1, out=rows)
        if not np.array_equal(templates[rows], table[:, column]):
            return None
    return TemplatePairs(left, right, table[:, 2] == 1)


def _pairs_by_line(path: Path, templates: _Rows, bad: _Bad) -> NDArray[np.int64]:
    known = frozenset(templates.tolist())
    kept = array("q")
    for number, words in _lines(path, 3, bad):
        if not all(map(_is_id, words)) or words[2] not in ("0", "1"):
            bad(path, number, f"expected two templates and 0 or 1, got {' '.join(words)!r}")
        elif not known.issuperset(map(int, words[:2])):
            bad(path, number, f"expected known templates, got {words[0]} and {words[1]}")
        else:
            kept.extend(map(int, words))
    return np.array(kept, np.int64).reshape(-1, 3)


def _searches(
    meta: Path, stem: str, templates: _Rows, bad: _Bad
) -> tuple[dict[str, TemplatePeople], TemplatePeople | None]:
    paths = {name: meta / f"{stem}_1N_gallery_{name}.csv" for name in GALLERIES[stem]}
    probes = meta / f"{stem}_1N_probe_mixed.csv"
    if not any(path.exists() for path in (*paths.values(), probes)):
        return {}, None
    known = frozenset(templates.tolist())
    galleries = {name: _people(path, templates, known, bad) for name, path in paths.items()}
    return galleries, _people(probes, templates, known, bad)


def _people(path: Path, templates: _Rows, known: frozenset[int], bad: _Bad) -> TemplatePeople:
    """Read a CSV with a row for each picture; TEMPLATE_ID and SUBJECT_ID are its first columns."""
    people: dict[int, int] = {}
    for line, words in _csv(path):
        template, person, *_ = (*words, "", "")
        if not (_is_id(template) and _is_id(person)):
            bad(path, line, f"expected the ids of a template and a subject, got {words[:2]}")
        elif int(template) not in known:
            bad(path, line, f"expected a known template, got {template}")
        elif people.setdefault(int(template), int(person)) != int(person):
            bad(path, line, f"template {template} shows {people[int(template)]} and {person}")
    if not people:
        raise DatasetError(f"{path}: expected templates, found none that can be used")
    return TemplatePeople(
        np.searchsorted(templates, list(people)), np.fromiter(people.values(), np.intp)
    )


def _csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            header = [word.strip().upper() for word in next(rows, [])][:2]
            if header != ["TEMPLATE_ID", "SUBJECT_ID"]:
                raise DatasetError(
                    f"{path}, line 1: expected TEMPLATE_ID,SUBJECT_ID,..., got {','.join(header)!r}"
                )
            yield from ((rows.line_num, row) for row in rows if row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: expected a CSV of templates: {error}") from error


def _is_id(word: str) -> bool:
    return word.isascii() and word.isdecimal() and len(word) <= 18
