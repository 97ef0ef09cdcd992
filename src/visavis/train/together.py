"""A run in one process, in several of this machine, or in those that torchrun started on several.

Knows how processes begin, meet and end. Knows no weights.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist

from visavis.embedder import choose_models
from visavis.errors import ConfigurationError, DeviceError, VisavisError
from visavis.runtime import Device, cores
from visavis.train.classes import ALONE, Processes
from visavis.train.loop import Report, Trained, Workplace, train
from visavis.train.recipe import Recipe
from visavis.types import Embedder

Share = Callable[[Processes], object]
PATIENCE = 5.0  # seconds in which a process that failed says why


def train_together(
    recipe: Recipe,
    out: Path,
    device: str = "auto",
    *,
    resume: bool = False,
    report: Report = lambda line: None,
) -> Trained | None:
    """Train in as many processes as the recipe's `devices` say, or in those of torchrun.

    None in a process that torchrun started to help another. Raises what `train` raises, DeviceError
    where there are not as many GPUs, or where one of the processes ends before the others.
    """
    work = partial(_train, recipe, out, device, resume)
    if (count := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        if recipe.devices > 1:
            raise ConfigurationError(
                f"devices: {recipe.devices}, where torchrun has started {count} processes already",
                mend="say devices=1",
            )
        with _meeting(count, int(os.environ["RANK"]), "env://"):
            return work(Processes(count, int(os.environ["RANK"])), report=report)
    _check_gpus(recipe.devices, device)
    with _with_helpers(recipe.devices, work) if recipe.devices > 1 else nullcontext(ALONE) as ours:
        return work(ours, report=report)


def torch_device(name: str) -> str:
    """A device as PyTorch calls it; of several GPUs `auto` is the one of this process.

    Raises DeviceError for one that no machine has.
    """
    wanted = Device(name).name
    if wanted != "auto":
        return wanted
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if torch.cuda.is_available() else "cpu"


def teacher_of(recipe: Recipe) -> Embedder | None:
    """The pack whose embeddings are to be matched, if the recipe names one."""
    if not recipe.teacher:
        return None
    models = choose_models(recipe.teacher)
    return models.together(models.members(Device("auto"), flip=True))


def _train(
    recipe: Recipe,
    out: Path,
    device: str,
    resume: bool,
    processes: Processes,
    *,
    report: Report = lambda line: None,
) -> Trained | None:
    where = Workplace(out, torch_device(device), processes)
    teacher = teacher_of(recipe)
    trained = train(recipe, where, resume=resume, teacher=teacher, report=report)
    return trained if where.writes else None


def _check_gpus(count: int, device: str) -> None:
    if count == 1:
        return
    wanted = Device(device).name
    if wanted.startswith("cuda"):
        raise ConfigurationError(
            f"devices: {count} processes on one device, {wanted}", mend="say auto", option="device"
        )
    there = torch.cuda.device_count() if wanted == "auto" and torch.cuda.is_available() else count
    if there < count:
        raise DeviceError(f"devices: expected {count} GPUs, got {there}", mend=f"devices={there}")


@contextmanager
def _meeting(count: int, rank: int, place: str) -> Iterator[None]:
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, place, rank=rank, world_size=count)
    try:
        yield
    finally:
        dist.destroy_process_group()


@contextmanager
def _with_helpers(count: int, work: Share) -> Iterator[Processes]:
    """This process as the first of so many; the others do the same work.

    Raises DeviceError where one of them ends while it is needed.
    """
    context = multiprocessing.get_context("spawn")
    said: Any = context.SimpleQueue()
    with TemporaryDirectory() as folder:
        place = f"file://{folder}/meet"
        helpers = [
            context.Process(
                target=_help, args=(work, Processes(count, rank), place, said), daemon=True
            )
            for rank in range(1, count)
        ]
        for helper in helpers:
            helper.start()
        try:
            with _threads(count), _meeting(count, 0, place):
                yield Processes(count, 0)
        # What a process says whose neighbour has gone.
        except RuntimeError as error:
            if (ended := _ended(helpers, said)) is None:
                raise
            raise ended from error
        finally:
            # They write nothing: whether this one is done or has failed, they are.
            for helper in helpers:
                helper.kill()
                helper.join()


def _ended(helpers: list[Any], said: Any) -> DeviceError | None:
    """The first that has ended, and why; None where all are there."""
    for rank, helper in enumerate(helpers, start=1):
        helper.join(PATIENCE)
        if helper.exitcode is not None:
            why = f"exit code {helper.exitcode}" if said.empty() else said.get()
            return DeviceError(f"process {rank} of the training has ended: {why}")
    return None


def _help(work: Share, processes: Processes, place: str, said: Any) -> None:
    """One of the others. Its error is the first one's to tell."""
    try:
        os.environ["LOCAL_RANK"] = str(processes.rank)
        with _threads(processes.count), _meeting(processes.count, processes.rank, place):
            work(processes)
    except VisavisError as error:
        said.put(str(error))
        raise SystemExit(2) from error


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """A share of this machine's cores for each of so many processes."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, cores() // count)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
