"""visavis people check, visavis people rotate-key"""

from typing import Annotated

import typer

from visavis.cli import options, printing


def check(gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """Whether all that the gallery holds is as it was written: reads and opens everything."""
    from visavis.gallery.configurations import configuration_damages

    store = options.gallery_at(gallery, create=False)
    damages = store.damages() + configuration_damages(store)
    document = {"whole": not damages, "damages": damages}
    printing.print_answer(document, damages or ["whole"], json=json)
    raise typer.Exit(bool(damages))


def info(
    false_positive_rate: Annotated[
        float,
        typer.Option(
            callback=options.between_0_and_1,
            help="Share of strangers that may be taken for anybody at all.",
        ),
    ] = 1e-2,
    gallery: options.GalleryFolder = None,
    pack: options.PackName = "default",
    json: options.Json = False,
) -> None:
    """How large it is: templates by model, memory, for how many a search can still say match."""
    from visavis.answers.people import capacity_json, capacity_words
    from visavis.calibration import calibration_in
    from visavis.capacity import capacity
    from visavis.embedder import choose_models

    store = options.gallery_at(gallery, create=False)
    calibration = calibration_in(store, choose_models(pack))
    size = capacity(store, calibration, false_positive_rate)
    printing.print_answer(capacity_json(size), capacity_words(size), json=json)


def rotate_key(gallery: options.GalleryFolder = None, json: options.Json = False) -> None:
    """A new key for the gallery; the old one then opens only backups of before.

    Stopped at any point, the gallery opens all the same: run it again.
    """
    from visavis.attendance.ledger import Ledger
    from visavis.gallery.rotation import rotate_key as rotate
    from visavis.gallery.vault import key_path

    store = options.gallery_at(gallery, create=False)
    old, new = rotate(store), key_path(store.id)
    Ledger(options.gallery_at(gallery, create=False)).renew()
    words = [
        f"the gallery has a new key: {new}. Back it up: a lost key loses the gallery",
        f"the old one is {old}: it opens backups of before; delete it with the last of them",
    ]
    document = {"gallery": store.id, "key": str(new), "old_key": str(old)}
    printing.print_answer(document, words, json=json)
