"""People of a gallery and what was done to them, as JSON documents and in words."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from visavis.answers.counts import counted, people_counted
from visavis.capacity import Capacity
from visavis.enrollment import Candidate, Enrolled, Reembedded
from visavis.gallery import Gallery, Person, StoredSample
from visavis.gallery.copying import GalleryCopy
from visavis.gallery.models import Apart
from visavis.gallery.negatives import Negative
from visavis.gallery.runs import EnrolmentRun
from visavis.rejection import Rejection

MOST_NAMED = 5  # people in a line


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
    count = people_counted(len({person.id for person in people}))
    return [f"{count} imported with {counted(len(people), 'template')} of {model}"]


def person_json(person: Person, samples: Sequence[StoredSample]) -> dict[str, Any]:
    """The document of `people show`."""
    return {**asdict(person), "samples": [sample_json(sample) for sample in samples]}


def copied_json(copied: GalleryCopy, place: str) -> dict[str, Any]:
    """What was copied, and to where."""
    rows = [{"table": table, "rows": count} for table, count in copied.rows.items()]
    return {"gallery": place, **asdict(copied), "rows": rows}


def copied_words(copied: GalleryCopy, place: str) -> list[str]:
    """What was copied, and what is to be done now."""
    count = people_counted(copied.people)
    return [
        f"{place}: {count}, {counted(copied.templates, 'template')}; all rows compared, all opened",
        f"the audit's head: {copied.head}",
        "the key is the same, and was not copied; let nobody write to the old gallery any more",
    ]


def person_words(person: Person, samples: Sequence[StoredSample]) -> list[str]:
    """One person: a line for each thing that is known, and for each photo."""
    lines = [
        f"{person.name} · {person.id}",
        f"  added   {person.added_at}",
        f"  seen    {person.seen_at or 'never'}",
        f"  consent {person.consent or 'none noted'}",
        f"  groups  {', '.join(person.groups) or 'none'}",
    ]
    for sample in samples:
        crop = ", crop kept" if sample.crop is not None else ""
        models = ", ".join(sorted(sample.templates))
        lines.append(f"  photo   {sample.source} · {sample.id} · {models}{crop}")
    return lines


def people_words(people: Sequence[Person]) -> list[str]:
    """Everybody: a line each, and how many they are."""
    lines = []
    for person in people:
        external_id = f" · {person.external_id}" if person.external_id else ""
        groups = f" · {', '.join(person.groups)}" if person.groups else ""
        photos = counted(person.samples, "photo")
        lines.append(f"{person.name}{external_id} · {photos}{groups} · {person.id}")
    return [*lines, people_counted(len(people))]


def groups_json(sizes: Mapping[str, int]) -> dict[str, Any]:
    """The document of `people group list`."""
    return {"groups": [{"name": name, "people": people} for name, people in sizes.items()]}


def groups_words(sizes: Mapping[str, int]) -> list[str]:
    """A line for each group."""
    if not sizes:
        return ["no groups: visavis people group add makes one"]
    return [f"{name}  {people_counted(people)}" for name, people in sizes.items()]


def rejection_json(rejection: Rejection, negative: Negative | None) -> dict[str, Any]:
    """The document of `people reject`; without a negative nothing was kept."""
    person = rejection.person
    return {
        "person": {"id": person.id, "name": person.name},
        "similarity": rejection.similarity,
        "threshold": rejection.threshold,
        "photos": [asdict(photo) for photo in rejection.photos],
        "lost": rejection.lost,
        "negative": negative and asdict(negative),
    }


def rejection_words(rejection: Rejection, *, kept: bool) -> list[str]:
    """What keeping a face as not somebody's changes, or has changed."""
    name, threshold = rejection.person.name, rejection.threshold
    needed = "" if threshold is None else f"; a match from {threshold:.2f} on"
    lines = [f"the face is as like {name} as {rejection.similarity:.2f}{needed}"]
    lines += [
        f"{photo.source}: accepted now, and not any more: {photo.similarity:.2f} to {name}'s other "
        f"photos, {photo.negative_similarity:.2f} to this face"
        for photo in rejection.photos
        if photo.lost and photo.similarity is not None
    ]
    count = counted(len(rejection.photos), "photo")
    lines += [f"{rejection.lost} of {name}'s {count} would be recognised no more"]
    return [*lines, f"kept: this face is not {name}"] if kept else lines


