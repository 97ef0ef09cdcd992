"""What several verbs share: their options, how they print, how they show progress."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, TypeVar

import typer

if TYPE_CHECKING:
    from visavis.errors import VisavisError
    from visavis.gallery import Gallery
    from visavis.runtime import Device

T = TypeVar("T")

# An answer as a JSON document, and as lines of words.
Shown = tuple[dict[str, Any], list[str]]

PATIENCE = 1.0  # seconds that must be left for progress to be shown

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, nothing else.")]
Photos = Annotated[list[str], typer.Argument(help="Photos, folders of photos, or patterns.")]
PackArgument = Annotated[str, typer.Argument(help="A pack's name or folder.")]
PackName = Annotated[str, typer.Option("--pack", help="A pack's name or folder.")]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, or cuda:N.")]
PairsList = Annotated[
    Path | None, typer.Option(help="A list of pairs; default: the one among the images.")
]
Exclude = Annotated[Path | None, typer.Option(help="A CSV of label errors: columns a, b, reason.")]
Align = Annotated[
    bool, typer.Option("--align", help="Find and align a face in each picture first.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out bad lines and pictures, and count them.")
]
ColorName = Literal["rgb", "bgr"]
# A type of its own: for a tuple typer would take three words.
Three = NewType("Three", tuple[float, float, float])


def three(text: str) -> Three:
    """A number for each of three channels, or one for all."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 3) or not all(abs(number) < 1e6 for number in numbers):
        raise typer.BadParameter(f"expected a number, or three with commas, got {text!r}")
    first, second, third = numbers if len(numbers) == 3 else numbers * 3
    return Three((first, second, third))


def three_above_zero(text: str) -> Three:
    """`three`, to divide by."""
    numbers = three(text)
    if min(numbers) < 1e-6:
        raise typer.BadParameter(f"expected numbers above zero, got {text!r}")
    return numbers


Mean = Annotated[
    Three | None,
    typer.Option(parser=three, metavar="NUMBERS", help="127.5, or three: subtracted from 0..255."),
]
Std = Annotated[
    Three | None,
    typer.Option(
        parser=three_above_zero, metavar="NUMBERS", help="127.5, or three: then divided by."
    ),
]


@dataclass(frozen=True, slots=True)
class Pixels:
    """How a network wants its pixels: three options of every verb that takes one in."""

    color: Annotated[
        ColorName | None,
        typer.Option(help="Order of the input's channels; default: as its family or file says."),
    ] = None
    mean: Mean = None
    std: Std = None


GalleryFolder = Annotated[
    Path | None,
    typer.Option(
        "--gallery", help="The gallery's folder; default: $VISAVIS_GALLERY, or your data."
    ),
]


class Precision(StrEnum):
    """What models compute in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"


class Runtime(StrEnum):
    """What runs models."""

    auto = "auto"
    openvino = "openvino"
    onnxruntime = "onnxruntime"


PrecisionName = Annotated[
    Precision, typer.Option("--precision", help="auto: bfloat16 to embed, where the CPU has it.")
]
RuntimeName = Annotated[
    Runtime, typer.Option("--runtime", help="auto: OpenVINO on a CPU, ONNX Runtime on CUDA.")
]


@dataclass(frozen=True, slots=True)
class Where:
    """Where models run, and in what: three options of every verb that uses models."""

    device: DeviceName = "auto"
    precision: PrecisionName = Precision.auto
    runtime: RuntimeName = Runtime.auto

    def for_one(self) -> "Device":
        """The library's `Device` for one photo at a time."""
        from visavis.runtime import Device

        return Device(self.device, runtime=self.runtime.value, precision=self.precision.value)

    def for_many(self) -> "Device":
        """The library's `Device` for many photos side by side."""
        return self.for_one().for_many()


class Failures:
    """The items of a batch that failed, and why; the others are not affected."""

    def __init__(self) -> None:
        self.items: list[dict[str, str]] = []

    def add(self, path: Path, error: "VisavisError") -> None:
        """Keep an item and its error, and print the error on stderr."""
        reason = line(error)
        self.items.append({"path": str(path), "error": reason})
        print(f"visavis: {reason}", file=sys.stderr)

    def exit(self, items: int) -> None:
        """Exit 2 where the one item failed, 3 where some of a batch did."""
        if self.items:
            raise typer.Exit(2 if items == 1 else 3)


