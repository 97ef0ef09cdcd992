"""Unknown faces into groups, each likely one person; then named, merged and split by hand.

A groups folder holds groups.json, the crops and index.html to look at: faces in the clear.
"""

import html
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from visavis.batch import Progress, in_order
from visavis.document import parse, to_bytes
from visavis.draw import write_image
from visavis.enrollment import Candidate
from visavis.errors import DatasetError, OutputError, VisavisError
from visavis.files import make_private, write_whole
from visavis.recognizer import Recognizer
from visavis.types import Crops, Embeddings

GROUPS, SHEET, CROPS = "groups.json", "index.html", "crops"
STYLE = """
body { font: 15px/1.4 system-ui, sans-serif; margin: 1rem auto; padding: 0 1rem; max-width: 75rem }
:root { color-scheme: light dark }
section { border-top: 1px solid #8884; padding: .5rem 0 1rem }
figure { display: inline-block; margin: .3rem; width: min(112px, 28vw); vertical-align: top }
img { width: 100%; border-radius: 6px }
figcaption { font-size: 11px; overflow-wrap: anywhere; opacity: .7 }
pre { overflow-x: auto; user-select: all; background: #8882; padding: .4rem; border-radius: 6px }
summary { font-size: 1.2rem; padding: .5rem 0; cursor: pointer }
"""
BLOCK = 1024  # rows of the all-pairs matrix at a time
ROUNDING = 1e-6  # of a float32 similarity: what is exactly at the threshold is in


@dataclass(frozen=True, slots=True)
class GroupedFace:
    """One face of a group."""

    photo: str  # absolute path
    face: int  # from 1, largest first
    crop: str  # file in the groups folder; empty without one


@dataclass(frozen=True, slots=True)
class FaceGroups:
    """FaceGroups of faces, as found largest first; the first member of each is its cover."""

    threshold: float
    groups: tuple[tuple[GroupedFace, ...], ...]


@dataclass(frozen=True, slots=True)
class Clustering:
    """What became of photos: groups of their faces, and the photos that cannot be read."""

    groups: FaceGroups
    failures: tuple[tuple[Path, VisavisError], ...]


def cluster_photos(
    recognizer: Recognizer,
    paths: Sequence[Path],
    folder: Path | None,
    *,
    policy: str | float = "standard",
    workers: int = 1,
    progress: Progress = iter,
) -> Clustering:
    """Group the faces of photos by likeness, into a new groups folder unless it is None.

    Two faces are alike by the threshold of `policy`, as for `Recognizer.verify`.
    Raises CalibrationError, and OutputError where the folder cannot be made or holds groups.
    """
    threshold = recognizer.calibration.policy(policy).match.threshold
    if folder is not None:
        make_folder(folder)
    faces: list[GroupedFace] = []
    rows = [np.empty((0, recognizer.embed.dim), np.float32)]
    failures: list[tuple[Path, VisavisError]] = []

    def crops_of(name: str) -> tuple[Crops, Embeddings]:
        photo = recognizer.faces(Path(name))
        crops, plain = recognizer.cut(photo, range(len(photo.faces)))
        return plain, recognizer.embed(crops)

    for name, answer in in_order(crops_of, progress(map(str, paths)), workers=workers):
        if isinstance(answer, VisavisError):
            failures.append((Path(name), answer))
            continue
        crops, embeddings = answer
        faces += write_crops(folder, Path(name), crops, before=len(faces))
        rows.append(embeddings)
    groups = group_faces(faces, np.concatenate(rows), threshold)
    if folder is not None:
        save_face_groups(folder, groups)
    return Clustering(groups, tuple(failures))


def group_rows(embeddings: Embeddings, threshold: float) -> list[list[int]]:
    """Rows (N, D) in groups whose faces are alike on average, largest first, each by its cover.

    Average linkage: pairs from the closest down to `threshold`; two groups become one where the
    mean similarity between them is at least `threshold`. The cover is the face closest to all.
    """
    groups = {row: [row] for row in range(len(embeddings))}
    sums = {row: embeddings[row].astype(np.float64) for row in groups}
    home = list(range(len(embeddings)))
    least = threshold - ROUNDING
    for i, j in _alike(embeddings, least):
        a, b = home[i], home[j]
        if a == b or sums[a] @ sums[b] < least * len(groups[a]) * len(groups[b]):
            continue
        groups[a] += groups.pop(b)
        sums[a] = sums[a] + sums.pop(b)
        for row in groups[a]:
            home[row] = a
    ordered = sorted(groups.values(), key=lambda rows: (-len(rows), min(rows)))

    def from_all(row: int) -> tuple[float, int]:
        mean = embeddings[row] @ sums[home[row]] / len(groups[home[row]])
        return -round(float(mean), 5), row  # rounded, so that the last bit orders nothing

    return [sorted(rows, key=from_all) for rows in ordered]


def make_folder(folder: Path) -> None:
    """A new groups folder, for its owner alone. Raises OutputError where there is one already."""
    if (folder / GROUPS).exists() or (folder / CROPS).exists():
        raise OutputError(
            f"{folder}: groups are here already", mend="name another folder, or remove it"
        )
    try:
        make_private(folder)
        make_private(folder / CROPS)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make this folder: {error.strerror}") from error


def write_crops(
    folder: Path | None, photo: Path, crops: Crops, *, before: int
) -> list[GroupedFace]:
    """Write the crops (N, 112, 112, 3) of a photo's faces, largest first; `before` are there.

    Nothing is written without a folder.
    """
    members = [
        GroupedFace(str(photo.absolute()), face, f"{CROPS}/{before + face:05d}.png")
        for face in range(1, len(crops) + 1)
    ]
    if folder is None:
        return [replace(member, crop="") for member in members]
    for member, crop in zip(members, crops, strict=True):
        write_image(folder / member.crop, crop, private=True)
    return members


