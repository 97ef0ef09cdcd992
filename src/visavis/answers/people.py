"""People of a gallery and what was done to them, as JSON documents and in words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from visavis.enrollment import Enrolled
from visavis.gallery import Person, StoredSample


def sample_json(sample: StoredSample) -> dict[str, Any]:
    """A photo's entry in what `people show` prints: all but its crop and templates."""
    return {
        "id": sample.id,
        "person_id": sample.person_id,
        "source": sample.source,
        "source_sha256": sample.source_sha256,
        "quality": sample.quality,
        "added_at": sample.added_at,
        "models": sorted(sample.templates),
        "crop": sample.crop is not None,
    }


def imported_json(model: str, people: Sequence[Person]) -> dict[str, Any]:
    """The people of vectors that were imported, each once, and the number of vectors."""
    once = {person.id: asdict(person) for person in people}
    return {"model": model, "vectors": len(people), "imported": list(once.values())}


def imported_words(model: str, people: Sequence[Person]) -> list[str]:
    """How many people and vectors were imported."""
    count = len({person.id for person in people})
    return [
        f"{count} {'person' if count == 1 else 'people'} imported with "
        f"{len(people)} {'template' if len(people) == 1 else 'templates'} of {model}"
    ]


def person_json(person: Person, samples: Sequence[StoredSample]) -> dict[str, Any]:
    """The document of `people show`."""
    return {**asdict(person), "samples": [sample_json(sample) for sample in samples]}


def person_words(person: Person, samples: Sequence[StoredSample]) -> list[str]:
    """One person: a line for each thing that is known, and for each photo."""
    lines = [
        f"{person.name} · {person.id}",
        f"  added   {person.added_at}",
        f"  seen    {person.seen_at or 'never'}",
        f"  consent {person.consent or 'none noted'}",
    ]
    for sample in samples:
        crop = ", crop kept" if sample.crop is not None else ""
        lines.append(f"  photo   {sample.source} · {', '.join(sorted(sample.templates))}{crop}")
    return lines


def people_words(people: Sequence[Person]) -> list[str]:
    """Everybody: a line each, and how many they are."""
    lines = []
    for person in people:
        external_id = f" · {person.external_id}" if person.external_id else ""
        lines.append(f"{person.name}{external_id} · {person.samples} photos · {person.id}")
    return [*lines, f"{len(people)} people"]


def enrolled_json(photos: Sequence[Enrolled], people: int) -> dict[str, Any]:
    """The document of `enroll`; `people` are in the gallery now."""
    return {"photos": [asdict(photo) for photo in photos], "people": people}


def enrolled_words(photos: Sequence[Enrolled]) -> list[str]:
    """The photos that were refused, and how many were enrolled."""
    refused = [photo for photo in photos if not photo.accepted]
    lines = [
        f"refused   {photo.name}: {photo.photo}: {photo.reason}: {photo.detail}"
        for photo in refused
    ]
    codes = Counter(photo.reason for photo in refused)
    counts = ", ".join(f"{count} {code}" for code, count in codes.items())
    total = f"{len(photos) - len(refused)} photos enrolled, {len(refused)} refused"
    return [*lines, f"{total} ({counts})" if counts else total]