def capacity_json(size: Capacity) -> dict[str, Any]:
    """The document of `people info`."""
    models = [{**asdict(one), "serves": one.serves} for one in size.models]
    return {**asdict(size), "models": models}


def capacity_words(size: Capacity) -> list[str]:
    """What a gallery holds of each model, and for how many templates it can say match."""
    lines = [people_counted(size.people)]
    for one in size.models:
        lines.append(
            f"{one.model}: {one.templates:,} templates of {one.numbers} numbers, "
            f"{one.memory / 1e6:,.1f} MB of memory when searched"
        )
        if not one.serves:
            lines.append(
                f"  too many for {one.numbers} numbers, whatever the model: in "
                f"{100 * size.rate:g} % of searches strangers reach {one.by_chance:.2f} by chance"
            )
    enough = f"a search can say match among up to {size.most:,} templates"
    none = "no rate is known, so nothing is a match: make one with visavis calibrate"
    words = f"{enough}, at a false positive rate of {size.rate:g}" if size.most else none
    return [*lines, f"by the calibration of {size.calibrated} {words}"]


def planned_json(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """The document of a dry run: who would be enrolled, with which photos."""
    people = [{"name": name, "photos": photos} for name, photos in _by_name(candidates).items()]
    return {"enrolled": False, "people": people}


def planned_words(candidates: Sequence[Candidate]) -> list[str]:
    """Who would be enrolled: a line each, and how many they are."""
    people = _by_name(candidates)
    lines = [f"{name} · {counted(len(photos), 'photo')}" for name, photos in people.items()]
    photos = counted(len(candidates), "photo")
    return [*lines, f"{people_counted(len(people))}, {photos}; nothing was enrolled"]


def _by_name(candidates: Sequence[Candidate]) -> dict[str, list[str]]:
    people: dict[str, list[str]] = {}
    for one in candidates:
        people.setdefault(one.name, []).append(one.place)
    return people


def run_words(gallery: Gallery, run: EnrolmentRun) -> str:
    """An enrolment: how many photos of whom, and when."""
    people = gallery.people_of(run.photos.values()).values()
    names = sorted(person.name for person in people)
    more = f" and {len(names) - MOST_NAMED} others" if len(names) > MOST_NAMED else ""
    photos = counted(len(run.photos), "photo")
    return f"{photos} of {', '.join(names[:MOST_NAMED])}{more}, of {run.at}"


def apart_words(apart: Apart, model: str) -> list[str]:
    """That some photos are compared with nobody, and what mends it; no line where all are."""
    if not apart.photos:
        return []
    return [
        f"{counted(apart.photos, 'photo')} of {people_counted(apart.people)} have no template of "
        f"{model}, only of {', '.join(apart.models)}: they are not compared. The model is another, "
        "or faces are cut in another way now; visavis people re-embed makes their templates"
    ]


def reembedded_words(done: Reembedded) -> list[str]:
    """How many templates were made, and for how many photos none can be."""
    before = f" ({done.cut_before} of crops that were cut in an earlier way)"
    made = f"{counted(done.made, 'template')} made{before if done.cut_before else ''}"
    without = f"; {counted(done.without_crop, 'photo')} without a crop must be enrolled again"
    return [made + (without if done.without_crop else "")]


def enrolled_json(photos: Sequence[Enrolled], people: int) -> dict[str, Any]:
    """The document of `enroll`; `people` are in the gallery now."""
    return {"photos": [asdict(photo) for photo in photos], "people": people}


def enrolled_words(photos: Sequence[Enrolled]) -> list[str]:
    """The photos that were refused, those to know something of, and how many were enrolled."""
    refused = [photo for photo in photos if not photo.accepted]
    lines = [
        f"enrolled  {photo.name}: {photo.photo}: {photo.detail}"
        if photo.accepted
        else f"refused   {photo.name}: {photo.photo}: {photo.reason}: {photo.detail}"
        for photo in photos
        if photo.detail
    ]
    codes = Counter(photo.reason for photo in refused)
    counts = ", ".join(f"{count} {code}" for code, count in codes.items())
    total = f"{counted(len(photos) - len(refused), 'photo')} enrolled, {len(refused)} refused"
    return [*lines, f"{total} ({counts})" if counts else total]
