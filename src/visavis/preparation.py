"""Photos of people to crops to learn from. Knows faces and folders. Trains nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import cv2

from visavis.batch import Progress, in_order
from visavis.dataset import open_tree
from visavis.dataset.tree import Tree, is_picture
from visavis.errors import DatasetError, NoFaceError, VisavisError
from visavis.faces import find_faces
from visavis.files import output_errors, write_whole
from visavis.types import Detector

SUFFIX = ".png"  # without loss


@dataclass(frozen=True, slots=True)
class AlignedPeople:
    """What became of a folder's photos."""

    out: Path
    crops: int  # that were made now
    before: int  # that an earlier call had made
    failed: dict[str, str]  # photos without a crop, and why


def align_people(
    source: Path,
    out: Path,
    detect: Detector,
    *,
    workers: int,
    progress: Progress = iter,
) -> AlignedPeople:
    """The largest face of each photo as a crop, in the same folders beneath `out`.

    A photo whose crop is there already is not looked at again, so an interrupted call is repeated.
    Raises DatasetError where there are no photos, or two whose crops would have one name;
    OutputError where a crop cannot be written.
    """
    tree = open_tree(source)
    names = [name for name in tree.names() if is_picture(name)]
    crops = _crop_names(tree, names)
    with output_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    left = [name for name in names if not (out / crops[name]).is_file()]
    failed: dict[str, str] = {}
    work = partial(_align, tree, detect)
    answers = in_order(work, left, workers=workers)
    for name, (_, answer) in zip(progress(left), answers, strict=True):
        if isinstance(answer, VisavisError):
            failed[name] = str(answer)
        else:
            _write(out / crops[name], answer)
    return AlignedPeople(out, len(left) - len(failed), len(names) - len(left), failed)


def _crop_names(tree: Tree, names: Sequence[str]) -> dict[str, str]:
    """The crop of each photo; raises DatasetError where two have one, or there are none."""
    if not names:
        raise DatasetError(f"{tree.source}: expected photos, found none")
    crops: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in names:
        crop = PurePosixPath(name).with_suffix(SUFFIX)
        if crop.is_absolute() or ".." in crop.parts:
            raise DatasetError(f"{tree.source}: {name!r} leads out of the data set")
        other = taken.setdefault(str(crop), name)
        if other != name:
            raise DatasetError(
                f"{tree.source}: {other} and {name} would have one crop, {crop}",
                mend="rename one of them",
            )
        crops[name] = str(crop)
    return crops


def _align(tree: Tree, detect: Detector, name: str) -> bytes:
    photo = find_faces(detect, tree.read(name), max_faces=1)
    crops = photo.crops(range(len(photo.faces)), detect)
    if not len(crops):
        raise NoFaceError("no face found")
    return bytes(cv2.imencode(SUFFIX, cv2.cvtColor(crops[0], cv2.COLOR_RGB2BGR))[1])


def _write(path: Path, data: bytes) -> None:
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, data)
