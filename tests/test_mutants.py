"""The small faults that `make mutate` makes: which ones, in what, and how they are named."""

import subprocess
import sys

import mutate
import pytest
from mutants import functions_of, mutants_of


def faults(text):
    """What becomes of the first line that each fault changes."""
    return [mutant.after for mutant in mutants_of("made.py", text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 0.2", ["a = 0.21"]),
        ("a = 100", ["a = 105"]),
        ("a = 1", ["a = 0", "a = 2"]),
        ("a = b < c", ["a = b <= c", "a = b >= c"]),
        ("a = b == c", ["a = b != c"]),
        ("a = b in c", ["a = b not in c"]),
        ("a = b and c", ["a = (b or c)"]),
        ("a = not b", ["a = bool(b)"]),
        ("if a: b = c", ["if False: b = c"]),
        ("a = b if c else d", ["a = b if False else d", "a = b if True else d"]),
        ("a = b - c", ["a = (b + c)"]),
        ("a = b | c", ["a = (c)", "a = b"]),
        ("a = x.min()", ["a = x.max()"]),
        ("os.fsync(file)", ["pass"]),
        ("with lock: pass", ["with __import__('contextlib').nullcontext(): pass"]),
        ("a = f(x, y)", ["a = f(y, x)"]),
        ("a = x.sum(axis=0)", ["a = x.sum(axis=1)"]),
        ("a = shape[0]", ["a = shape[1]"]),
        ("a = cv2.INTER_AREA", ["a = cv2.INTER_NEAREST"]),
        ("a = 'synchronous=FULL'", ["a = 'synchronous=OFF'"]),
        ("a = True", ["a = False"]),
    ],
)
def test_each_kind_of_fault(text, expected):
    assert sorted(set(faults(text)) & set(expected)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "'''A docstring of 1 line'''",
        "raise ValueError(1)",
        "log.warning('%d of 3', 1)",
        "a = f'{b:4}'",
        "def f(a: Literal[1]) -> Annotated[int, 2]: ...",
        "@cache(1)\ndef f(): ...",
        "import a, b",
        "a = zip(b, strict=True)",
        "a = isinstance(b, c)",
        "a = b(c)",
    ],
)
def test_what_is_said_to_people_and_what_is_declared_is_left_alone(text):
    assert faults(text) == []


MOVED = "def f(a):\n    return a < 1\n"


def test_a_fault_keeps_its_name_and_its_place_in_a_sample_where_lines_move():
    before = mutants_of("made.py", MOVED)
    after = mutants_of("made.py", "import os\n\n\n" + MOVED)
    assert [one.name for one in before] == [one.name for one in after]
    assert [one.line + 3 for one in before] == [one.line for one in after]
    assert before[0].name.startswith("made.py | f | return a < 1 => return a ")
    names = [[one.name for one in mutate.sample(some, 0.5, 3)] for some in (before, after)]
    assert names[0] == names[1]
    assert len(names[0]) == 4  # the least of a module


def test_of_faults_that_read_alike_each_has_its_name():
    (first, second) = (one for one in mutants_of("made.py", "f(1)\nf(1)\n") if one.after == "pass")
    assert (first.name, second.name) == (
        "made.py |  | f(1) => pass",
        "made.py |  | f(1) => pass #1",
    )


@pytest.mark.parametrize(("line", "bounds"), [(1, None), (2, (2, 5)), (4, (4, 5)), (5, (4, 5))])
def test_the_function_around_a_line(line, bounds):
    assert functions_of("a = 1\n@cache\ndef f():\n    def g():\n        pass\n", line) == bounds


def test_the_table_is_of_modules_and_tests_that_are_there():
    for module, names in mutate.TESTS.items():
        assert (mutate.SOURCE / "visavis" / module).is_file(), module
        for file in mutate.tests_of(module):
            assert (mutate.ROOT / file).is_file(), names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "outcome", "code"),
    [
        ("_check(rows) => pass", "1 caught (100.0%; 0 of them by time), 0 survived", 0),
        ("UNIT_TOLERANCE = 0.00105", "0 caught (0.0%; 0 of them by time), 1 survived", 1),
    ],
)
def test_a_fault_is_caught_or_survives(fault, outcome, code):
    words = [sys.executable, mutate.__file__, "compare.py", "--workers", "1", "--only", fault]
    run = subprocess.run(words, check=False, capture_output=True, text=True)
    assert f"1 mutants: {outcome}" in run.stdout
    assert run.returncode == code
