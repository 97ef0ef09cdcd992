"""visavis people VERB"""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from visavis.cli import groups, merging, negatives, options, printing, safety
from visavis.cli.audit import audit
from visavis.cli.group import group
from visavis.cli.spread import spread

people = typer.Typer(help="The people of the gallery.", no_args_is_help=True)

people.command()(groups.cluster)
people.command()(groups.name_group)
people.command()(groups.merge_groups)
people.command()(groups.split_group)
people.command()(safety.check)
people.command()(safety.info)
people.command("rotate-key")(safety.rotate_key)
people.command()(negatives.reject)
people.command()(merging.unmerge)
people.command("negatives")(negatives.negatives)
people.command("remove-negative")(negatives.remove_negative)
people.add_typer(audit, name="audit")
people.add_typer(group, name="group")

Who = Annotated[str, typer.Argument(help="A name, your own id, or the gallery's id.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
_confirm = printing.confirm


@people.command("list")
def list_people(gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """Everybody, with the number of their photos."""
    from visavis.answers.people import people_words

    everybody = options.gallery_at(gallery, create=False).people()
    document = {"people": [asdict(person) for person in everybody]}
    printing.print_answer(document, people_words(everybody), json=json)


@people.command()
def show(who: Who, gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """One person: photos, quality, consent, last seen."""
    from visavis.answers.people import person_json, person_words

    store = options.gallery_at(gallery, create=False)
    person = store.find(who)
    samples = store.samples(person.id)
    printing.print_answer(person_json(person, samples), person_words(person, samples), json=json)


@people.command()
def rename(
    who: Who,
    name: str,
    yes: Yes = False,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Give a person another name. Where somebody else has it, you are asked."""
    store = options.gallery_at(gallery, create=False)
    person = store.find(who)
    if not yes and any(one.name == name and one.id != person.id for one in store.people()):
        _confirm(
            f"Somebody else is called {printing.harmless(name)} (to make two entries one: "
            "visavis people merge). Give two people this name?",
            json=json,
        )
    store.rename(person.id, name)
    document = {"renamed": asdict(store.find(person.id)), "from": person.name}
    printing.print_answer(document, [f"{person.name} is now {name}"], json=json)


@people.command()
def merge(
    kept: Who,
    merged: Who,
    yes: Yes = False,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Two entries are one person: KEPT gets the photos of MERGED. You are asked first."""
    from visavis.gallery.merging import merge_people

    store = options.gallery_at(gallery, create=False)
    first, second = store.find(kept), store.find(merged)
    if first.id == second.id:
        raise typer.BadParameter(f"{kept} and {merged} are one entry already")
    if not yes:
        names = [f"{printing.harmless(one.name)} ({one.samples})" for one in (second, first)]
        what = f"Move the photos of {' to '.join(names)}?"
        _confirm(f"{what} visavis people unmerge takes it back.", json=json)
    merge_people(store, first.id, second.id)
    document = {"merged": asdict(second), "into": asdict(store.find(first.id))}
    printing.print_answer(document, [f"{second.name} is merged into {first.name}"], json=json)


@people.command()
def delete(
    who: Annotated[list[str], typer.Argument(help="Names, your own ids, or the gallery's ids.")],
    yes: Yes = False,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Erase people: names, photos' crops, templates. Backups are yours to delete."""
    from visavis.answers.counts import counted, people_counted

    store = options.gallery_at(gallery, create=False)
    erased = list({person.id: person for person in map(store.find, who)}.values())
    names = erased[0].name if len(erased) == 1 else people_counted(len(erased))
    if not yes:
        photos = counted(sum(person.samples for person in erased), "photo")
        _confirm(f"Erase {printing.harmless(names)} and {photos} for good?", json=json)
    store.delete(*(person.id for person in erased))
    words = f"erased {names}: no name, crop or template of theirs is left in {store.where}"
    document = {"erased": [asdict(person) for person in erased]}
    printing.print_answer(document, [words], json=json)


@people.command("remove-photo")
def remove_photo(
    who: Who,
    photo: Annotated[str, typer.Argument(help="Its file name, or its id as people show has it.")],
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Erase one photo of a person: its crop and templates. The person stays."""
    from visavis.gallery.runs import photo_called

    store = options.gallery_at(gallery, create=False)
    person = store.find(who)
    sample = photo_called(store, person, photo)
    store.remove_photos([sample.id])
    left = store.find(person.id)
    words = f"erased the photo {sample.source} of {person.name}"
    if not left.samples:
        words += ": no photo of theirs is left, and nobody is recognised as them"
    printing.print_answer({"removed": sample.source, "from": asdict(left)}, [words], json=json)


@people.command()
def undo(
    yes: Yes = False, gallery: options.GalleryFolder = None, json: options.Json = False
) -> None:
    """Erase what the last enrolment added: its photos, and people who have no other."""
    from visavis.answers.people import run_words
    from visavis.gallery.runs import last_run, undo_run

    store = options.gallery_at(gallery, create=False)
    run = last_run(store)
    if not yes:
        _confirm(f"Erase {printing.harmless(run_words(store, run))}?", json=json)
    words = run_words(store, run)
    erased = undo_run(store, run)
    document = {"photos": len(run.photos), "people": erased, "at": run.at}
    printing.print_answer(document, [f"erased {words}"], json=json)


@people.command()
def export(
    who: Who,
    out: Annotated[Path, typer.Option(help="A folder that is made.")],
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """All that is held on one person, as files."""
    from visavis.gallery.transfer import export_person

    store = options.gallery_at(gallery, create=False)
    person = store.find(who)
    folder = export_person(store, person, out)
    printing.print_answer(
        {"out": str(folder), "exported": asdict(person)}, [str(folder)], json=json
    )


@people.command("export-tensors")
def tensors(
    out: Annotated[Path, typer.Option(help="The folder for <name>.npy files.")],
    model: Annotated[str, typer.Option(help="Which model's templates: name@hash.")],
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """One vector for each person, as <name>.npy."""
    from visavis.answers.counts import counted
    from visavis.gallery.transfer import export_tensors

    count = export_tensors(options.gallery_at(gallery, create=False), out, model)
    document = {"out": str(out), "model": model, "vectors": count}
    printing.print_answer(document, [f"{counted(count, 'vector')} of {model}: {out}"], json=json)


@people.command("import")
def import_people(
    source: Annotated[
        Path,
        typer.Argument(help="A folder of <name>.npy vectors, a .pkl, .npz, .npy or .json file."),
    ],
    model: Annotated[str, typer.Option(help="The model that made them: any name, as name@hash.")],
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Vectors of another system, as templates of the model that made them: DeepFace's .pkl,
    face_recognition's encodings, CompreFace's JSON, arrays with names.

    A folder with photos (database_image) is enrolled with visavis enroll --folder.
    """
    from visavis.answers.people import imported_json, imported_words
    from visavis.gallery.transfer import read_samples

    samples = read_samples(source, model)  # before a gallery is made of nothing
    people = options.gallery_at(gallery).add_all(samples)
    printing.print_answer(imported_json(model, people), imported_words(model, people), json=json)


@people.command()
def prune(
    older_than: Annotated[float, typer.Option(help="Days since added or last recognised.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say who, erase nobody.")] = False,
    yes: Yes = False,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Erase people who were not seen for long. Of more than one, you are asked."""
    from visavis.gallery.transfer import prune as erase_stale
    from visavis.gallery.transfer import stale

    store = options.gallery_at(gallery, create=False)
    pruned = stale(store, older_than)
    if not dry_run:
        if len(pruned) > 1 and not yes:
            _confirm(f"Erase {len(pruned)} people for good?", json=json)
        pruned = erase_stale(store, older_than, pruned)
    done = "would erase" if dry_run else "erased"
    document = {"erased": not dry_run, "people": [asdict(person) for person in pruned]}
    printing.print_answer(document, [f"{done} {one.name} ({one.id})" for one in pruned], json=json)


@people.command("re-embed")
@spread
def re_embed(
    gallery: options.GalleryFolder = None,
    pack: options.GalleryPackName = "",
    *,
    where: options.Where,
    json: options.Json = False,
) -> None:
    """Make templates of the pack's model, as faces are cut today, from the crops that were kept."""
    from visavis.answers.people import reembedded_words
    from visavis.enrollment import embed_kept_crops

    store = options.gallery_at(gallery, create=False)
    embed = options.gallery_embedder(pack, store, where.for_one())
    made = embed_kept_crops(store, embed, progress=printing.progress_bar("embedding"))
    document = {"model": embed.model, **asdict(made)}
    printing.print_answer(document, reembedded_words(made), json=json)


@people.command()
def backup(
    target: Path,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the file there.")] = False,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Write a copy, while others may go on. The key is not in it: keep that apart, and keep it."""
    from visavis.answers.counts import people_counted
    from visavis.gallery.backups import backup as write_backup

    store = options.gallery_at(gallery, create=False)
    write_backup(store, target, replace=replace)
    count, head = len(store.people()), str(store.audit_head())
    words = f"{target}: {people_counted(count)}. The key is not in it; keep a copy of that apart"
    document = {"out": str(target), "people": count, "head": head}
    printing.print_answer(document, [words, f"the audit's head: {head}"], json=json)


@people.command()
def restore(
    source: Path,
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite the gallery here.")] = False,
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Put a backup in the gallery's place, once it is known to be whole."""
    from visavis.gallery import default_gallery
    from visavis.gallery.backups import restore as restore_backup
    from visavis.gallery.places import place_shown

    place = gallery or default_gallery()
    count = len(restore_backup(source, place, replace=replace).people())
    document = {"gallery": place_shown(place), "people": count}
    printing.print_answer(document, [f"restored {count} people to {place_shown(place)}"], json=json)


@audit.command()
def accept(
    yes: Yes = False, gallery: options.GalleryFolder = None, json: options.Json = False
) -> None:
    """Take an altered audit, and altered rows of people, as they are now; the audit says so.

    All that is there stays readable. Whose rows they are is for you to know: look first.
    """
    from visavis.gallery.altered import accept_altered, find_altered

    store = options.gallery_at(gallery, create=False)
    altered = find_altered(store)
    if altered.words and not yes:
        _confirm("\n".join([*altered.words, "Take all this as it is for good?"]), json=json)
    entry = accept_altered(store, altered)
    words = [f"accepted: {line}" for line in altered.words] or ["whole: nothing to accept"]
    printing.print_answer({"accepted": altered.words, "entry": entry}, words, json=json)


@people.command("note-consent")
def note_consent(
    who: Who,
    text: Annotated[str, typer.Argument(help="What they agreed to, and when.")],
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Note what a person agreed to."""
    store = options.gallery_at(gallery, create=False)
    person = store.find(who)
    store.note_consent(person.id, text)
    document = {"noted": asdict(store.find(person.id))}
    printing.print_answer(document, [f"noted for {person.name}: {text}"], json=json)


@people.command()
def consent(
    required: Annotated[bool, typer.Option("--required/--not-required")],
    gallery: options.GalleryFolder = None,
    json: options.Json = False,
) -> None:
    """Whether nobody is added without a consent note."""
    store = options.gallery_at(gallery)
    store.requires_consent = required
    words = f"a consent note is {'demanded' if required else 'not demanded'}"
    printing.print_answer({"consent_required": required}, [words], json=json)
