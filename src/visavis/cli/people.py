"""visavis people VERB"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import groups, options

people = typer.Typer(help="The people of the gallery.", no_args_is_help=True)

people.command()(groups.cluster)
people.command()(groups.name_group)
people.command()(groups.merge_groups)
people.command()(groups.split_group)

Who = Annotated[str, typer.Argument(help="A name, your own id, or the gallery's id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]


@people.command("list")
def list_people(gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """Everybody, with the number of their photos."""
    found = options.open_gallery(gallery, create=False).people()
    if json:
        options.print_json({"people": [asdict(person) for person in found]})
        return
    for person in found:
        extra = f" · {person.external_id}" if person.external_id else ""
        print(f"{person.name}{extra} · {person.samples} photos · {person.id}")
    print(f"{len(found)} people")


@people.command()
def show(who: Who, gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """One person: photos, quality, consent, last seen."""
    store = options.open_gallery(gallery, create=False)
    person = store.find(who)
    samples = [
        {key: value for key, value in sample.items() if key not in ("crop", "templates")}
        | {"models": sorted(sample["templates"]), "crop": sample["crop"] is not None}
        for sample in store.samples(person.id)
    ]
    if json:
        options.print_json({**asdict(person), "samples": samples})
        return
    print(f"{person.name} · {person.id}\n  added   {person.added_at}")
    print(f"  seen    {person.seen_at or 'never'}\n  consent {person.consent or 'none noted'}")
    for sample in samples:
        crop = ", crop kept" if sample["crop"] else ""
        print(f"  photo   {sample['source']} · {', '.join(sample['models'])}{crop}")


@people.command()
def rename(who: Who, name: str, gallery: options.GalleryFolder = None) -> None:
    """Give a person another name."""
    store = options.open_gallery(gallery, create=False)
    person = store.find(who)
    store.rename(person.id, name)
    print(f"{person.name} is now {name}")


@people.command()
def merge(kept: Who, merged: Who, gallery: options.GalleryFolder = None) -> None:
    """Two entries are one person: KEPT gets the photos of MERGED."""
    store = options.open_gallery(gallery, create=False)
    first, second = store.find(kept), store.find(merged)
    if first.id == second.id:
        raise typer.BadParameter(f"{kept} and {merged} are one entry already")
    store.merge(first.id, second.id)
    print(f"{second.name} is merged into {first.name}")


@people.command()
def delete(who: Who, yes: Yes = False, gallery: options.GalleryFolder = None) -> None:
    """Erase a person: name, photos' crops, templates. Backups are yours to delete."""
    store = options.open_gallery(gallery, create=False)
    person = store.find(who)
    if not yes:
        typer.confirm(f"Erase {person.name} and {person.samples} photos for good?", abort=True)
    store.delete(person.id)
    print(
        f"erased {person.name}: no name, crop or template of theirs is left in {store.path.parent}"
    )


@people.command()
def export(
    who: Who,
    out: Annotated[Path, typer.Option(help="A folder that is made.")],
    gallery: options.GalleryFolder = None,
) -> None:
    """All that is held on one person, as files."""
    from visavis.gallery.transfer import export_person

    store = options.open_gallery(gallery, create=False)
    print(export_person(store, store.find(who), out))


@people.command("export-tensors")
def tensors(
    out: Annotated[Path, typer.Option(help="The folder for <name>.npy files.")],
    model: Annotated[str, typer.Option(help="Which model's templates: name@hash.")],
    gallery: options.GalleryFolder = None,
) -> None:
    """One vector for each person, as <name>.npy."""
    from visavis.gallery.transfer import export_tensors

    count = export_tensors(options.open_gallery(gallery, create=False), out, model)
    print(f"{count} vectors of {model}: {out}")


@people.command("import")
def import_people(
    folder: Annotated[Path, typer.Argument(help="A folder of <name>.npy vectors.")],
    model: Annotated[str, typer.Option(help="The model that made them: any name, as name@hash.")],
    gallery: options.GalleryFolder = None,
) -> None:
    """Vectors of another system, as templates of the model that made them.

    A folder with photos (database_image) is enrolled with visavis enroll --folder.
    """
    from visavis.gallery.transfer import import_tensors

    found = import_tensors(options.open_gallery(gallery), folder, model)
    print(f"{len(found)} people imported with templates of {model}")


@people.command()
def prune(
    older_than: Annotated[float, typer.Option(help="Days since added or last recognised.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say who, erase nobody.")] = False,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Erase people who were not seen for long."""
    from visavis.gallery.transfer import stale

    store = options.open_gallery(gallery, create=False)
    found = stale(store, older_than)
    for person in found:
        if not dry_run:
            store.delete(person.id)
        if not json:
            print(f"{'would erase' if dry_run else 'erased'} {person.name} ({person.id})")
    if json:
        options.print_json({"erased": not dry_run, "people": [asdict(person) for person in found]})


@people.command("re-embed")
def re_embed(
    gallery: options.GalleryFolder = None,
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
) -> None:
    """Make templates of the pack's model from the crops that were kept."""
    from visavis.embed import load_embedder
    from visavis.enrollment import re_embed as re_embed_all
    from visavis.pack import load_pack

    store = options.open_gallery(gallery, create=False)
    made, without = re_embed_all(store, load_embedder(load_pack(pack), device=device))
    print(f"{made} templates made; {without} photos have no crop and must be enrolled again")


@people.command()
def backup(target: Path, gallery: options.GalleryFolder = None) -> None:
    """Write a copy, while others may go on. The key is not in it: keep that apart, and keep it."""
    from visavis.gallery.transfer import backup as write_backup

    store = options.open_gallery(gallery, create=False)
    write_backup(store, target)
    print(
        f"{target}: {len(store.people())} people. The key is not in it; keep a copy of that apart"
    )


@people.command()
def restore(
    source: Path,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the gallery here.")] = False,
    gallery: options.GalleryFolder = None,
) -> None:
    """Put a backup in the gallery's place, once it is known to be whole."""
    from visavis.gallery import default_gallery
    from visavis.gallery.transfer import restore as restore_backup

    store = restore_backup(source, gallery or default_gallery(), replace=replace)
    print(f"restored {len(store.people())} people to {store.path.parent}")


@people.command("note-consent")
def note_consent(
    who: Who,
    text: Annotated[str, typer.Argument(help="What they agreed to, and when.")],
    gallery: options.GalleryFolder = None,
) -> None:
    """Note what a person agreed to."""
    store = options.open_gallery(gallery, create=False)
    person = store.find(who)
    store.note_consent(person.id, text)
    print(f"noted for {person.name}: {text}")


@people.command()
def consent(
    required: Annotated[bool, typer.Option("--required/--not-required")],
    gallery: options.GalleryFolder = None,
) -> None:
    """Whether nobody is added without a consent note."""
    store = options.open_gallery(gallery)
    store.requires_consent = required
    print(f"a consent note is {'demanded' if required else 'not demanded'}")
