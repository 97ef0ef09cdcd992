"""A gallery's people out of it and into it: one person's data, other systems' layouts."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from visavis.errors import DatasetError, GalleryError
from visavis.files import make_private, output_errors, refuse_taken, write_whole
from visavis.gallery.gallery import Gallery
from visavis.gallery.people import Person
from visavis.gallery.samples import Sample, StoredSample

MOST_DAYS = 36_500  # of a rule of retention


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
    """Vectors of another system, <name>.npy of shape (D,) or (1, D), as templates of `model`.

    They are scaled to length 1; the length they had is kept, and `export_tensors` gives it back.
    Raises DatasetError for a file that is no such vector; then nothing of it is stored.
    """
    vectors = [(path, _vector(path)) for path in sorted(folder.glob("*.npy"))]
    if not vectors:
        raise DatasetError(f"{folder}: expected <name>.npy files, found none")
    people = []
    for path, vector in vectors:
        length = float(np.linalg.norm(vector))
        person = gallery.find_or_add(path.stem)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        templates = {model: (vector / length).astype(np.float32)}
        gallery.add_sample(person.id, Sample(path.name, digest, {"norm": length}, templates))
        people.append(person)
    return people


def export_tensors(gallery: Gallery, folder: Path, model: str) -> int:
    """Each person's first template as <name>.npy, (1, D) float32: what `import_tensors` reads."""
    with output_errors(folder):
        make_private(folder)
    written: set[Path] = set()
    for person in gallery.people():
        for sample in gallery.samples(person.id):
            if model in sample.templates:
                scale = np.float32(sample.quality.get("norm", 1.0))
                path = folder / f"{person.name.replace('/', '_').replace(chr(92), '_')}.npy"
                if path in written:  # somebody else of that name
                    path = path.with_stem(f"{path.stem} {person.external_id or person.id}")
                _save(path, scale * sample.templates[model][None])
                written.add(path)
                break
    return len(written)


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


def _vector(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    try:
        vector = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DatasetError(f"{path}: expected a NumPy file of numbers: {error}") from error
    flat = np.asarray(vector).reshape(-1)
    good = flat.dtype.kind == "f" and np.isfinite(flat).all() and np.linalg.norm(flat) > 0
    if (
        not isinstance(vector, np.ndarray)
        or vector.ndim > 2
        or vector.shape[:-1] not in ((), (1,))
        or not good
    ):
        raise DatasetError(
            f"{path}: expected one finite vector, (D,) or (1, D), "
            f"got {np.shape(vector)} {getattr(vector, 'dtype', 'in a zip')}"
        )
    return flat.astype(np.float32)
