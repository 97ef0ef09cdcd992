"""Whose photos a folder holds, by the names of its folders and files. Opens no file."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from visavis.errors import DatasetError

# "_0001", " (2)", "-3", "7" at the end of a name.
NUMBER = re.compile(r"[ _.\-]*[(\[]?\d{1,8}[)\]]?$")
# What cameras, phones and tools call their files and folders: nobody's name.
CAMERAS = {"", *"img dsc dscn dscf pxl p image images photo photos picture screenshot".split()}
SPLITS = set("train training test testing val valid validation dev query gallery probe".split())


def people_of_folder(folder: Path, photos: Sequence[Path], layout: str | None) -> list[str]:
    """The name of each photo's person, for photos below a folder.

    `layout` says what names them: `folders`, the folder right below, whatever lies in it (a photo
    beside the folders has its own name); `parents`, the folder that holds the photo; `files`, the
    file; `numbered`, the file without the number at the end of its name. None is `folders`, as
    long as it is plain that it is meant.
    Raises DatasetError where it is not: it names a photo, whose it may be, and what each layout
    would make of it all.
    """
    try:
        names = LAYOUTS[layout or "folders"]
    except KeyError:
        known = ", ".join(LAYOUTS)
        raise DatasetError(f"unknown layout {layout!r}; known: {known}", option="layout") from None
    if layout is None:
        doubt = _numbered_files(folder, photos) or _nested_folders(folder, photos)
        if doubt is not None:
            raise _question(folder, photos, *doubt)
    return [names(folder, photo) for photo in photos]


def _folder_below(folder: Path, photo: Path) -> str:
    return photo.stem if photo.parent == folder else photo.relative_to(folder).parts[0]


def _without_number(folder: Path, photo: Path) -> str:
    return NUMBER.sub("", photo.stem) or photo.stem


LAYOUTS: dict[str, Callable[[Path, Path], str]] = {
    "folders": _folder_below,
    "parents": lambda folder, photo: photo.absolute().parent.name,
    "files": lambda folder, photo: photo.stem,
    "numbered": _without_number,
}


def _numbered_files(folder: Path, photos: Sequence[Path]) -> tuple[Path, str] | None:
    """A photo that may be one of several of a person whose name its own begins with."""
    alike: dict[str, list[Path]] = {}
    for photo in photos:
        if photo.parent == folder:
            alike.setdefault(NUMBER.sub("", photo.stem), []).append(photo)
    several = [(name, group) for name, group in alike.items() if len(group) > 1]
    for name, group in several:
        return group[-1], "parents" if name.casefold() in CAMERAS else "numbered"
    return None


def _nested_folders(folder: Path, photos: Sequence[Path]) -> tuple[Path, str] | None:
    """A photo whose folder may well be a person's, and the one above a part of the data's."""
    below: dict[str, list[Path]] = {}
    for photo in photos:
        if photo.parent != folder:
            below.setdefault(_folder_below(folder, photo), []).append(photo)
    for name, group in below.items():
        if any(photo.parent == folder / name for photo in group):
            continue
        # Folders of years and days, "2019" or "2019-05-30", may be of one person.
        named = {photo.parent.name for photo in group if re.search("[^\\W\\d]", photo.parent.name)}
        if named and (name.casefold() in SPLITS or not re.search("[^\\W\\d]", name)):
            return group[0], "parents"
        if len(named) > 1:
            return group[0], "parents"
    return None


def _question(folder: Path, photos: Sequence[Path], photo: Path, other: str) -> DatasetError:
    """Whose photo is it? With what either answer would make of the folder."""
    choices = ("folders", other)
    names = [LAYOUTS[layout](folder, photo) for layout in choices]
    counts = [len({LAYOUTS[layout](folder, one) for one in photos}) for layout in choices]
    what = f"{folder}: is {photo.relative_to(folder)} a photo of {names[0]!r} or of {names[1]!r}?"
    means = " and ".join(
        f"{layout} makes {count} {'person' if count == 1 else 'people'}"
        for layout, count in zip(choices, counts, strict=True)
    )
    mend = f"say which layout it is: of these {len(photos)} photos {means}"
    return DatasetError(what, mend=mend, option="layout")
