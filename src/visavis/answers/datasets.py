"""Verification sets as plain data and as words. Reads no file."""

from pathlib import Path
from typing import Any

from visavis.dataset import Pairs
from visavis.dataset.bin import BinContents


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
