"""Shards on Ray's workers: each loads the models once, takes a shard's number and writes the shard.

What travels are numbers and counts: photos go through the one door of this package, on the worker,
and never through Ray's own readers. ray is an extra.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from visavis import errors
from visavis.errors import DeviceError, VisavisError
from visavis.extras import need
from visavis.scale.shards import Job, ShardDone, Shards

LOOPBACK = "127.0.0.1"
ADDRESS = "RAY_ADDRESS"  # of a cluster that runs already
# Before ray is imported: it reports home otherwise, and asks for a token on its own machine.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1"}


def embed_on_ray(job: Job, left: list[int], workers: int) -> Iterator[ShardDone]:
    """Make these shards with so many workers, a core or a GPU each, in any order.

    Runs on the cluster of RAY_ADDRESS, or on this machine alone, where nothing listens beyond
    loopback. A worker that dies has its shard made again by another. Raises as `Shards.make`,
    DeviceError where ray is missing or there is no room for the workers.
    """
    need("ray", extras="ray,parquet")
    if left:
        with _cluster(workers):
            yield from _results(job, left, workers)


def _results(job: Job, left: list[int], workers: int) -> Iterator[ShardDone]:
    import ray.data

    gpu = job.device.name.startswith("cuda")
    room = {"num_gpus": 1} if gpu else {"num_cpus": 1}
    # A core each: more threads than that would take one another's.
    local = job if gpu else replace(job, device=replace(job.device, threads=1, streams=1))
    numbers = ray.data.from_items(left, override_num_blocks=len(left))
    made = numbers.map_batches(
        _Worker, batch_size=1, concurrency=workers, fn_constructor_args=(local,), **room
    )
    for row in made.iter_rows():
        if row["fault"]:
            kind, what, mend = row["fault"].split("\0")
            raise getattr(errors, kind)(what, mend=mend)
        failed = dict(zip(row["codes"], map(int, row["counts"]), strict=True))
        yield ShardDone(int(row["shard"]), int(row["photos"]), int(row["faces"]), failed)


class _Worker:
    """One of Ray's: its models are loaded once. A fault comes back as a row of words: Ray would
    wrap an exception in its own.
    """

    def __init__(self, job: Job) -> None:
        self._fault = ""
        try:
            self._shards = Shards(job)
        except VisavisError as error:
            self._fault = _words(error)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        shard = int(batch["item"][0])
        done, fault = ShardDone(shard, 0, 0, {}), self._fault
        if not fault:
            try:
                done = self._shards.make(shard)
            except VisavisError as error:
                fault = _words(error)
        return {
            "shard": [shard],
            "photos": [done.photos],
            "faces": [done.faces],
            "codes": [list(done.failed)],
            "counts": [list(done.failed.values())],
            "fault": [fault],
        }


def _words(error: VisavisError) -> str:
    return "\0".join((type(error).__name__, error.what, error.mend))


@contextmanager
def _cluster(workers: int) -> Iterator[None]:
    """Ray, started for the block; on this machine where no address is given."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    alone = not os.environ.get(ADDRESS)
    if alone:
        os.environ["RAY_AUTH_MODE"] = "disabled"
    import ray

    own: dict[str, Any] = {"num_cpus": workers, "_node_ip_address": LOOPBACK} if alone else {}
    try:
        ray.init(include_dashboard=False if alone else None, log_to_driver=False, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise DeviceError(f"Ray cannot be reached: {error}", mend=f"check {ADDRESS}") from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()
