"""Verification sets as plain data and as words. Reads no file."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from visavis.checkup import CheckedImages
from visavis.dataset import Pairs
from visavis.dataset.bin import BinContents
from visavis.preparation import AlignedPeople


def aligned_json(made: AlignedPeople) -> dict[str, Any]:
    """Photos of people as crops."""
    errors = [{"path": name, "error": error} for name, error in made.failed.items()]
    return {"out": str(made.out), "crops": made.crops, "before": made.before, "errors": errors}


def aligned_words(made: AlignedPeople) -> list[str]:
    """Photos of people as crops."""
    before = f", {made.before:,} were there before" if made.before else ""
    lines = [f"{made.out}: {made.crops:,} crops{before}, {len(made.failed):,} photos without one"]
    return lines + [f"  {name}: {error}" for name, error in made.failed.items()]


def checked_json(checked: CheckedImages) -> dict[str, Any]:
    """A data set that was looked through."""
    return {**asdict(checked), "clean": checked.clean}


def checked_words(checked: CheckedImages) -> list[str]:
    """A data set that was looked through: counts, and the first of each fault."""
    pairs = [f"{one.first} and {one.second}, {one.similarity:.3f}" for one in checked.alike]
    leaked = [f"{one.first} is {one.second}, {one.similarity:.3f}" for one in checked.leaked]
    doubts = [
        f"{one.picture}: {one.similarity:.3f} to {one.other}, {one.own:.3f} to its own"
        for one in checked.doubts
    ]
    spare = [
        f"{one.picture}: {one.own:.3f} to it, {one.spare:.3f} to a spare one"
        for one in checked.spare
    ]
    faults = (
        ("pictures cannot be read", [f"{name}: {why}" for name, why in checked.bad.items()]),
        ("pictures have several labels", [" and ".join(names) for names in checked.twice]),
        ("pictures look like somebody else", doubts),
        ("pictures are far from their person's main centre", spare),
        ("pairs of people look like one person", pairs),
        ("people of the set to test on are in this one", leaked),
        ("people have one picture", list(checked.single)),
        ("numbers of classes have no picture", [""] * checked.gaps),
    )
    lines = [f"{checked.images:,} pictures of {checked.people:,} people"]
    for what, each in faults:
        if each:
            lines.append(f"{len(each):>9,} {what}{', first ' if each[0] else ''}{each[0]}")
    return lines


def converted_set_json(out: Path, images: int, people: int) -> dict[str, Any]:
    """A data set that was written."""
    return {"out": str(out), "images": images, "people": people}


def converted_set_words(out: Path, images: int, people: int) -> list[str]:
    """A data set that was written."""
    return [f"{out}: {images:,} pictures of {people:,} people"]


def bin_json(out: Path, pairs: Pairs, size: int) -> dict[str, Any]:
    """A .bin of `size` bytes that was made of pairs."""
    return {"out": str(out), **_counts(pairs), "skipped": pairs.skipped, "bytes": size}


def bin_words(out: Path, pairs: Pairs, size: int) -> list[str]:
    """A .bin of `size` bytes that was made of pairs."""
    return [f"{out}: {_pairs_words(pairs)}, {pairs.skipped} skipped, {size / 1e6:.1f} MB"]


def contents_json(file: Path, contents: BinContents) -> dict[str, Any]:
    """What a .bin holds."""
    return {
        "file": str(file),
        **_counts(contents.pairs),
        "skipped": contents.pairs.skipped,
        "sha256": contents.sha256,
        "pictures": contents.pictures,
        "undecodable": contents.undecodable,
    }


def contents_words(file: Path, contents: BinContents) -> list[str]:
    """What a .bin holds."""
    lines = [f"{file}: {_pairs_words(contents.pairs)}"]
    lines += [f"{count:>9,} {kind}" for kind, count in contents.pictures.items()]
    if contents.undecodable:
        name, reason = next(iter(contents.undecodable.items()))
        count = len(contents.undecodable)
        lines.append(f"{count:>9,} cannot be decoded, first {name}: {reason}")
    return [*lines, f"sha256 {contents.sha256}"]


def _counts(pairs: Pairs) -> dict[str, int]:
    same = int(pairs.same.sum())
    return {
        "pairs": len(pairs.same),
        "same": same,
        "different": len(pairs.same) - same,
        "folds": int(pairs.fold.max()) + 1,
    }


def _pairs_words(pairs: Pairs) -> str:
    counts = _counts(pairs)
    return (
        f"{counts['pairs']:,} pairs, {counts['same']:,} same and {counts['different']:,} "
        f"different, {counts['folds']} folds"
    )
