"""How a command walks through the house: the calls from one file of visavis into another.

    python benchmarks/rooms.py -- verify a.jpg b.jpg
    python benchmarks/rooms.py --handing ModelProto,Form,bytes -- convert net.pth --out net.onnx
    PYTHONPATH=../older/src python benchmarks/rooms.py -- identify photo.jpg

Runs the command in this process under a profiler. A room is a file, or with `--folders` a folder. A
change of room is a call, in any thread, of a function in another room than the nearest caller of
ours; what other packages do in between does not count, nor does loading modules. Loops blow the
number of changes up with the data, so the places in the code that change rooms are counted too,
each once. `--handing` counts the calls alone that hand over an object of one of these classes, as
an argument or in a dataclass; bytes are those of at least 100,000. Prints both numbers, the rooms
that were entered, how often our code parsed and serialised protobuf, and the changes from room to
room.
"""

import argparse
import sys
import threading
from collections import Counter
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from types import FrameType

import visavis
from visavis.cli import main as visavis_main

SOURCE = f"{Path(visavis.__file__).parent}/"
PROTOBUF = ("ParseFromString", "SerializeToString")
LOADING = "<module>"
LARGE = 100_000  # bytes


@dataclass
class Walk:
    """What was counted."""

    handing: set[str]  # names of classes; empty: every call counts
    folders: bool  # whether a folder is a room, or each file
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    places: set[tuple[str, int, str, str]] = field(default_factory=set)
    protobuf: Counter[str] = field(default_factory=Counter)

    def watch(self, frame: FrameType, event: str, callee: object) -> None:
        """Count one call: the profiler's hook."""
        file = ours(frame)
        if event == "c_call" and file and getattr(callee, "__name__", "") in PROTOBUF:
            self.protobuf[callee.__name__] += 1  # type: ignore[attr-defined]
        if event != "call" or not file or frame.f_code.co_name == LOADING:
            return
        caller = frame.f_back
        while caller is not None and not ours(caller):
            caller = caller.f_back
        if caller is None or caller.f_code.co_name == LOADING:
            return
        rooms = self.room(ours(caller)), self.room(file)
        if rooms[0] == rooms[1]:
            return
        if self.handing and not any(self.holds(value) for value in arguments(frame)):
            return
        self.changes[rooms] += 1
        self.places.add((ours(caller), caller.f_lineno, file, frame.f_code.co_name))

    def room(self, file: str) -> str:
        """What a file counts for."""
        return file.split("/", maxsplit=1)[0] if self.folders else file

    def holds(self, value: object) -> bool:
        """Whether it is of such a class, or a dataclass with such a field."""
        parts = [value]
        if is_dataclass(value):
            parts += [getattr(value, one.name, None) for one in fields(value)]
        return any(
            type(part).__name__ in self.handing
            and (not isinstance(part, bytes) or len(part) >= LARGE)
            for part in parts
        )


def ours(frame: FrameType) -> str:
    """The frame's file below visavis, or nothing."""
    path = frame.f_code.co_filename
    return path.removeprefix(SOURCE) if path.startswith(SOURCE) else ""


def arguments(frame: FrameType) -> list[object]:
    """What a function was called with."""
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return [frame.f_locals.get(name) for name in names]


def main() -> None:
    """Run the command that follows --, and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--handing", default="", metavar="CLASSES", help="with commas")
    parser.add_argument("--folders", action="store_true", help="rooms are folders")
    parser.add_argument("--most", type=int, default=15, help="pairs of files to list")
    parser.add_argument("command", nargs="+", help="after --, as behind visavis")
    options = parser.parse_args()
    walk = Walk(set(filter(None, options.handing.split(","))), options.folders)
    sys.argv = ["visavis", *options.command]
    threading.setprofile(walk.watch)
    sys.setprofile(walk.watch)
    try:
        visavis_main()
    except SystemExit as ended:
        print(f"exit code {ended.code or 0}")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    show(walk, options.most)


def show(walk: Walk, most: int) -> None:
    """Print what was counted."""
    entered = sorted({file for pair in walk.changes for file in pair})
    print(f"{walk.changes.total():,} changes of room at {len(walk.places):,} places in the code")
    print(f"{len(entered)} rooms: {', '.join(entered)}")
    print(", ".join(f"{walk.protobuf[name]} {name}" for name in PROTOBUF))
    for (caller, callee), count in walk.changes.most_common(most):
        print(f"{count:7,}  {caller} to {callee}")


if __name__ == "__main__":
    main()
