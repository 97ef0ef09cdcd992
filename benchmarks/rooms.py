"""How a command walks through the rooms: the calls from one file of visavis into another.

    python benchmarks/rooms.py -- verify a.jpg b.jpg
    PYTHONPATH=../older/src python benchmarks/rooms.py -- convert net.pth --out net.onnx

Runs the command in this process under a profiler. A change of room is a call, in any thread, of a
function in another file than the nearest caller of ours; what other packages do in between and
loading modules do not count. Loops blow the number of changes up with the data, so the places in
the code that change rooms are counted too, each once. Prints both, the files that were entered,
the ONNX files that our code parsed and serialised, and the changes from room to room.
"""

import argparse
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

import visavis
from visavis.cli import main as visavis_main

SOURCE = f"{Path(visavis.__file__).parent}/"
PROTOBUF = ("ParseFromString", "SerializeToString")
LOADING = "<module>"

changes: Counter[tuple[str, str]] = Counter()
places: set[tuple[str, int, str, str]] = set()  # file, line and callee's file and name
protobuf: Counter[str] = Counter()


def main() -> None:
    """Run the command that follows --, and print what was counted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=15, help="pairs of files to list")
    parser.add_argument("command", nargs="+", help="after --, as behind visavis")
    options = parser.parse_args()
    sys.argv = ["visavis", *options.command]
    threading.setprofile(watch)
    sys.setprofile(watch)
    try:
        visavis_main()
    except SystemExit as ended:
        print(f"exit code {ended.code or 0}")
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    entered = {file for pair in changes for file in pair}
    print(f"{changes.total():,} changes of room at {len(places):,} places of the code")
    print(f"{len(entered)} files: {', '.join(sorted(entered))}")
    print(", ".join(f"{protobuf[name]} {name}" for name in PROTOBUF))
    for (caller, callee), count in changes.most_common(options.pairs):
        print(f"{count:7,}  {caller} to {callee}")


def watch(frame: FrameType, event: str, callee: object) -> None:
    """Count one call: the profiler's hook."""
    file = ours(frame)
    if event == "c_call" and file and getattr(callee, "__name__", "") in PROTOBUF:
        protobuf[callee.__name__] += 1  # type: ignore[attr-defined]
    if event != "call" or not file or frame.f_code.co_name == LOADING:
        return
    caller = frame.f_back
    while caller is not None and not ours(caller):
        caller = caller.f_back
    if caller is None or caller.f_code.co_name == LOADING or ours(caller) == file:
        return
    changes[ours(caller), file] += 1
    places.add((ours(caller), caller.f_lineno, file, frame.f_code.co_name))


def ours(frame: FrameType) -> str:
    """The frame's file below visavis, or nothing."""
    path = frame.f_code.co_filename
    return path.removeprefix(SOURCE) if path.startswith(SOURCE) else ""


if __name__ == "__main__":
    main()
