"""visavis enroll NAME IMAGE... | --folder PEOPLE | --roster FILE.csv"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.enrollment import Candidate, Enrolled
    from visavis.gallery import Gallery
    from visavis.recognizer import Recognizer


class FolderLayout(StrEnum):
    """What names the people of a folder: visavis.layouts."""

    folders = "folders"
    parents = "parents"
    files = "files"
    numbered = "numbered"


ExternalId = Annotated[str, typer.Option("--id", help="Your own id of the person.")]


@dataclass(frozen=True, slots=True)
class Photographed:
    """Whom photos show, and where they are."""

    name: Annotated[str, typer.Argument(help="Whom the photos show.")] = ""
    images: Annotated[list[str] | None, typer.Argument(help="Photos, folders, patterns.")] = None
    folder: Annotated[
        Path | None, typer.Option(help="A folder for each person, or a photo named for each.")
    ] = None
    roster: Annotated[
        Path | None, typer.Option(help="A CSV: name, photo, and external_id, consent.")
    ] = None
    external_id: ExternalId = ""
    face: Annotated[
        int | None,
        typer.Option(min=1, help="Which face of the one photo is meant: from 1, largest first."),
    ] = None
    layout: Annotated[
        FolderLayout | None,
        typer.Option(help="What names the people of --folder; default: folders, if that is plain."),
    ] = None

    def candidates(self, consent: str) -> "list[Candidate]":
        """The photos to enrol; `consent` where a roster has none of its own."""
        from visavis.enrollment import from_folder, from_roster

        sources = sum(map(bool, (self.name, self.folder, self.roster)))
        if sources != 1 or bool(self.name) != bool(self.images):
            raise typer.BadParameter("say NAME and photos, or --folder, or --roster")
        if self.external_id and not self.name:
            raise typer.BadParameter("--id is one person's; a roster has a column external_id")
        if self.layout and self.folder is None:
            raise typer.BadParameter("--layout is of --folder")
        if self.folder is not None:
            listed = from_folder(self.folder, self.layout and self.layout.value)
        elif self.roster is not None:
            listed = from_roster(self.roster)
        else:
            listed = self._named()
        if self.face and (len(listed) > 1 or not self.name):
            raise typer.BadParameter("--face is of one photo: expected NAME and that photo")
        return [replace(one, consent=one.consent or consent or None) for one in listed]

    def _named(self) -> "list[Candidate]":
        from visavis.dataset import find_photos
        from visavis.enrollment import Candidate

        paths = find_photos(self.images or [])
        return [
            Candidate(self.name, path, self.external_id or None, face=self.face) for path in paths
        ]


@dataclass(frozen=True, slots=True)
class Enrolling:
    """How photos are enrolled: what every verb that enrols shares."""

    consent: Annotated[str, typer.Option(help="What the people agreed to, when.")] = ""
    keep_crops: Annotated[
        bool, typer.Option("--keep-crops", help="Keep the aligned crops, encrypted.")
    ] = False
    anyway: Annotated[
        bool,
        typer.Option("--anyway", help="Take photos of poor quality or doubtful likeness too."),
    ] = False

    def run(
        self, recognizer: "Recognizer", people: "Gallery", candidates: "Iterable[Candidate]"
    ) -> "Iterator[Enrolled]":
        """Enrol photos, several at once."""
        from visavis.enrollment import enroll as enroll_all

        return enroll_all(
            recognizer,
            people,
            candidates,
            keep_crops=self.keep_crops,
            anyway=self.anyway,
            workers=printing.workers(),
        )


@spread
def enroll(
    photographed: Photographed,
    enrolling: Enrolling,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say who would be enrolled; read no photo.")
    ] = False,
    gallery: options.GalleryFolder = None,
    *,
    models: options.Recognition,
    json: options.Json = False,
) -> None:
    """Add people to the gallery: each photo is accepted, or refused with its reason."""

    candidates = photographed.candidates(enrolling.consent)
    if dry_run:
        return show_planned(candidates, json=json)
    people = options.gallery_at(gallery)
    recognizer = models.for_many(people)
    results = enrolling.run(recognizer, people, candidates)
    show_enrolled(results, len(candidates), people, json=json)


def show_planned(candidates: "list[Candidate]", *, json: bool) -> None:
    """Print who would be enrolled, with how many photos."""
    from visavis.answers.people import planned_json, planned_words

    printing.print_answer(planned_json(candidates), planned_words(candidates), json=json)


def show_enrolled(
    results: "Iterable[Enrolled]", total: int, people: "Gallery", *, json: bool
) -> None:
    """Enrol, with a bar; print what became of each photo; exit 2 or 3 where any was refused."""
    from visavis.answers.people import enrolled_json, enrolled_words

    photos = list(printing.progress(results, total=total, label="enrolling"))
    document = enrolled_json(photos, len(people.people()))
    printing.print_answer(document, enrolled_words(photos), json=json)
    if any(not photo.accepted and photo.reason != "here_already" for photo in photos):
        raise typer.Exit(2 if len(photos) == 1 else 3)
