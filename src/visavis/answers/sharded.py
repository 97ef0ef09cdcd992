"""What was embedded of a manifest, as plain data and as words. Decides nothing."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from visavis.answers.counts import counted
from visavis.dataset.embedded import ShardPlan
from visavis.scale.shards import ShardDone


def shards_json(plan: ShardPlan, out: str, done: Sequence[ShardDone]) -> dict[str, Any]:
    """What was made now, and how much there is to make in all."""
    return {
        "out": out,
        "model": plan.model,
        "dim": plan.dim,
        "photos": plan.photos,
        "shards": plan.shards,
        "made": sorted(one.shard for one in done),
        "embedded": sum(one.photos for one in done),
        "faces": sum(one.faces for one in done),
        "failed": dict(_failed(done)),
    }


def shards_words(plan: ShardPlan, out: str, done: Sequence[ShardDone]) -> list[str]:
    """What was made now, in a line, and what gave no embedding."""
    photos, faces = sum(one.photos for one in done), sum(one.faces for one in done)
    return [
        f"{counted(len(done), 'shard')} of {plan.shards} made now: {counted(faces, 'embedding')} "
        f"of {counted(photos, 'photo')} ({plan.model}): {out}",
        *(f"{count} without an embedding: {code}" for code, count in _failed(done).items()),
    ]


def _failed(done: Sequence[ShardDone]) -> Counter[str]:
    """Photos without an embedding, by the error's code."""
    failed: Counter[str] = Counter()
    for one in done:
        failed.update(one.failed)
    return failed
