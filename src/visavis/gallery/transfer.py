"""A gallery's people out of it and into it: one person's data, other systems' layouts."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DatasetError, EmbeddingError, GalleryError
from visavis.files import make_private, output_errors, refuse_taken, safe_stem, write_whole
from visavis.gallery.gallery import Gallery
from visavis.gallery.people import Person, clean_name
from visavis.gallery.samples import Sample, StoredSample

MOST_DAYS = 36_500  # of a rule of retention
MOST_BYTES = 1 << 20  # of a file with one vector


def export_person(gallery: Gallery, person: Person, folder: Path) -> Path:
    """All that is held on one person: person.json, and each photo's crop and templates as files.

    Raises OutputError where the folder is there already or cannot be written.
    """
    refuse_taken(folder)
    with output_errors(folder):
        make_private(folder)
    samples = [_export_sample(sample, folder) for sample in gallery.samples(person.id)]
    entries = [
        {"seq": entry.seq, "at": entry.at, "action": entry.action, "details": entry.details}
        for entry in gallery.audit_of(person.id)
    ]
    document = {**asdict(person), "samples": samples, "audit": entries}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    write_whole(folder / "person.json", text.encode(), private=True)
    gallery.record("export", {"person": person.id})
    return folder


def import_tensors(gallery: Gallery, folder: Path, model: str) -> list[Person]:
    """Vectors of another system, as `read_tensors` reads them, all of them or none."""
    return gallery.add_all(read_tensors(folder, model))


def read_tensors(folder: Path, model: str) -> list[tuple[str, Sample]]:
    """Vectors of another system, <name>.npy of shape (D,) or (1, D), as templates of `model`: what
    `Gallery.add_all` stores.

    They are scaled to length 1; the length they had is kept, and `export_tensors` gives it back.
    Raises DatasetError for a file that is no such vector, PersonError for a name that cannot be,
    EmbeddingError for vectors of several lengths.
    """
    paths = sorted(folder.glob("*.npy"))
    if not paths:
        raise DatasetError(f"{folder}: expected <name>.npy files, found none")
    named = [(clean_name(path.stem), _sample(path, model)) for path in paths]
    lengths = {
        len(sample.templates[model]): path for (_, sample), path in zip(named, paths, strict=True)
    }
    if len(lengths) > 1:
        counts = " and ".join(f"{count} ({path.name})" for count, path in sorted(lengths.items()))
        raise EmbeddingError(f"{folder}: {model}: expected vectors of one length, got {counts}")
    return named


def export_tensors(gallery: Gallery, folder: Path, model: str) -> int:
    """Each person's first template as <name>.npy, (1, D) float32: what `import_tensors` reads."""
    with output_errors(folder):
        make_private(folder)
    written: set[str] = set()
    for person in gallery.people():
        for sample in gallery.samples(person.id):
            if model in sample.templates:
                scale = np.float32(sample.quality.get("norm", 1.0))
                stem = _free_stem(person, written)
                _save(folder / f"{stem}.npy", scale * sample.templates[model][None])
                written.add(stem.casefold())
                break
    return len(written)


def _free_stem(person: Person, written: set[str]) -> str:
    """A file's name for a person; with an id behind it where somebody else has that name."""
    stem = safe_stem(person.name)
    for own in ("", person.external_id, person.id):
        free = f"{stem} {safe_stem(own)}" if own else stem
        # Some file systems take Anna and anna for one.
        if own is not None and free.casefold() not in written:
            break
    return free


def stale(gallery: Gallery, days: float) -> list[Person]:
    """People neither added nor recognised in so many days.

    Raises GalleryError for an age that is none: 0 would be everybody.
    """
    if not 0 < days <= MOST_DAYS:  # NaN is not
        raise GalleryError(
            f"expected an age above 0 and of at most {MOST_DAYS} days, got {days:g}",
            mend="choose another age",
            option="older_than",
        )
    limit = datetime.now(UTC) - timedelta(days=days)
    return [
        person
        for person in gallery.people()
        if datetime.fromisoformat(person.seen_at or person.added_at) < limit
    ]


def prune(gallery: Gallery, days: float, people: Sequence[Person]) -> list[Person]:
    """Erase those of `people` that are `stale` still: nobody who was recognised meanwhile."""
    meant = {person.id for person in people}
    pruned = [person for person in stale(gallery, days) if person.id in meant]
    for person in pruned:
        gallery.delete(person.id)
    return pruned


def _export_sample(sample: StoredSample, folder: Path) -> dict[str, Any]:
    """A photo's entry in person.json; its crop and templates are written beside it."""
    files: dict[str, str] = {}
    if sample.crop is not None:
        write_whole(folder / f"{sample.id}.png", sample.crop, private=True)
    for number, (model, vector) in enumerate(sorted(sample.templates.items())):
        files[model] = f"{sample.id}-{number}.npy"
        _save(folder / files[model], vector)
    entry = {
        "id": sample.id,
        "person_id": sample.person_id,
        "source": sample.source,
        "source_sha256": sample.source_sha256,
        "quality": sample.quality,
        "added_at": sample.added_at,
    }
    return {**entry, "templates": files} if files else entry


def _save(path: Path, array: NDArray[np.float32]) -> None:
    buffer = BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_whole(path, buffer.getvalue(), private=True)


def _sample(path: Path, model: str) -> Sample:
    """A file's vector as a photo's template."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"{path}: cannot read: {error.strerror}") from error
    vector = _vector(data, path)
    length = float(np.linalg.norm(vector))
    digest = hashlib.sha256(data).hexdigest()
    templates = {model: (vector / length).astype(np.float32)}
    return Sample(path.name, digest, {"norm": length}, templates)


def _vector(data: bytes, path: Path) -> NDArray[np.float32]:
    if len(data) > MOST_BYTES:
        raise DatasetError(f"{path}: expected a vector, got more than {MOST_BYTES} bytes")
    file = BytesIO(data)
    try:
        shape, kind = _header(file)
    except (ValueError, TypeError, SyntaxError, EOFError, RecursionError, TokenError) as error:
        raise DatasetError(f"{path}: expected a NumPy file of numbers: {error}") from error
    # What the header says is believed only where just so many bytes follow it.
    flat = len(shape) in (1, 2) and shape[:-1] in ((), (1,)) and kind.kind == "f"
    if not flat or shape[-1] * kind.itemsize != len(data) - file.tell() or not shape[-1]:
        raise DatasetError(
            f"{path}: expected one vector, (D,) or (1, D), got {shape} {kind} in {len(data)} bytes"
        )
    vector = np.frombuffer(data, kind, offset=file.tell()).astype(np.float32)
    if not np.isfinite(vector).all() or not np.linalg.norm(vector) > 0:
        raise DatasetError(f"{path}: expected finite numbers, not all of them zero")
    return vector


def _header(file: BytesIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"format {version}")
    reads = np.lib.format.read_array_header_1_0
    if version == (2, 0):
        reads = np.lib.format.read_array_header_2_0
    shape, _, kind = reads(file)
    return shape, kind