def group_faces(
    faces: Sequence[GroupedFace], embeddings: Embeddings, threshold: float
) -> FaceGroups:
    """Group faces by their embeddings (N, D)."""
    groups = (tuple(faces[row] for row in rows) for rows in group_rows(embeddings, threshold))
    return FaceGroups(threshold, tuple(groups))


def read_face_groups(folder: Path) -> FaceGroups:
    """The groups of a folder. Raises DatasetError where there are none."""
    path = folder / GROUPS
    try:
        return parse(FaceGroups, path.read_bytes(), str(path), DatasetError)
    except OSError as error:
        raise DatasetError(f"{path}: cannot read the groups: {error.strerror}") from error


def save_face_groups(folder: Path, groups: FaceGroups) -> FaceGroups:
    """Write groups.json and the sheet."""
    write_whole(folder / GROUPS, to_bytes(groups), private=True)
    write_whole(
        folder / SHEET, sheet(groups, folder.absolute()).encode(errors="replace"), private=True
    )
    return groups


def merged(groups: FaceGroups, first: int, second: int) -> FaceGroups:
    """Two groups, numbered from 1, as one, in the first's place."""
    a, b = _row(groups, first), _row(groups, second)
    if a == b:
        raise DatasetError(f"expected two groups, got {first} twice")
    rest = list(groups.groups)
    rest[a] = rest[a] + rest[b]
    del rest[b]
    return replace(groups, groups=tuple(rest))


def split(groups: FaceGroups, number: int, faces: Sequence[int]) -> FaceGroups:
    """Some faces of a group, numbered from 1, as a new group, the last."""
    row = _row(groups, number)
    whole = groups.groups[row]
    if not faces or not set(faces) < set(range(1, len(whole) + 1)):
        raise DatasetError(
            f"group {number} has faces 1 to {len(whole)}; some must go and some stay, "
            f"got {', '.join(map(str, faces)) or 'none'}"
        )
    stay = tuple(member for at, member in enumerate(whole, start=1) if at not in faces)
    go = tuple(member for at, member in enumerate(whole, start=1) if at in faces)
    rest = list(groups.groups)
    rest[row] = stay
    return replace(groups, groups=(*rest, go))


def candidates(
    groups: FaceGroups,
    number: int,
    name: str,
    *,
    external_id: str | None = None,
    consent: str | None = None,
) -> list[Candidate]:
    """A group's photos, to be enrolled under a name."""
    return [
        Candidate(name, Path(member.photo), external_id, consent, face=member.face)
        for member in groups.groups[_row(groups, number)]
    ]


def sheet(groups: FaceGroups, folder: Path = Path("FOLDER")) -> str:
    """A page with every group's faces, without scripts, to be opened from its folder. `folder` is
    what the commands on it name.
    """
    numbered = list(enumerate(groups.groups, start=1))
    several = "\n".join(_section(number, group, folder) for number, group in numbered if group[1:])
    single = [(number, group) for number, group in numbered if not group[1:]]
    singles = "\n".join(_section(number, group, folder) for number, group in single)
    place = html.escape(shlex.quote(str(folder)))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Groups of faces</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>{STYLE}</style></head><body>
<h1>Groups: {len(numbered)}</h1>
<p>Alike on average by {groups.threshold:.2f} or more. The first of each is its cover. A face opens
its photo.</p>
<p>What to do next: name a group with the command under it. Where two groups are one person, or a
face is in the wrong one:</p>
<pre>visavis people merge-groups {place} FIRST SECOND
visavis people split-group {place} GROUP FACE...</pre>
{several}
<details{"" if several else " open"}><summary>Single faces: {len(single)}</summary>
{singles}
</details>
</body></html>
"""


def _section(number: int, members: Sequence[GroupedFace], folder: Path) -> str:
    figures = "".join(_figure(face, member) for face, member in enumerate(members, start=1))
    command = f"visavis people name-group {shlex.quote(str(folder))} {number} 'NAME'"
    return (
        f"<section><h2>Group {number} · {len(members)}</h2>{figures}"
        f"<pre>{html.escape(command)}</pre></section>"
    )


def _figure(face: int, member: GroupedFace) -> str:
    caption = html.escape(f"{face} · {Path(member.photo).name}")
    source, photo = html.escape(member.crop), html.escape(Path(member.photo).absolute().as_uri())
    image = f'<a href="{photo}"><img src="{source}" alt="" loading="lazy"></a>'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _alike(embeddings: Embeddings, least: float) -> Iterator[tuple[int, int]]:
    """Pairs of rows at least that similar, the closest first."""
    parts = []
    for start in range(0, len(embeddings), BLOCK):
        similarities = embeddings[start : start + BLOCK] @ embeddings[start:].T
        i, j = np.nonzero(np.triu(similarities >= least, 1))
        parts.append((i + start, j + start, similarities[i, j]))
    if parts:
        rows, others, similar = (np.concatenate(column) for column in zip(*parts, strict=True))
        for pair in np.argsort(-similar, kind="stable"):
            yield int(rows[pair]), int(others[pair])


def _row(groups: FaceGroups, number: int) -> int:
    if not 1 <= number <= len(groups.groups):
        raise DatasetError(f"expected a group from 1 to {len(groups.groups)}, got {number}")
    return number - 1
