"""visavis enroll NAME IMAGE... | --folder PEOPLE | --roster FILE.csv"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from visavis.cli import options

if TYPE_CHECKING:
    from visavis.enrollment import Candidate, Enrolled
    from visavis.gallery import Gallery

ExternalId = Annotated[str, typer.Option("--id", help="Your own id of the person.")]
Consent = Annotated[str, typer.Option(help="What the people agreed to, when.")]
KeepCrops = Annotated[bool, typer.Option("--keep-crops", help="Keep the aligned crops, encrypted.")]
Anyway = Annotated[bool, typer.Option("--anyway", help="Take photos of poor quality too.")]


def enroll(
    name: Annotated[str, typer.Argument(help="Whom the photos show.")] = "",
    images: Annotated[list[str] | None, typer.Argument(help="Photos, folders, patterns.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="A folder for each person, or a photo named for each.")
    ] = None,
    roster: Annotated[
        Path | None, typer.Option(help="A CSV: name, photo, and external_id, consent.")
    ] = None,
    external_id: ExternalId = "",
    consent: Consent = "",
    keep_crops: KeepCrops = False,
    anyway: Anyway = False,
    gallery: options.GalleryFolder = None,
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """Add people to the gallery: each photo is accepted, or refused with its reason."""
    from visavis.enrollment import enroll as enroll_all
    from visavis.recognizer import Recognizer

    candidates = _candidates(name, images or [], folder, roster, external_id, consent)
    where = options.device_of(device, precision, runtime).for_many()
    people = options.open_gallery(gallery)
    results = enroll_all(
        Recognizer.load(pack, where),
        people,
        candidates,
        keep_crops=keep_crops,
        anyway=anyway,
        workers=options.workers(),
    )
    report(results, len(candidates), people, json)


def report(results: "Iterable[Enrolled]", total: int, people: "Gallery", json: bool) -> None:
    """Enrol, with a bar; print what became of each photo; exit 2 or 3 where any was refused."""
    done = list(options.progress(results, total=total, label="enrolling"))
    refused = [one for one in done if not one.accepted]
    if json:
        options.print_json(
            {"photos": [asdict(one) for one in done], "people": len(people.people())}
        )
    else:
        for one in refused:
            print(f"refused   {one.name}: {one.photo}: {one.reason}: {one.detail}")
        counts = ", ".join(f"{n} {code}" for code, n in Counter(r.reason for r in refused).items())
        print(f"{len(done) - len(refused)} photos enrolled, {len(refused)} refused", end="")
        print(f" ({counts})" if counts else "")
    if any(one.reason != "here_already" for one in refused):
        raise typer.Exit(2 if len(done) == 1 else 3)


def _candidates(
    name: str,
    images: list[str],
    folder: Path | None,
    roster: Path | None,
    external_id: str,
    consent: str,
) -> "list[Candidate]":
    from visavis.dataset import find_photos
    from visavis.enrollment import Candidate, from_folder, from_roster

    if sum(map(bool, (name, folder, roster))) != 1 or bool(name) != bool(images):
        raise typer.BadParameter("say NAME and photos, or --folder, or --roster")
    if external_id and not name:
        raise typer.BadParameter("--id is one person's; a roster has a column external_id")
    if folder or roster:
        found = from_folder(folder) if folder else from_roster(cast(Path, roster))
        return [replace(one, consent=one.consent or consent or None) for one in found]
    paths = find_photos(images)
    return [Candidate(name, path, external_id or None, consent or None) for path in paths]
