"""Would the tests notice? A sample of small faults, each run against the quick tests near its code.

`make mutate` runs a share of all mutants (tests/mutants.py): each in a copy of the package, in a
process forked from one that has the heavy libraries loaded, against the tests that reach its
function, quickest first, until one fails. Which ones do is measured by a first run without a fault.
It fails where under 90 % are caught, or where one survives that tests/survivors.toml does not name.

A runner of our own, because mutmut leaves out what stands outside functions, cosmic-ray runs one
command for all modules in a new process each, and neither knows our slips: an axis, a swap of x and
y, what SQLite is told.
"""

import argparse
import compileall
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import time
import tomllib
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from mutants import Mutant, functions_of, mutants_of

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src"
SURVIVORS = ROOT / "tests" / "survivors.toml"
LAST = ROOT / "build" / "survivors"  # of the last run, by name: what --again runs
HEAVY = (
    "numpy cv2 PIL.Image openvino onnx sqlalchemy.dialects.sqlite pydantic cryptography typer rich "
    "hypothesis _pytest.assertion.rewrite"
).split()
LEAST_SCORE = 0.9
SHARE = 0.11  # of all mutants: over 300
LEAST_MUTANTS = 4  # of a module, if it has so many
# The quick tests of a module, of which those that reach a fault's function are run.
TESTS = {
    "decision.py": "decision agreement uncalibrated",
    "compare.py": "compare ensemble",
    "alignment.py": "alignment",
    "faces.py": "faces",
    "recognizer.py": "recognizer identify",
    "enrollment.py": "enrollment",
    "image.py": "image",
    "pack/check.py": "check",
    "convert/parity.py": "parity",
    "gallery/audit.py": "audit following people_seals altered",
    "gallery/backups.py": "backups",
    "gallery/erasure.py": "gallery_erasure sqlite",
    "gallery/following.py": "following gallery faiss",
    "gallery/gallery.py": "gallery audit sqlite transfer people_seals rotation",
    "gallery/index.py": "index",
    "gallery/people.py": "gallery people_seals",
    "gallery/samples.py": "gallery rotation",
    "gallery/settings.py": "vault gallery",
    "gallery/sqlite.py": "sqlite gallery_erasure backups",
    "gallery/tables.py": "sqlite gallery",
    "gallery/templates.py": "gallery following joined",
    "gallery/transfer.py": "transfer audit",
    "gallery/vault.py": "vault",
    "gallery/whole.py": "backups people_seals altered",
    **{
        f"metrics/{name}.py": name
        for name in (
            "acceptance bootstrap calibrate cohorts detection fusion identification likelihood "
            "tail verification"
        ).split()
    },
}
# Without those that run models: seconds for each mutant, and nothing that is near the fault.
MARKS = "not slow and not pack"
LATE, UNTESTED = -1, 5  # exit statuses: of one that took too long; pytest's own without tests
FAILED = re.compile("^FAILED [^:]*::(.*?)(?: - .*)?$", re.MULTILINE)
WAITS = 10.0  # times as long as without a fault may the tests take, and this many seconds more


@dataclass(frozen=True, slots=True)
class Known:
    """What a run without a fault shows of one test."""

    seconds: float
    reached: frozenset[tuple[str, int]]  # modules, and first lines of what was called in them
    spawns: bool  # starts a process, in which anything may be reached


@dataclass(frozen=True, slots=True)
class Ended:
    """How the tests took a mutant."""

    mutant: Mutant
    outcome: str  # caught, survived, timeout or untested
    by: str  # the test that failed first
    seconds: float


