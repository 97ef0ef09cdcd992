"""visavis people cluster, and what is done with the groups it finds"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing
from visavis.cli.enroll import Enrolling, ExternalId, show_enrolled
from visavis.cli.spread import spread

if TYPE_CHECKING:
    from visavis.clustering import Clustering, FaceGroups

Folder = Annotated[Path, typer.Argument(help="The groups folder that people cluster wrote.")]

GroupNumber = Annotated[int, typer.Argument(min=1, help="A group's number on the page.")]
GroupFaces = Annotated[list[int], typer.Argument(min=1, help="Faces' numbers on the page.")]


@spread
def cluster(
    sources: options.Photos,
    out: Annotated[Path, typer.Option(help="The groups folder to write.")],
    policy: Annotated[
        str,
        typer.Option(
            callback=options.known_policy,
            help="How alike the faces of a group are: as for verify.",
        ),
    ] = "standard",
    *,
    models: options.Recognition,
    json: options.Json = False,
) -> None:
    """Group the faces of photos by likeness, with a page to look at."""
    from visavis.clustering import cluster_photos
    from visavis.dataset import find_photos

    paths = find_photos(sources)
    recognizer = models.for_many()
    clustering = cluster_photos(
        recognizer,
        paths,
        out,
        policy=policy,
        workers=printing.workers(),
        progress=printing.progress_bar("grouping"),
    )
    _present_all(clustering, out, len(paths), json=json)


def _present_all(clustering: "Clustering", out: Path, total: int, *, json: bool) -> None:
    from visavis.answers.counts import counted

    failures = printing.Failures()
    for path, error in clustering.failures:
        failures.add(path, error)
    sizes = _sizes(clustering.groups)
    document = {"out": str(out), "groups": sizes, "errors": failures.items}
    faces, groups = counted(sum(sizes), "face"), counted(len(sizes), "group")
    words = f"{faces} in {groups}: {out / 'index.html'}"
    printing.print_answer(document, [words], json=json)
    failures.exit(total)


@spread
def name_group(
    folder: Folder,
    number: GroupNumber,
    name: str,
    enrolling: Enrolling,
    external_id: ExternalId = "",
    gallery: options.GalleryFolder = None,
    *,
    models: options.Recognition,
    json: options.Json = False,
) -> None:
    """Enrol a group's faces under a name."""
    from visavis.clustering import candidates, read_face_groups

    consent = enrolling.consent or None
    groups = read_face_groups(folder)
    faces = candidates(groups, number, name, external_id=external_id or None, consent=consent)
    people = options.gallery_at(gallery)
    recognizer = models.for_many(people)
    show_enrolled(enrolling.run(recognizer, people, faces), len(faces), people, json=json)


def merge_groups(
    folder: Folder, first: GroupNumber, second: GroupNumber, json: options.Json = False
) -> None:
    """Two groups are one person."""
    from visavis.clustering import merged, read_face_groups, save_face_groups

    groups = save_face_groups(folder, merged(read_face_groups(folder), first, second))
    _present(folder, groups, json=json)


def split_group(
    folder: Folder, number: GroupNumber, faces: GroupFaces, json: options.Json = False
) -> None:
    """Some faces of a group, numbered as on the page, become a group of their own: the last."""
    from visavis.clustering import read_face_groups, save_face_groups, split

    groups = save_face_groups(folder, split(read_face_groups(folder), number, faces))
    _present(folder, groups, json=json)


def _present(folder: Path, groups: "FaceGroups", *, json: bool) -> None:
    from visavis.answers.counts import counted

    sizes = _sizes(groups)
    words = f"{counted(len(sizes), 'group')}: {folder / 'index.html'}"
    printing.print_answer({"out": str(folder), "groups": sizes}, [words], json=json)


def _sizes(groups: "FaceGroups") -> list[int]:
    return [len(faces) for faces in groups.groups]
