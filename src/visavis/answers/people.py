"""People of a gallery and what was done to them, as JSON documents and in words."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from visavis.enrollment import Enrolled, Reembedded
from visavis.gallery import Apart, Person, StoredSample


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


def apart_words(apart: Apart, model: str) -> list[str]:
    """That some photos are compared with nobody, and what mends it; no line where all are."""
    if not apart.photos:
        return []
    return [
        f"{apart.photos} photos of {apart.people} people have no template of {model}, only of "
        f"{', '.join(apart.models)}: they are not compared. The model is another, or faces are cut "
        "in another way now; visavis people re-embed makes their templates"
    ]


def reembedded_words(done: Reembedded) -> list[str]:
    """How many templates were made, and for how many photos none can be."""
    before = f" ({done.cut_before} of crops that were cut in an earlier way)"
    made = f"{done.made} templates made{before if done.cut_before else ''}"
    return [f"{made}; {done.without_crop} photos have no crop and must be enrolled again"]


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
