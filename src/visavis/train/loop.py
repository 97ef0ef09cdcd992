"""The loop: batches to steps, and now and then a checkpoint, a measurement, a line of the log.

A run is a folder: recipe.toml, last.pt (all that a later run goes on from), last.safetensors and
best.safetensors (the network alone), backbone.pth or what else the layout's authors write, log.csv,
tensorboard. Knows no option and prints nothing.
"""

import csv
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from visavis.checkpoints.checkpoint import save_checkpoint
from visavis.dataset import Pairs, Tree, open_pairs
from visavis.dataset.images import open_images
from visavis.errors import (
    CheckpointError,
    ConfigurationError,
    MismatchError,
    ModelError,
    OutputError,
)
from visavis.evaluate.protocols import CropSource, embed_pairs, verification
from visavis.files import output_errors, refuse_taken, write_whole
from visavis.runtime import cores
from visavis.train.backbones import TrainableBackbone, build_backbone
from visavis.train.classes import ALONE, Processes
from visavis.train.data import Contents, Loader, look_into, steps_of_epoch
from visavis.train.learner import Learner, rate_at
from visavis.train.official import write_official
from visavis.train.recipe import Recipe, resolved
from visavis.types import Embedder

STATE, LAST, BEST = "last.pt", "last.safetensors", "best.safetensors"
LOG, RECIPE, BOARD = "log.csv", "recipe.toml", "tensorboard"
LONGER = (
    "steps", "epochs", "save_every", "log_every", "evaluate_every", "about", "pairs", "devices",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Progressed:
    """Where a run stands; a row of its log."""

    step: int  # steps that are done
    steps: int
    loss: float
    rate: float
    images_a_second: float
    skipped: int  # pictures that could not be read, so far
    accuracy: float | None = None  # on the pairs, where they were measured now


Report = Callable[[Progressed], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run came to."""

    out: Path
    weights: Path  # the best on the pairs, or the last
    recipe: Recipe
    step: int
    steps: int
    loss: float | None  # of the last step; None: none was left to take
    accuracy: float | None  # the best on the pairs
    classes: int
    images: int
    gaps: int  # numbers of classes that no picture has
    single: int  # people with one picture
    skipped: int  # pictures that could not be read
    stopped: bool  # by a signal, before its end


@dataclass(frozen=True, slots=True)
class Workplace:
    """What a run is on: a folder, a device, and which of how many processes this one is."""

    out: Path
    device: str = "cpu"
    processes: Processes = ALONE

    @property
    def writes(self) -> bool:
        """Whether this process writes the files."""
        return self.processes.rank == 0


def train(
    recipe: Recipe,
    where: Workplace,
    *,
    resume: bool = False,
    teacher: Embedder | None = None,
    report: Report = lambda line: None,
) -> Trained:
    """Train, from the beginning or from the folder's last checkpoint, to the end or until SIGTERM.

    Raises ConfigurationError for a recipe that cannot be, DatasetError for data from which nothing
    can be learnt, both before anything is written; ModelError naming the last good checkpoint where
    the loss is NaN, and OutputError where a checkpoint cannot be written.
    """
    if recipe.batch % where.processes.count:
        raise ConfigurationError(
            f"batch: {recipe.batch} pictures are not as many for each of "
            f"{where.processes.count} processes"
        )
    contents = look_into(open_images(Path(recipe.data)), recipe)
    backbone = build_backbone(recipe)
    device = torch.device(where.device)
    learner = Learner(recipe, backbone, contents.classes, device, where.processes, teacher=teacher)
    pairs = open_pairs(Path(recipe.pairs)) if recipe.pairs else None
    run = _Run(recipe, where, contents, backbone, learner, pairs)
    run.begin(resume=resume)
    with _told_to_stop() as stop:
        return run.go(stop, report)


class _Run:
    """A run's place: which step is next, and what has been best so far."""

    def __init__(
        self,
        recipe: Recipe,
        where: Workplace,
        contents: Contents,
        backbone: TrainableBackbone,
        learner: Learner,
        pairs: tuple[Tree, Pairs] | None,
    ) -> None:
        self.recipe, self.where, self.contents = recipe, where, contents
        self.backbone, self.learner, self.pairs = backbone, learner, pairs
        self.epoch = steps_of_epoch(contents, recipe)
        self.steps = recipe.steps or recipe.epochs * self.epoch
        self.step, self.saved, self.skipped = 0, 0, 0
        self.best: float | None = None
        self.loss: float | None = None

    def begin(self, *, resume: bool) -> None:
        """Make the folder, or take up what lies in it."""
        out = self.where.out
        if resume:
            self._take(out / STATE)
        elif self.where.writes:
            refuse_taken(out)
            with output_errors(out):
                out.mkdir(parents=True)
        if self.where.writes:
            write_whole(out / RECIPE, resolved(self.recipe))
            write_whole(out / LOG, _log_until(out / LOG, self.step))

    def go(self, stop: threading.Event, report: Report) -> Trained:
        """Step by step to the end, or until it is told to stop."""
        loader = Loader(self.contents, self.recipe, self.where.processes)
        since, begun, stopped = time.perf_counter(), self.step, False
        for batch in loader.batches(self.step, self.steps, workers=cores()):
            rate = rate_at(self.recipe, self.step, self.steps, self.epoch)
            self.loss = self._learn(batch.step, rate, batch)
            self.step += 1
            self.skipped += len(batch.skipped)
            stopped = self._agreed(stop.is_set())
            last = stopped or self.step == self.steps
            accuracy = self._measure() if self._due(self.recipe.evaluate_every, last) else None
            if self._due(self.recipe.save_every, last):
                self._save()
            if self._due(self.recipe.log_every, last) or accuracy is not None:
                now = time.perf_counter()
                speed = (self.step - begun) * self.recipe.batch / (now - since)
                since, begun = now, self.step
                self._note(self._line(rate, speed, accuracy), report)
            if stopped:
                break
        if not stopped:
            self._write_official()
        return self._trained(stopped=stopped)

    def _learn(self, step: int, rate: float, batch: Any) -> float:
        try:
            return self.learner.step(step, rate, batch.crops, batch.labels)
        except ModelError as error:
            kept = self.where.out / STATE
            mend = f"the last good checkpoint is {kept}, of step {self.saved}: go on from it with "
            mend = mend + "a lower rate" if self.saved else "no checkpoint is saved yet: lower rate"
            raise ModelError(error.what, mend=mend) from error

    def _due(self, every: int, last: bool) -> bool:
        return last or self.step % every == 0

    def _agreed(self, stop: bool) -> bool:
        """Whether any process is told to stop: all stop at one step."""
        if self.where.processes.count == 1:
            return stop
        said = torch.tensor(float(stop), device=self.learner.device)
        dist.all_reduce(said)
        return bool(said)

    def _measure(self) -> float | None:
        if self.pairs is None:
            return None
        tree, pairs = self.pairs
        embed = self.learner.embedder(f"step {self.step}")
        kept, embedded = embed_pairs(CropSource(tree), pairs, embed)
        accuracy = verification(kept, embedded).accuracy
        if accuracy is not None and (self.best is None or accuracy > self.best):
            self.best = accuracy
            self._write(BEST)
        return accuracy

    def _write(self, name: str) -> None:
        if self.where.writes:
            size = self.backbone.family.height, self.backbone.family.width
            family, preprocess = self.backbone.family.name, self.backbone.preprocess
            save_checkpoint(self.where.out / name, self.learner.mean, family, preprocess, size)

    def _write_official(self) -> None:
        """The last weights as the layout's authors write them; the classes' where one process has
        all of them, and one row for each.
        """
        head = self.learner.head
        whole = head is not None and self.where.processes.count == 1
        classes = head.weight if head and whole and head.options.centres == 1 else None
        if self.where.writes:
            state = self.learner.mean.state_dict()
            write_official(self.where.out, self.backbone.family.name, state, classes)

    def _save(self) -> None:
        """Write the weights, and all that a later run goes on from: whole, or the earlier stays."""
        state = self.learner.state()  # of all processes: each has a part
        place = {"step": self.step, "best": self.best, "skipped": self.skipped}
        document = {**state, **place, "recipe": asdict(self.recipe)}
        try:
            self._write(LAST)
            if self.where.writes:
                _write_state(self.where.out / STATE, document)
        except OutputError as error:
            kept = f"{STATE} beside it is that of step {self.saved}: make room, and resume"
            first = "nothing is saved yet: make room, and begin again"
            raise OutputError(error.what, mend=kept if self.saved else first) from error
        self.saved = self.step

    def _take(self, path: Path) -> None:
        state = read_state(path)
        # A key that came after that run had its default's meaning.
        kept = {**asdict(Recipe()), **state["recipe"]}
        theirs = {key: value for key, value in kept.items() if key not in LONGER}
        ours = {key: value for key, value in asdict(self.recipe).items() if key not in LONGER}
        differ = [key for key in ours if ours[key] != theirs.get(key)]
        if differ:
            raise MismatchError(
                f"{path}: was trained with another {', '.join(differ)}",
                mend="resume with the recipe.toml beside it, or train into another folder",
            )
        self.learner.take(state)
        self.step = self.saved = state["step"]
        self.best, self.skipped = state["best"], state["skipped"]

    def _line(self, rate: float, speed: float, accuracy: float | None) -> Progressed:
        loss = self.loss if self.loss is not None else float("nan")
        return Progressed(self.step, self.steps, loss, rate, speed, self.skipped, accuracy)

    def _note(self, line: Progressed, report: Report) -> None:
        if not self.where.writes:
            return
        with output_errors(self.where.out / LOG), (self.where.out / LOG).open("a") as file:
            csv.writer(file).writerow(asdict(line).values())
        _to_board(self.where.out / BOARD, line)
        report(line)

    def _trained(self, *, stopped: bool) -> Trained:
        out = self.where.out
        best = out / BEST
        return Trained(
            out=out,
            weights=best if best.is_file() else out / LAST,
            recipe=self.recipe,
            step=self.step,
            steps=self.steps,
            loss=self.loss,
            accuracy=self.best,
            classes=self.contents.classes,
            images=len(self.contents.labels),
            gaps=self.contents.gaps,
            single=self.contents.single,
            skipped=self.skipped,
            stopped=stopped,
        )


def _write_state(path: Path, document: dict[str, Any]) -> None:
    """Raises OutputError where it cannot be written; the earlier file then stays."""
    staging = path.with_name(path.name + ".partial")
    try:
        with output_errors(path):
            torch.save(document, staging)
            os.replace(staging, path)
    # torch says so of a full disk.
    except RuntimeError as error:
        raise OutputError(f"{path}: cannot write: {error}") from error
    finally:
        staging.unlink(missing_ok=True)


def read_state(path: Path) -> dict[str, Any]:
    """All that a run goes on from. Raises CheckpointError for what is no such file."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file: nothing to resume from") from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError) as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    return state


def _log_until(path: Path, step: int) -> bytes:
    """The log's rows up to a step, beneath its heading."""
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(Progressed.__dataclass_fields__)
    if step and path.is_file():
        with path.open() as file:
            rows.writerows(row for row in list(csv.reader(file))[1:] if int(row[0]) <= step)
    return text.getvalue().encode()


def _to_board(folder: Path, line: Progressed) -> None:
    """The line's numbers for TensorBoard."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as board:
        for name in ("loss", "rate", "images_a_second", "accuracy"):
            value = getattr(line, name)
            if value is not None:
                board.add_scalar(name, value, line.step)


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    """An event that SIGTERM sets, so that the step is finished and saved."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def with_data(recipe: Recipe, data: Path | None) -> Recipe:
    """The recipe on other data. Raises ConfigurationError where none are named at all."""
    if data is not None:
        return replace(recipe, data=str(data))
    if not recipe.data:
        raise ConfigurationError(
            "no data to train on", mend="name a folder of people", option="data"
        )
    return recipe
