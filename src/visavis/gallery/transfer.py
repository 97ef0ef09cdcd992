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

from visavis.dataset.vectors import NamedVector, read_vectors
from visavis.errors import DatasetError, GalleryError
from visavis.files import make_private, output_errors, refuse_taken, safe_stem, write_whole
from visavis.gallery.gallery import Gallery
from visavis.gallery.merging import merges_of
from visavis.gallery.negatives import negatives_of
from visavis.gallery.people import Person, clean_name
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
    negatives = [asdict(one) for one in negatives_of(gallery, person.id)]
    merged = [asdict(one) for one in merges_of(gallery, person.id)]
    apart = {"negatives": negatives, "merged": merged}
    document = {**asdict(person), "samples": samples, **apart, "audit": entries}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    write_whole(folder / "person.json", text.encode(), private=True)
    gallery.record("export", {"person": person.id})
    return folder


def import_tensors(gallery: Gallery, source: Path, model: str) -> list[Person]:
    """Vectors of another system as templates of `model`: a person for each, as often as they come.

    They are scaled to length 1; the length they had is kept, and `export_tensors` gives it back.
    Raises as `read_samples`, PersonError for a name that cannot be, EmbeddingError for vectors of
    another length than the model's; then nothing at all is stored.
    """
    return gallery.add_all(read_samples(source, model))


def read_samples(source: Path, model: str) -> list[tuple[str, Sample]]:
    """The vectors of a folder of <name>.npy, (D,) or (N, D), or of another tool's file, as photos
    that have templates of `model`; each with its person's name.

    Raises DatasetError for a file that is none, and for vectors of several lengths; PersonError for
    a name that cannot be.
    """
    files = sorted(source.glob("*.npy")) if source.is_dir() else [source]
    if not files:
        raise DatasetError(f"{source}: expected <name>.npy files, found none")
    named = [
        (vector.person, _sample(vector, model)) for file in files for vector in read_vectors(file)
    ]
    lengths = sorted({len(sample.templates[model]) for _, sample in named})
    if len(lengths) > 1:
        raise DatasetError(f"{source}: expected embeddings of one length, got {lengths[:5]}")
    return [(clean_name(name), sample) for name, sample in named]


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
    gallery.record("export", {"model": model})
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
    gallery.delete(*(person.id for person in pruned))
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


def _sample(vector: NamedVector, model: str) -> Sample:
    """A vector as a photo's template."""
    length = float(np.linalg.norm(vector.vector.astype(np.float64)))
    digest = hashlib.sha256(vector.vector.tobytes()).hexdigest()
    templates = {model: (vector.vector / length).astype(np.float32)}
    return Sample(vector.source, digest, {"norm": length}, templates)