class Watch:
    """A plugin of pytest that notes how long each test takes, and what of the package it calls."""

    def __init__(self, package: Path) -> None:
        self._package = f"{package}{os.sep}"
        self._calls: set[tuple[str, int]] = set()
        self._at_import: set[tuple[str, int]] = set()
        self._fixtures: dict[str, set[tuple[str, int]]] = {}
        self._spawns = False
        self.tests: dict[str, dict[str, Any]] = {}
        self.shows_nothing: set[str] = set()  # failed or skipped already without a fault
        sys.addaudithook(self._audit)
        sys.settrace(self._trace)
        threading.settrace(self._trace)

    def _trace(self, frame: FrameType, event: str, argument: object) -> None:
        code = frame.f_code
        if code.co_filename.startswith(self._package):
            self._calls.add((code.co_filename[len(self._package) :], code.co_firstlineno))

    def _audit(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in ("subprocess.Popen", "os.posix_spawn", "os.fork", "os.exec"):
            self._spawns = True

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._at_import = set(self._calls)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        before, self._calls = self._calls, set()
        try:
            return (yield)
        finally:
            # Whoever shares the fixture later calls nothing of it, and rests on it all the same.
            self._fixtures.setdefault(fixturedef.argname, set()).update(self._calls)
            self._calls |= before

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: Any) -> Iterator[None]:
        self._calls, self._spawns, begin = set(), False, time.perf_counter()
        result = yield
        for name in getattr(item, "fixturenames", ()):
            self._calls |= self._fixtures.get(name, set())
        self.tests[item.nodeid] = {
            "seconds": time.perf_counter() - begin,
            "reached": sorted(self._calls | self._at_import),
            "spawns": self._spawns,
        }
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if not report.passed:
            self.shows_nothing.add(report.nodeid)


