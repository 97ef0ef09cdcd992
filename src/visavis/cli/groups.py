"""visavis people cluster, and what is done with the groups it finds"""

from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import options
from visavis.cli.enroll import Anyway, Consent, ExternalId, KeepCrops, report

Folder = Annotated[Path, typer.Argument(help="The groups folder that people cluster wrote.")]


def cluster(
    sources: options.Photos,
    out: Annotated[Path, typer.Option(help="The groups folder to write.")],
    policy: Annotated[
        str, typer.Option(help="How alike the faces of a group are: as for verify.")
    ] = "standard",
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
    json: options.Json = False,
) -> None:
    """Group the faces of photos by likeness, with a page to look at."""
    import numpy as np

    from visavis.cluster import Member, group, make_folder, save_groups, write_crops
    from visavis.dataset import find_photos
    from visavis.recognizer import Recognizer
    from visavis.runtime import Device

    recognizer = Recognizer.load(pack, Device(device).for_many())
    threshold = recognizer.calibration.policy(policy).match.threshold
    paths = find_photos(sources)
    make_folder(out)
    failures = options.Failures()
    members: list[Member] = []
    rows = [np.empty((0, recognizer.embed.dim), np.float32)]

    def work(path: Path) -> "tuple[np.ndarray, np.ndarray]":
        photo = recognizer.faces(path)
        crops = photo.crops(range(len(photo.faces)))
        return crops, recognizer.embed(crops)

    for path, (crops, embeddings) in options.each(work, paths, failures, label="grouping"):
        members += write_crops(out, path, crops, before=len(members))
        rows.append(embeddings)
    groups = save_groups(out, group(members, np.concatenate(rows), threshold))
    sizes = [len(faces) for faces in groups.groups]
    if json:
        options.print_json({"out": str(out), "groups": sizes, "errors": failures.items})
    else:
        print(f"{sum(sizes)} faces in {len(sizes)} groups: {out / 'index.html'}")
    failures.exit(len(paths))


def name_group(
    folder: Folder,
    number: int,
    name: str,
    external_id: ExternalId = "",
    consent: Consent = "",
    keep_crops: KeepCrops = False,
    anyway: Anyway = False,
    gallery: options.GalleryFolder = None,
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
    json: options.Json = False,
) -> None:
    """Enrol a group's faces under a name."""
    from visavis.cluster import candidates, read_groups
    from visavis.enrollment import enroll
    from visavis.recognizer import Recognizer
    from visavis.runtime import Device

    groups = read_groups(folder)
    wanted = candidates(
        groups, number, name, external_id=external_id or None, consent=consent or None
    )
    people = options.open_gallery(gallery)
    recognizer = Recognizer.load(pack, Device(device).for_many())
    results = enroll(
        recognizer,
        people,
        wanted,
        keep_crops=keep_crops,
        anyway=anyway,
        workers=options.workers(),
    )
    report(results, len(wanted), people, json)


def merge_groups(folder: Folder, first: int, second: int) -> None:
    """Two groups are one person."""
    from visavis.cluster import merged, read_groups, save_groups

    groups = save_groups(folder, merged(read_groups(folder), first, second))
    print(f"{len(groups.groups)} groups: {folder / 'index.html'}")


def split_group(folder: Folder, number: int, faces: list[int]) -> None:
    """Some faces of a group, numbered as on the page, become a group of their own: the last."""
    from visavis.cluster import read_groups, save_groups, split

    groups = save_groups(folder, split(read_groups(folder), number, faces))
    print(f"{len(groups.groups)} groups: {folder / 'index.html'}")
