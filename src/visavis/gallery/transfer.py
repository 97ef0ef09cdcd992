"""A gallery's people out of it and into it: one person's data, other systems' layouts, backups."""

import hashlib
import json
import shutil
import sqlite3
import uuid
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from visavis.errors import DatasetError, GalleryError, OutputError
from visavis.files import write_whole
from visavis.gallery import sqlite as schema
from visavis.gallery.gallery import FILE, Gallery
from visavis.gallery.people import Person, Sample


def export_person(gallery: Gallery, person: Person, folder: Path) -> Path:
    """All that is held on one person: person.json, and each photo's crop and templates as files.

    Raises OutputError where the folder is there already or cannot be written.
    """
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make this folder: {error.strerror}") from error
    samples = []
    for sample in gallery.samples(person.id):
        crop, templates = sample.pop("crop"), sample.pop("templates")
        if crop is not None:
            write_whole(folder / f"{sample['id']}.png", crop)
        for number, (model, vector) in enumerate(sorted(templates.items())):
            file = f"{sample['id']}-{number}.npy"
            np.save(folder / file, vector)
            sample.setdefault("templates", {})[model] = file
        samples.append(sample)
    document = {**asdict(person), "samples": samples, "audit": gallery.audit_of(person.id)}
    text = json.dumps(document, indent=2, ensure_ascii=False)
    write_whole(folder / "person.json", text.encode())
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
    folder.mkdir(parents=True, exist_ok=True)
    written: set[Path] = set()
    for person in gallery.people():
        for sample in gallery.samples(person.id):
            if model in sample["templates"]:
                scale = np.float32(sample["quality"].get("norm", 1.0))
                path = folder / f"{person.name.replace('/', '_').replace(chr(92), '_')}.npy"
                if path in written:  # somebody else of that name
                    path = path.with_stem(f"{path.stem} {person.external_id or person.id}")
                np.save(path, scale * sample["templates"][model][None])
                written.add(path)
                break
    return len(written)


def stale(gallery: Gallery, days: float) -> list[Person]:
    """People neither added nor recognised in so many days."""
    limit = datetime.now(UTC) - timedelta(days=days)
    return [
        person
        for person in gallery.people()
        if datetime.fromisoformat(person.seen_at or person.added_at) < limit
    ]


def backup(gallery: Gallery, target: Path) -> None:
    """Write a whole copy while others write; the key is not in it. Raises GalleryError."""
    staging = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        source, copy = sqlite3.connect(gallery.path), sqlite3.connect(staging)
        with copy:
            source.backup(copy)
        copy.close()
        source.close()
        staging.chmod(0o600)  # names are readable in it
        staging.replace(target)
    except (OSError, sqlite3.Error) as error:
        staging.unlink(missing_ok=True)
        raise GalleryError(f"{target}: cannot write the backup: {error}") from error


def restore(source: Path, folder: Path, *, replace: bool = False) -> Gallery:
    """Put a backup in a gallery's place, once it is known to be whole.

    Raises GalleryError for a backup that is damaged, and where a gallery is there already, unless
    `replace`; GalleryKeyError where the backup's key is not at hand.
    """
    target = folder / FILE
    if target.exists() and not replace:
        raise GalleryError(f"{folder}: a gallery is here already; --replace overwrites it")
    staging = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}")
    try:
        staging.mkdir(parents=True)
        shutil.copyfile(source, staging / FILE)
        _check_header(staging / FILE, source)
        copy = Gallery(staging, create=False)
        broken = copy.audit_broken_at()
        copy.close()
        if broken is not None:
            raise GalleryError(f"{source}: the backup's audit is broken at entry {broken}")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for rest in ("-journal", "-wal", "-shm"):  # of the old file: never applied to the new one
            target.with_name(FILE + rest).unlink(missing_ok=True)
        (staging / FILE).replace(target)
    except OSError as error:
        raise GalleryError(f"{source}: cannot restore: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Gallery(folder)


def _check_header(copy: Path, source: Path) -> None:
    """An empty file would open as a new gallery, and replace a full one."""
    with copy.open("rb") as file:
        header = file.read(100)
    if header[68:72] != schema.APPLICATION.to_bytes(4, "big"):  # sqlite.org/fileformat.html, 1.3
        raise GalleryError(f"{source}: no backup of a gallery")


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