def line(error: "VisavisError") -> str:
    """What is wrong and how to mend it, in one line, with the name of the option that mends it."""
    option = f" (--{error.option.replace('_', '-')})" if error.option else ""
    return " ".join(f"{error}{option}".split())


def device_of(name: str, precision: Precision, runtime: Runtime) -> "Device":
    """The options as the library wants them."""
    from visavis.runtime import Device

    return Device(name, runtime=runtime.value, precision=precision.value)


def open_gallery(folder: Path | None, *, create: bool = True) -> "Gallery":
    """The gallery that is meant."""
    from visavis.gallery import default_gallery
    from visavis.gallery import open_gallery as open_folder

    return open_folder(folder or default_gallery(), create=create)


def warn_quarantined(gallery: "Gallery", model: str) -> None:
    """Name the templates that are damaged: they are not matched."""
    for one in gallery.quarantined(model):
        print(
            f"visavis: a template of person {one.person} is {one.reason}: it is left out; "
            "enrol the photo again",
            file=sys.stderr,
        )


def below(path: Path, paths: list[Path]) -> Path:
    """The path below the folder that all share, so that two photos of one name stay apart."""
    shared = os.path.commonpath([other.absolute().parent for other in paths])
    return path.absolute().relative_to(shared)


def drawing(folder: Path, path: Path, paths: list[Path]) -> Path:
    """Where one of many photos is drawn."""
    return folder / f"{below(path, paths)}.png"


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))


def print_answer(answer: Shown, as_json: bool) -> None:
    """One answer on stdout: its document, or its lines."""
    document, lines = answer
    if as_json:
        print_json(document)
    else:
        print("\n".join(lines))


def print_images(answers: Iterable[tuple[Path, Shown]], failures: Failures, as_json: bool) -> None:
    """Each photo's lines as they come, or all documents in one, with what failed."""
    images: list[dict[str, Any]] = []
    for _, (document, lines) in answers:
        if as_json:
            images.append(document)
        else:
            print("\n".join(lines))
    if as_json:
        print_json({"images": images, "errors": failures.items})


def present(document: Any, lines: Iterable[str], *, json: bool) -> None:
    """An answer: the document alone, or the lines for people."""
    if json:
        print_json(document)
        return
    for text in lines:
        print(text)


def workers() -> int:
    """How many photos are worked on at once: two a core, so that one decodes while one infers."""
    from visavis.runtime import cores

    return 2 * cores()


def each(
    work: Callable[[Path], T], paths: list[Path], failures: Failures, *, label: str
) -> Iterator[tuple[Path, T]]:
    """Each photo with its answer, in order, several worked on at once, with a bar.

    A photo that fails is added to `failures` and left out.
    """
    from visavis.batch import in_order

    answers = in_order(work, paths, workers=workers())
    yield from shown(answers, len(paths), failures, label=label)


def shown(
    answers: "Iterable[tuple[Path, T | VisavisError]]",
    total: int,
    failures: Failures,
    *,
    label: str,
) -> Iterator[tuple[Path, T]]:
    """Each photo with its answer, with a bar. Those that failed are noted and left out."""
    from visavis.errors import VisavisError

    for path, answer in progress(answers, total=total, label=label):
        if isinstance(answer, VisavisError):
            failures.add(path, answer)
        else:
            yield path, answer


def progress(items: Iterable[T], *, total: int, label: str) -> Iterator[T]:
    """The items, with a bar on stderr if that is a terminal and more than a second is left."""
    if not sys.stderr.isatty():
        yield from items
        return
    yield from _with_bar(items, total, label)


def bar(total: int, label: str) -> Callable[[Iterable[T]], Iterator[T]]:
    """`progress` as a function of the items, for a library function that goes through them."""
    return lambda items: progress(items, total=total, label=label)


watch = bar


def _with_bar(items: Iterable[T], total: int, label: str) -> Iterator[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    display = Progress(*columns, console=Console(stderr=True), transient=True)
    task = display.add_task(label, total=total)
    started, shown = time.perf_counter(), False
    try:
        for done, item in enumerate(items):
            yield item
            ahead = (time.perf_counter() - started) / (done + 1) * (total - done - 1)
            if not shown and ahead > PATIENCE:
                display.start()
                shown = True
            display.update(task, completed=done + 1)
    finally:
        display.stop()
