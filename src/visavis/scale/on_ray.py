"""Shards on Ray's workers: each loads the models once, takes a shard's number and writes the shard.

What travels are numbers and counts: photos go through the one door of this package, on the worker,
and never through Ray's own readers. ray is an extra.
"""

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

from visavis import errors
from visavis.errors import DeviceError, VisavisError
from visavis.extras import need
from visavis.scale.shards import Job, ShardDone, Shards

LOOPBACK = "127.0.0.1"
PATIENCE = 5.0  # seconds until a cluster answers
ADDRESS = "RAY_ADDRESS"  # of a cluster that runs already
# Before ray is imported: it reports home otherwise, and asks for a token on its own machine.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal"}


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
        _Worker,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(size=workers),
        fn_constructor_args=(local,),
        **room,
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
    """Ray for the block: the cluster that is named, or one on this machine, on loopback alone."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    named = os.environ.get(ADDRESS, "")
    if named:
        _refuse_away(named)
    else:
        os.environ["RAY_AUTH_MODE"] = "disabled"  # a token would guard what only this machine sees
    import ray
    import ray.data

    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        if named:
            ray.init(**quiet)
        else:
            _init_on_loopback(workers, quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise DeviceError(f"Ray cannot be reached: {error}", mend=f"check {ADDRESS}") from error
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()


def _refuse_away(address: str) -> None:
    """Raise DeviceError where nobody answers at host:port: Ray would ask for two minutes."""
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        where = parts.hostname, parts.port
    except ValueError as error:
        raise DeviceError(f"{ADDRESS}: expected host:port, got {address!r:.100}") from error
    if None in where:
        return  # auto: Ray looks for one on this machine
    try:
        socket.create_connection(where, timeout=PATIENCE).close()
    except OSError as error:
        raise DeviceError(
            f"{address}: no Ray answers: {error}", mend=f"start it, or mend {ADDRESS}"
        ) from error


def _init_on_loopback(workers: int, quiet: dict[str, Any]) -> None:
    """Start Ray where no other machine reaches it.

    Ray takes 127.0.0.1 for a mistake, puts the machine's own address in its place and listens on
    every interface. Where a later Ray cannot be kept from it, this raises DeviceError.
    """
    import ray
    from ray._private import services

    with patch.object(services, "resolve_ip_for_localhost", lambda host: host):
        ray.init(num_cpus=workers, include_dashboard=False, _node_ip_address=LOOPBACK, **quiet)
    if (address := ray.util.get_node_ip_address()) != LOOPBACK:
        ray.shutdown()
        raise DeviceError(
            f"Ray listens on {address}, and was told {LOOPBACK}",
            mend=f"start a cluster yourself, and name it in {ADDRESS}",
        )
