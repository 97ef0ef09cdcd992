"""visavis dataset bin make | inspect"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options

if TYPE_CHECKING:
    from visavis.dataset import Pairs
    from visavis.types import Detector

dataset = typer.Typer(help="Data sets: pack them, look into them.", no_args_is_help=True)
bins = typer.Typer(help="InsightFace's .bin: pairs of crops in one file.", no_args_is_help=True)
dataset.add_typer(bins, name="bin")


@bins.command()
def make(
    out: Annotated[Path, typer.Argument(help="The .bin to write.")],
    images: Annotated[Path, typer.Option(help="A folder or zip of pictures, or a .bin.")],
    pairs: options.PairsList = None,
    protocol: Annotated[str | None, typer.Option(help="FF or FP: of CFP's own folder.")] = None,
    align: options.Align = False,
    skip_bad: options.SkipBad = False,
    pack: options.PackName = "default",
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """Pack a pairs list. Crops keep their bytes; with --align they become PNG, without loss."""
    from visavis.dataset import open_pairs
    from visavis.dataset.bin import as_it_is, pack_pairs
    from visavis.detect import load_detector
    from visavis.files import write_whole
    from visavis.pack import load_pack

    tree, listed = open_pairs(images, pairs=pairs, protocol=protocol, skip_bad=skip_bad)
    where = options.device_of(device, precision, runtime)
    crop = _aligner(load_detector(load_pack(pack), device=where)) if align else as_it_is
    data, packed = pack_pairs(
        tree,
        listed,
        crop,
        skip_bad=skip_bad,
        watch=options.watch(len(listed.names), "packing"),
    )
    write_whole(out, data)
    counted = {**_counts(packed), "skipped": packed.skipped, "bytes": len(data)}
    if json:
        options.print_json({"out": str(out), **counted})
        return
    print(f"{out}: {_words(packed)}, {packed.skipped} skipped, {len(data) / 1e6:.1f} MB")


@bins.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A .bin.")],
    json: options.Json = False,
) -> None:
    """What a .bin holds. Exits 1 where a picture in it cannot be decoded."""
    from hashlib import sha256

    from visavis.dataset import read_bin
    from visavis.dataset.bin import survey

    tree, pairs = read_bin(file, skip_bad=True)
    names = options.progress(pairs.names, total=len(pairs.names), label="decoding")
    kinds, bad = survey(tree, names)
    digest = sha256(file.read_bytes()).hexdigest()
    if json:
        counted = {**_counts(pairs), "skipped": pairs.skipped, "sha256": digest}
        options.print_json({"file": str(file), **counted, "pictures": kinds, "undecodable": bad})
    else:
        print(f"{file}: {_words(pairs)}")
        for kind, count in kinds.items():
            print(f"{count:>9,} {kind}")
        if bad:
            name, reason = next(iter(bad.items()))
            print(f"{len(bad):>9,} cannot be decoded, first {name}: {reason}")
        print(f"sha256 {digest}")
    if bad:
        raise typer.Exit(1)


def _aligner(detect: "Detector") -> Callable[[bytes], bytes]:
    """An encoded picture to its largest face's crop, as PNG."""
    import cv2

    from visavis.errors import NoFaceError
    from visavis.faces import find_faces

    def crop(data: bytes) -> bytes:
        photo = find_faces(detect, data, max_faces=1)
        crops = photo.crops(range(len(photo.faces)))
        if not len(crops):
            raise NoFaceError("no face found; --skip-bad leaves its pairs out")
        return bytes(cv2.imencode(".png", cv2.cvtColor(crops[0], cv2.COLOR_RGB2BGR))[1])

    return crop


def _counts(pairs: "Pairs") -> dict[str, int]:
    same = int(pairs.same.sum())
    return {
        "pairs": len(pairs.same),
        "same": same,
        "different": len(pairs.same) - same,
        "folds": int(pairs.fold.max()) + 1,
    }


def _words(pairs: "Pairs") -> str:
    counts = _counts(pairs)
    return (
        f"{counts['pairs']:,} pairs, {counts['same']:,} same and {counts['different']:,} "
        f"different, {counts['folds']} folds"
    )