class Choice:
    """A plugin of pytest that runs the chosen tests in their order, and notes which one failed."""

    def __init__(self, tests: Sequence[str], note: Path) -> None:
        self._places = {test: place for place, test in enumerate(tests)}
        self._note = note

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = [item for item in items if item.nodeid in self._places]
        items.sort(key=lambda item: self._places[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._note.write_text(report.nodeid)


class Slot:
    """A copy of the package, and one process at a time that works on it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.package = folder, folder / "src" / "visavis"
        shutil.copytree(SOURCE / "visavis", self.package)
        compileall.compile_dir(str(self.package), quiet=1)
        self.child, self.deadline, self.begin = 0, 0.0, 0.0
        self.done: Callable[[int, float], None] = lambda code, seconds: None

    def start(self, work: Callable[[], int], *, most: float) -> None:
        """Run `work` in a process of its own, for at most so many seconds."""
        self.begin = time.perf_counter()
        self.deadline = self.begin + most
        sys.stdout.flush()
        self.child = os.fork()
        if self.child == 0:
            code = 3
            try:
                code = self._inside(work)
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                sys.stdout.flush()
                os._exit(code)

    def ended(self) -> int | None:
        """The process's exit status; None while it runs; LATE for one that took too long."""
        child, status = os.waitpid(self.child, os.WNOHANG)
        late = not child and time.perf_counter() > self.deadline
        if late:
            os.killpg(self.child, signal.SIGKILL)
            os.waitpid(self.child, 0)
        elif child:
            with suppress(ProcessLookupError):  # what it left running
                os.killpg(self.child, signal.SIGKILL)
        if child or late:
            self.child = 0
            shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        return LATE if late else os.waitstatus_to_exitcode(status) if child else None

    def _inside(self, work: Callable[[], int]) -> int:
        os.setsid()
        (self.folder / "tmp").mkdir(exist_ok=True)
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.environ |= {"PYTHONPATH": str(self.folder / "src"), "TMPDIR": str(self.folder / "tmp")}
        sys.path.insert(0, str(self.folder / "src"))
        tempfile.tempdir = None
        os.chdir(ROOT)
        return work()


def modules(wanted: Sequence[str]) -> list[str]:
    """The modules of the table that fit one of the patterns."""
    return sorted(path for path in TESTS if any(fnmatch(path, one) for one in wanted))


def tests_of(module: str) -> list[str]:
    """The files of its quick tests."""
    return [f"tests/test_{name}.py" for name in TESTS.get(module, "").split()]


def sample(mutants: Sequence[Mutant], share: float, seed: int) -> list[Mutant]:
    """A share of them by chance: the same ones, whatever else changes in their module."""
    count = max(LEAST_MUTANTS, round(share * len(mutants)))
    return sorted(mutants, key=lambda mutant: mutant.place(seed))[:count]


def run_pytest(files: Iterable[str], plugin: object, *words: str) -> int:
    """pytest on these files, without what makes two runs differ."""
    from hypothesis import settings

    settings.register_profile("mutate", deadline=None, derandomize=True)
    settings.load_profile("mutate")
    options = ["-q", "-m", MARKS, "-p", "no:cacheprovider", "-p", "no:xdist", *words]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # libraries are loaded already
    return int(pytest.main([*options, *files], plugins=[plugin]))


def watch(slot: Slot, file: str) -> int:
    """In a process of its own: run a file of tests without a fault, and note what it shows."""
    seen = Watch(slot.package)
    code = run_pytest([file], seen)
    sys.settrace(None)
    passed = {test: row for test, row in seen.tests.items() if test not in seen.shows_nothing}
    (slot.folder / "known").write_text(json.dumps(passed))
    return code


def watched(slots: list[Slot], files: Sequence[str]) -> dict[str, Known]:
    """Every quick test of these files that passes without a fault."""
    known: dict[str, Known] = {}

    def job(file: str) -> Job:
        def done(slot: Slot, code: int, seconds: float) -> None:
            log = (slot.folder / "log").read_text()
            if code not in (0, 1, 5):
                sys.exit(f"{file} cannot be run:\n{log}")
            for test in FAILED.findall(log):
                print(f"left out, because it fails without a fault: {file}::{test}")
            for test, row in json.loads((slot.folder / "known").read_text()).items():
                reached = frozenset((path, line) for path, line in row["reached"])
                known[test] = Known(row["seconds"], reached, row["spawns"])

        return lambda slot: slot.start(lambda: watch(slot, file), most=900), done

    run_all(slots, [job(file) for file in files])
    return known


Job = tuple[Callable[[Slot], None], Callable[[Slot, int, float], None]]


def run_all(slots: list[Slot], jobs: Iterable[Job]) -> None:
    """So many jobs at a time as there are slots."""
    waiting, running = list(reversed(list(jobs))), dict[int, Job]()
    while waiting or running:
        for number, slot in enumerate(slots):
            if number not in running and waiting:
                running[number] = waiting.pop()
                running[number][0](slot)
            elif number in running and (code := slot.ended()) is not None:
                running.pop(number)[1](slot, code, time.perf_counter() - slot.begin)
        time.sleep(0.01)


def chosen(mutant: Mutant, known: dict[str, Known]) -> list[str]:
    """The tests of a mutant's module that reach its function, quickest first."""
    files = tests_of(mutant.module)
    near = {test: row for test, row in known.items() if test.partition("::")[0] in files}
    bounds = functions_of((SOURCE / "visavis" / mutant.module).read_text(), mutant.line)
    if bounds is not None:
        lines = {(mutant.module, line) for line in range(bounds[0], bounds[1] + 1)}
        near = {test: row for test, row in near.items() if row.spawns or row.reached & lines}
    return sorted(near, key=lambda test: (near[test].spawns, near[test].seconds))


def attempt(slot: Slot, tests: Sequence[str]) -> int:
    """In a process of its own: run tests in this order until one fails."""
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    files = dict.fromkeys(test.partition("::")[0] for test in tests)
    return run_pytest(files, Choice(tests, slot.folder / "by"), "-x") if tests else UNTESTED


def tried(slots: list[Slot], mutants: Sequence[Mutant], known: dict[str, Known]) -> list[Ended]:
    """Each mutant against its tests."""
    ended: list[Ended] = []

    def job(mutant: Mutant) -> Job:
        tests = chosen(mutant, known)
        most = WAITS * (1 + sum(known[test].seconds for test in tests))

        def start(slot: Slot) -> None:
            put(slot.package / mutant.module, mutant.text)
            (slot.folder / "by").write_text("the import")
            slot.start(lambda: attempt(slot, tests), most=most)

        def done(slot: Slot, code: int, seconds: float) -> None:
            names = {LATE: "timeout", 0: "survived", UNTESTED: "untested"}
            by = (slot.folder / "by").read_text()
            shutil.copy2(SOURCE / "visavis" / mutant.module, slot.package / mutant.module)
            ended.append(Ended(mutant, names.get(code, "caught"), by, seconds))
            say(ended[-1], len(ended), len(mutants))

        return start, done

    run_all(slots, [job(mutant) for mutant in mutants])
    return ended


def put(path: Path, text: str) -> None:
    """Write a module, whose compiled form of before must not be taken for it."""
    path.write_text(text)
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()


def say(one: Ended, number: int, of: int) -> None:
    """A line for each mutant, as it ends."""
    mutant = one.mutant
    by = one.by if one.outcome == "caught" else mutant.name
    place = f"{mutant.module}:{mutant.line}"
    print(f"{number}/{of} {one.outcome:8} {one.seconds:5.1f} s  {place}  {mutant.kind}  {by}")


def named_survivors() -> dict[str, str]:
    """Mutants that may survive, by name, each with its reason."""
    rows = tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get("survivor", [])
    return {
        f"{row['module']} | {row.get('function', '')} | {row['before']} => {row['after']}"
        + (f" #{row['nth']}" if "nth" in row else ""): row["reason"]
        for row in rows
    }


def report(ended: Sequence[Ended], names: dict[str, str]) -> int:
    """Print the score and all that survived; the exit status."""
    outcomes = Counter(one.outcome for one in ended)
    caught = outcomes["caught"] + outcomes["timeout"]
    score = caught / max(1, len(ended))
    survivors = [one.mutant for one in ended if one.outcome in ("survived", "untested")]
    unnamed = [mutant for mutant in survivors if mutant.name not in names]
    LAST.parent.mkdir(exist_ok=True)
    LAST.write_text("".join(f"{mutant.name}\n" for mutant in unnamed))
    for mutant in sorted(survivors, key=lambda mutant: (mutant.module, mutant.line)):
        print(f"\nsrc/visavis/{mutant.module}:{mutant.line}  {mutant.kind}  in {mutant.function}")
        print(f"  - {mutant.before}\n  + {mutant.after}" + f"  #{mutant.nth}" * bool(mutant.nth))
        print(f"  {names.get(mutant.name, 'NOT NAMED: write an assertion, or its reason')}")
    for kind, count in sorted(Counter(one.mutant.kind for one in ended).items()):
        alive = sum(mutant.kind == kind for mutant in survivors)
        print(f"{kind:12} {count:4} mutants, {alive:3} survived")
    by_name = {one.mutant.name for one in ended if one.outcome == "caught"}
    for name in sorted(by_name & set(names)):
        print(f"caught by now, drop it from {SURVIVORS.name}: {name}")
    print(
        f"{len(ended)} mutants: {caught} caught ({score:.1%}; {outcomes['timeout']} of them by "
        f"time), {len(survivors)} survived, {len(unnamed)} of them not named"
    )
    return int(score < LEAST_SCORE or bool(unnamed))


def wanted(asked: argparse.Namespace, names: Iterable[str]) -> list[Mutant]:
    """The mutants that the command line asks for. Prints which of `names` are none any more."""
    again = set(LAST.read_text().splitlines()) if asked.again else None
    mutants: list[Mutant] = []
    for module in modules(asked.modules):
        every = mutants_of(module, (SOURCE / "visavis" / module).read_text())
        if again is not None:
            mutants += [mutant for mutant in every if mutant.name in again]
        elif asked.only:
            mutants += [mutant for mutant in every if asked.only in mutant.name]
        else:
            mutants += sample(every, asked.share, asked.seed)
        known = {mutant.name for mutant in every}
        for name in names:
            if name.startswith(f"{module} |") and name not in known:
                print(f"no longer there, drop it from {SURVIVORS.name}: {name}")
    return mutants


def main() -> int:
    """Run the sample that the command line asks for."""
    parser = argparse.ArgumentParser(description="Small faults, one by one: do the tests notice?")
    parser.add_argument("modules", nargs="*", default=["*"], help="patterns such as gallery/*")
    parser.add_argument("--share", type=float, default=SHARE, help="of all mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="mutants whose name has this text, all of them")
    parser.add_argument("--again", action="store_true", help="unnamed survivors of the last run")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked, names = parser.parse_args(), named_survivors()
    mutants = wanted(asked, names)
    files = dict.fromkeys(file for mutant in mutants for file in tests_of(mutant.module))
    converts = any(mutant.module.startswith("convert/") for mutant in mutants)
    for name in (*HEAVY, "torch", "onnxscript") if converts else HEAVY:
        with suppress(ImportError):
            import_module(name)
    with tempfile.TemporaryDirectory(prefix="mutate-", ignore_cleanup_errors=True) as folder:
        slots = [Slot(Path(folder) / str(number)) for number in range(asked.workers)]
        known = watched(slots, list(files))
        print(f"{len(known)} quick tests pass without a fault; {len(mutants)} mutants to come")
        return report(tried(slots, mutants, known), names)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)
    sys.exit(main())
