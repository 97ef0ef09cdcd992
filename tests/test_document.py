"""Documents to dataclasses and back; what does not fit is named."""

from dataclasses import dataclass

import pytest

from visavis.document import parse, to_bytes
from visavis.errors import DatasetError, PackError


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0


@dataclass(frozen=True)
class Shape:
    name: str
    start: Point
    corners: tuple[Point, ...] = ()
    note: str | None = None


SHAPE = Shape("dréi 三", Point(0.1, -2.5e-300), (Point(1.0), Point(2.0, 3.0)))


def test_a_document_comes_back_the_same():
    assert parse(Shape, to_bytes(SHAPE), "shape.json", PackError) == SHAPE


def test_a_document_is_the_same_bytes_for_the_same_values():
    expected = '{\n "name": "é",\n "start": {\n  "x": 1.0,\n  "y": 0.0\n },\n'
    expected += ' "corners": [],\n "note": null\n}\n'
    assert to_bytes(Shape("é", Point(1.0))) == expected.encode()


def test_what_has_a_default_may_be_left_out():
    assert parse(Shape, b'{"name": "a", "start": {"x": 1}}', "", PackError) == Shape("a", Point(1))


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('{"name": "a", "start": {"x": 1}, "colour": 2}', "s.json: colour: .*, got 2"),
        ('{"name": "a", "start": {"x": 1, "z": 2}}', r"s.json: start\.z: .*, got 2"),
        ('{"name": "a", "start": {"x": 1}, "corners": [{"x": 1, "z": 2}]}', r"corners\.0\.z: "),
        ('{"name": "a"}', "s.json: start: Field required$"),
        ('{"name": "a", "start": {"y": 1}}', r"s.json: start\.x: Field required$"),
        ('{"name": "a", "start": {"x": NaN}}', r"start\.x: .*finite number, got nan"),
        ('{"name": "a", "start": {"x": -Infinity}}', r"start\.x: .*finite number, got -inf"),
        ('{"name": "a", "start": {"x": 1e999}}', r"start\.x: .*finite number, got inf"),
        ('{"name": "a", "start": {"x": "far"}}', r"start\.x: .*valid number.*, got 'far'"),
        ('{"name": 7, "start": {"x": 1}}', "s.json: name: .*valid string, got 7"),
        ('{"name": "a", "start": {"x": 1}, "corners": 3}', "s.json: corners: .*, got 3"),
        ("[]", r"s.json: the document: .*object, got \[\]"),
        ("", "s.json: the document: Invalid JSON"),
        ('{"name": "a"', "s.json: the document: Invalid JSON"),
    ],
)
def test_what_does_not_fit_is_named(document, message):
    with pytest.raises(PackError, match=message):
        parse(Shape, document.encode(), "s.json", PackError)


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(PackError, match="the document: Invalid JSON"):
        parse(Shape, b'{"name": "\xff"}', "s.json", PackError)


def test_the_error_is_the_one_asked_for():
    with pytest.raises(DatasetError, match=r"pairs\.json: name: Field required"):
        parse(Shape, b"{}", "pairs.json", DatasetError)


def test_a_long_value_is_cut_short_in_the_message():
    document = b'{"name": ["%s"], "start": {"x": 1}}' % (b"a" * 10_000)
    with pytest.raises(PackError, match=r"name: .*got \['a{70,80}$"):
        parse(Shape, document, "s.json", PackError)
