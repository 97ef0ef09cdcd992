"""visavis embed --manifest FILE --out FOLDER: photos by the million, in shards."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from visavis.cli import options, printing

if TYPE_CHECKING:
    from visavis.scale.shards import ShardDone, Shards

PER_SHARD = 10_000


def part_or_none(text: str) -> str:
    """Raise DatasetError for what is no part, before anything is read."""
    from visavis.scale.shards import parse_part

    if text:
        parse_part(text)
    return text


@dataclass(frozen=True, slots=True)
class Sharding:
    """Photos of a manifest, in shards."""

    manifest: Annotated[
        Path | None,
        typer.Option(help="Embed these: Parquet with a column path, or a path a line."),
    ] = None
    per_shard: Annotated[int, typer.Option(min=1, help="Photos in a shard.")] = PER_SHARD
    shard: Annotated[
        str,
        typer.Option(
            callback=part_or_none,
            help="Of all shards only a part: 3/100 is the third of a hundred.",
        ),
    ] = ""
    ray: Annotated[
        int, typer.Option(min=0, help="So many workers of Ray, a core or a GPU each; 0: none.")
    ] = 0

    def refuse_unheard(self, sources: list[str] | None, checkpoint: Path | None) -> None:
        """Raise DatasetError for what goes unheard beside a manifest, or without one."""
        from visavis.errors import DatasetError

        if self.manifest is None:
            if self != Sharding():
                raise DatasetError(
                    "shards are made of a manifest's photos", mend="name it", option="manifest"
                )
            if not sources:
                raise DatasetError("expected photos, or a manifest of photos", option="manifest")
        elif sources or checkpoint is not None:
            unheard = "other photos" if sources else "a checkpoint"
            raise DatasetError(f"a manifest's photos are embedded by a pack, without {unheard}")


def embed_manifest(
    sharding: Sharding, out: str, pack: str, where: options.Where, *, json: bool, **how: bool
) -> None:
    """Make the shards that are left, `how` as a Job has it, and show what was made.

    Exit code 0 although photos failed: the shards say which, and why.
    """
    from visavis.answers.sharded import shards_json, shards_words
    from visavis.scale.shards import Job, Shards, parse_part

    assert sharding.manifest is not None
    job = Job(sharding.manifest, out, pack, where.for_many(), sharding.per_shard, **how)
    part = parse_part(sharding.shard) if sharding.shard else (1, 1)
    shards = Shards(job, printing.workers())
    left = shards.left(part)
    made = _made(shards, left, sharding.ray)
    done = list(printing.progress(made, total=len(left), label="shards"))
    document = shards_json(shards.plan, out, done)
    printing.print_answer(document, shards_words(shards.plan, out, done), json=json)


def _made(shards: "Shards", left: list[int], ray: int) -> "Iterator[ShardDone]":
    from visavis.scale.on_ray import embed_on_ray

    return embed_on_ray(shards.job, left, ray) if ray else map(shards.make, left)
