"""visavis evaluate PACK --pairs FILE --images FOLDER_OR_ZIP"""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from visavis.dataset import Tree

from visavis.cli import options


def evaluate(
    images: Annotated[Path, typer.Option(help="A folder or zip of <person>/<person>_0001.jpg.")],
    pack: Annotated[str, typer.Argument(help="A pack's name or folder.")] = "default",
    pairs: Annotated[
        Path | None, typer.Option(help="A pairs.txt; default: the one among the images.")
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Find and align a face in each picture first.")
    ] = False,
    flip: Annotated[bool, typer.Option(help="Add the mirrored crop.")] = True,
    device: options.DeviceName = "auto",
    precision: options.PrecisionName = options.Precision.auto,
    runtime: options.RuntimeName = options.Runtime.auto,
    json: options.Json = False,
) -> None:
    """How well does a pack tell people apart? 10-fold accuracy, TAR at FAR, EER, AUC."""
    from visavis.dataset import open_tree, read_pairs
    from visavis.detect import load_detector
    from visavis.embed import load_embedder
    from visavis.evaluate import embed_tree, verification
    from visavis.pack import load_pack

    where = options.device_of(device, precision, runtime)
    files = load_pack(pack)
    tree = open_tree(images)
    listed = read_pairs(*_pairs(pairs, tree))
    embedded = embed_tree(
        tree,
        listed.names,
        load_embedder(files, device=where, flip=flip),
        detect=load_detector(files, device=where) if align else None,
        watch=lambda names: options.progress(names, total=len(listed.names), label="embedding"),
    )
    result = verification(listed, embedded)
    if json:
        options.print_json({**asdict(result), "model": files.manifest.embedder.model})
        return
    print(f"{result.pairs:,} pairs · {files.manifest.embedder.model}")
    print(
        f"accuracy  {100 * result.accuracy:.2f} % ± {100 * result.accuracy_std:.2f} over the folds"
    )
    for rate, tar in result.tar.items():
        print(f"TAR@FAR {rate}  {100 * tar:.2f} %")
    print(f"EER       {100 * result.eer:.2f} %\nAUC       {100 * result.auc:.3f} %")
    print(f"no face found in {result.failures_to_acquire} of {len(listed.names):,} pictures")


def _pairs(path: Path | None, tree: "Tree") -> tuple[str, "Tree", str]:
    """The list's text, the tree, and the list's name."""
    from visavis.errors import DatasetError

    if path is not None:
        try:
            return path.read_text(encoding="utf-8"), tree, str(path)
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"{path}: cannot read the pairs: {error}") from error
    found = [name for name in tree.names() if name.split("/")[-1] == "pairs.txt"]
    if len(found) != 1:
        raise DatasetError(
            f"{tree.source}: expected one pairs.txt, found {len(found)}: use --pairs"
        )
    return tree.read(found[0]).decode("utf-8", "replace"), tree, found[0]
