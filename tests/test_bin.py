"""InsightFace's .bin: every pickle that it may be, none that runs anything, packed and read."""

import builtins
import contextlib
import json
import os
import pickle
import time
import tracemalloc
from hashlib import sha256
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made import face
from PIL import Image as Pillow

from visavis.cli.dataset import _aligner
from visavis.dataset import bin_bytes, open_tree, read_bin, read_pairs
from visavis.dataset.bin import as_it_is, inspect_bin, pack_pairs, survey
from visavis.dataset.pickles import MOST_OPCODES, check_opcodes
from visavis.dataset.verification import make_bin
from visavis.errors import DatasetError, ImageError, NoFaceError

JPEG = b"\xff\xd8\xff\n\x00'one'\x80"  # with what texts and lines might stumble over
OTHER = b"\xff\xd8\xfftwo"
ROW, OTHER_ROW = np.frombuffer(JPEG, np.uint8), np.frombuffer(OTHER, np.uint8).copy()


@pytest.fixture
def bin_file(tmp_path):
    """Write bytes, or the pickle of anything, to a .bin."""

    def write(content, protocol=4):
        path = tmp_path / "set.bin"
        raw = content if isinstance(content, bytes) else pickle.dumps(content, protocol)
        path.write_bytes(raw)
        return path

    return write


def refused(path, message=None, **options):
    with pytest.raises(DatasetError, match=message) as caught:
        read_bin(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


FORMS = {
    "bytes": ([JPEG, OTHER, OTHER, JPEG], [True, False]),
    "tuples": ((JPEG, OTHER, OTHER, JPEG), (True, False)),
    "arrays": ([ROW, OTHER_ROW, OTHER_ROW, ROW], [True, False]),
    "columns of OpenCV": ([one.reshape(-1, 1) for one in (ROW, OTHER_ROW)] * 2, [True, False]),
    "numpy's own flags": ([JPEG, OTHER] * 2, [np.bool_(True), np.bool_(False)]),
    "an array of flags": [[JPEG, OTHER] * 2, np.array([True, False])],
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("form", FORMS)
def test_every_form_and_protocol_is_read(bin_file, form, protocol):
    tree, pairs = read_bin(bin_file(FORMS[form], protocol))
    assert tree.names() == ["00000.jpg", "00001.jpg", "00002.jpg", "00003.jpg"]
    assert pairs.names == tuple(tree.names())
    assert [tree.read(name) for name in tree.names()[:2]] == [JPEG, OTHER]
    assert {type(tree.read(name)) for name in tree.names()} == {bytes}
    assert (pairs.left.tolist(), pairs.right.tolist()) == ([0, 2], [1, 3])
    assert (pairs.same.tolist(), pairs.lines.tolist()) == ([True, False], [1, 2])
    assert (pairs.labels, pairs.skipped, pairs.fold.tolist()) == (None, 0, [0, 0])


def test_modules_are_known_by_their_old_names_too(bin_file):
    for protocol in (0, 2, 4, 5):
        raw = pickle.dumps(FORMS["arrays"], protocol)
        if protocol < 4:
            raw = raw.replace(b"numpy._core", b"numpy.core")
        else:  # each name with its length before it, and the frame with its own
            raw = raw.replace(b"\x16numpy._core.multiarray", b"\x15numpy.core.multiarray")
            raw = raw.replace(b"\x13numpy._core.numeric", b"\x12numpy.core.numeric")
            size = int.from_bytes(raw[3:11], "little") - 1
            raw = raw[:3] + size.to_bytes(8, "little") + raw[11:]
        assert b"numpy._core" not in raw
        tree, _ = read_bin(bin_file(raw))
        assert tree.read("00000.jpg") == JPEG


# What Python 2 wrote, by hand from its documentation: ([jpeg, array], [True]).
PYTHON_2 = (
    b"\x80\x02"
    b"]q\x01(U\x06\xff\xd8\xff\n\x80'q\x02"  # a list; its first picture, a string of 6 bytes
    b"cnumpy.core.multiarray\n_reconstruct\nq\x03"
    b"cnumpy\nndarray\nq\x04K\x00\x85U\x01b\x87Rq\x05"  # _reconstruct(ndarray, (0,), 'b')
    b"(K\x01K\x03\x85"  # version 1, shape (3,)
    b"cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07"  # dtype('u1', 0, 1)
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    b"\x89U\x03\xff\xd8\xfftb"  # not Fortran's order, and the bytes
    b"e]q\x08\x88a\x86q\x09."
)
PYTHON_2_TEXT = b"((lp1\nS'\\xff\\xd8\\n'\np2\naS'\\x00\"\\''\np3\na(lp4\nI01\natp5\n."


@pytest.mark.parametrize(
    ("raw", "pictures"),
    [
        (PYTHON_2, [b"\xff\xd8\xff\n\x80'", b"\xff\xd8\xff"]),
        (PYTHON_2_TEXT, [b"\xff\xd8\n", b"\x00\"'"]),
    ],
)
def test_python_2_golden(bin_file, raw, pictures):
    loaded = pickle.loads(raw, encoding="bytes")
    assert [bytes(one) for one in loaded[0]] == pictures  # else the golden bytes are wrong
    tree, pairs = read_bin(bin_file(raw))
    assert [tree.read(name) for name in pairs.names] == pictures
    assert pairs.same.tolist() == [True]


@pytest.mark.parametrize(
    ("count", "fold"),
    [(1, [0]), (9, [0] * 9), (10, [*range(10)]), (20, [f for f in range(10) for _ in (0, 1)])],
)
def test_folds_are_ten_in_a_row_or_one(bin_file, count, fold):
    _, pairs = read_bin(bin_file(([JPEG] * 2 * count, [True] * count)))
    assert pairs.fold.tolist() == fold
    assert len(set(pairs.names)) == 2 * count  # of one picture too, each place is a row


class Calls:
    """A pickle that calls something when it is loaded."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


class Anything:
    pass


NEST = []
for _ in range(200):
    NEST = [NEST, NEST]

HOSTILE = {
    "os.system": (Calls(os.system, "touch owned"), "posix.system|nt.system"),
    "eval": (Calls(builtins.eval, "open('owned', 'w')"), "eval"),
    "exec within": (([JPEG, Calls(exec, "open('owned', 'w')")], [True]), "exec"),
    "in the flags": (([JPEG, JPEG], [Calls(print, "owned")]), "print"),
    "numpy.load": (Calls(np.load, "owned.npy"), "load"),
    "getattr": (Calls(getattr, "", "join"), "getattr"),
    "bytearray": (([bytearray(9), JPEG], [True]), "bytearray"),
    "an object": (
        ([Anything(), JPEG], [True]),
        "'(copy_reg._reconstructor|test_bin.Anything)', which no list",
    ),
    "objects": (([np.array([None, 1]), JPEG], [True]), "dtype 'O8'|opcode"),
    "floats": (([np.zeros(3), JPEG], [True]), "uint8 or bool, got dtype 'f8'"),
    "a plane": (([np.zeros((3, 4), np.uint8), JPEG], [True]), "an array of one axis"),
    "a float": (([JPEG, JPEG], [np.float64(1)]), "dtype 'f8'"),
    "a byte": (([JPEG, JPEG], [np.uint8(1)]), "single values to be bool"),
    "a dictionary": ({"pictures": 1}, "opcode EMPTY_DICT|opcode DICT"),
    "a set": (({1, 2}, [True]), "opcode|set"),
    "a nest": ((NEST, [True]), "list of 2|two pictures for each flag"),
    "nested": (([NEST, JPEG], [True]), "pair 1: .*list of 2"),
    "codec": (Calls(__import__("codecs").encode, "6f", "hex"), "text in latin1"),
    "no latin1": (Calls(__import__("codecs").encode, "\u0100", "latin1"), "latin-1"),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.timeout(20)
def test_hostile_pickles_are_refused_and_nothing_is_run(
    bin_file, tmp_path, monkeypatch, capfd, name, protocol
):
    monkeypatch.chdir(tmp_path)
    content, message = HOSTILE[name]
    refused(bin_file(content, protocol), message)
    assert [path.name for path in tmp_path.iterdir()] == ["set.bin"]
    assert "owned" not in capfd.readouterr().out


DTYPE = b"cnumpy\ndtype\n(S'u1'\nI0\nI1\ntR"
RECONSTRUCT = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR"
FROMBUFFER = b"cnumpy._core.numeric\n_frombuffer\n"
RAW = {
    "nothing": (b"", "damaged"),
    "no pickle": (b"\x89PNG\r\n\x1a\n", "opcode"),
    "unknown opcode": (b"\xf0.", "opcode 0xf0 at byte 0"),
    "persistent": (b"Pname\n.", "opcode PERSID"),
    "extension": (b"\x82\x01.", "opcode EXT1"),
    "instance": (b"(ios\nsystem\n.", "opcode INST"),
    "buffers": (b"\x97.", "opcode NEXT_BUFFER"),
    "memo far ahead": (b"Nr\xff\xff\xff\x7f.", "memo place 2147483647 after 2 opcodes"),
    "memo in text": (b"Np99999999\n.", "memo place 99999999"),
    "memo below": (b"Np-1\n.", "memo place -1"),
    "memo of nothing": (b"h\x07.", "damaged"),
    "absurd length": (b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.", "cut short"),
    "absurd array": (b"\x96\x00\x00\x00\x00\x00\x00\x00\x7f.", "cut short"),
    "absurd frame": (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\xff.", "cut short"),
    "across a frame": (b"\x95\x02" + bytes(7) + b"C\x02ab.", "lies in two frames"),
    "frame in a frame": (b"\x95\x0a" + bytes(7) + b"\x95\x01" + bytes(7) + b"N.", "two frames"),
    "empty stack": (b"R.", "damaged"),
    "no mark": (b"t.", "damaged"),
    "digits": (b"I" + b"9" * 5000 + b"\n.", "damaged"),
    "future": (b"\x80\xff.", "protocol"),
    "calls bytes": (b"C\x01a)R.", "not callable"),
    "calls a result": (b"%b)R." % DTYPE, "not callable"),
    "builds on a function": (b"cnumpy\ndtype\n(NNtb.", "damaged|expected a list"),
    "builds on ndarray": (b"cnumpy\nndarray\n)b.", "damaged|state"),
    "appends to an array": (b"%bNa." % RECONSTRUCT, "append"),
    "array of no state": (b"((l%ba%baI01\nal." % (RECONSTRUCT, b"N"), "damaged|expected"),
    "state of one": (b"%b(I1\ntb." % RECONSTRUCT, "an array of one axis"),
    "too many bytes": (b"%b(I1\n(I9\nt%bI0\nS'ab'\ntb." % (RECONSTRUCT, DTYPE), "one axis"),
    "no shape": (b"%b(I1\nI9\n%bI0\nS'ab'\ntb." % (RECONSTRUCT, DTYPE), "one axis"),
    "text for bytes": (b"%b(I1\n(I2\nt%bI0\nVab\ntb." % (RECONSTRUCT, DTYPE), "one axis"),
    "no dtype": (b"%b(I1\n(I2\ntS'u1'\nI0\nS'ab'\ntb." % RECONSTRUCT, "one axis"),
    "buffer of another length": (b"%b(S'ab'\n%b(I3\ntS'C'\ntR." % (FROMBUFFER, DTYPE), "one axis"),
    "flags of numbers": (b"((lS'a'\naS'b'\na(lI1\nat.", "pair 1: expected True or False, got int"),
}


@pytest.mark.parametrize("name", RAW)
def test_raw_hostile_bytes_are_refused(bin_file, name):
    raw, message = RAW[name]
    refused(bin_file(raw), message)


def test_a_file_cut_short_anywhere_is_refused(bin_file):
    for form in ("bytes", "arrays"):
        for protocol in range(6):
            raw = pickle.dumps(FORMS[form], protocol)
            for size in range(0, len(raw), 7):
                refused(bin_file(raw[:size]))


@given(st.data())
def test_a_file_with_changed_bytes_is_read_or_refused(tmp_path_factory, data):
    raw = bytearray(pickle.dumps(FORMS["arrays"], data.draw(st.integers(0, 5))))
    for place in data.draw(st.lists(st.integers(0, len(raw) - 1), min_size=1, max_size=5)):
        raw[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "changed.bin"
    path.write_bytes(raw)
    with contextlib.suppress(DatasetError):  # and nothing else is raised
        read_bin(path)


def test_one_text_encoded_many_times_takes_no_more_than_the_file(bin_file):
    text = b"X\x40\x42\x0f\x00" + b"a" * 1_000_000
    again = b"h\x01h\x02R0"  # encode it, and throw the bytes away
    raw = b"\x80\x02c_codecs\nencode\nq\x01" + text + b"X\x06\x00\x00\x00latin1\x86q\x02"
    started = time.perf_counter()
    refused(bin_file(raw + again * 100_000 + b"."), "texts are longer than the file")
    assert time.perf_counter() - started < 5


@pytest.mark.slow
def test_memory_is_held_for_far_too_many_opcodes(bin_file):
    with pytest.raises(ValueError, match="over 5000000 opcodes"):
        check_opcodes(b"]" * (MOST_OPCODES + 1))
    path = bin_file(b"]" * 100_000 + b".")
    tracemalloc.start()
    refused(path, "list of pictures")
    assert tracemalloc.get_traced_memory()[1] < 30_000_000
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([JPEG], "a list of pictures and one of flags, got list of 1"),
        ((JPEG,), "a list of pictures and one of flags, got tuple of 1"),
        ("set", "a list of pictures and one of flags, got str of 3"),
        (None, "got NoneType"),
        ((JPEG, [True]), "a list of pictures, got bytes of 11"),
        (([JPEG, JPEG], True), "flags that are True or False, got bool"),
        (([JPEG, JPEG], ROW), "flags that are True or False, got an array of 11 uint8"),
        (([JPEG, JPEG], [True, False]), "got 2 pictures and 2 flags"),
        (([JPEG] * 3, [True]), "got 3 pictures and 1 flags"),
        (([], []), "got 0 pictures and 0 flags"),
        (([JPEG] * 4, [True, 1]), "pair 2: expected True or False, got int"),
        (([JPEG] * 4, [None, True]), "pair 1: expected True or False, got NoneType"),
        (([JPEG] * 3 + [b""], [True] * 2), "pair 2: expected an encoded picture.* got bytes of 0"),
        (([JPEG] * 3 + ["a"], [True] * 2), "pair 2: .*got str of 1: leave such pairs out$"),
        (([JPEG, np.array([True])], [True]), "pair 1: .* got an array of 1 bool"),
    ],
)
def test_a_malformed_set_says_what_came(bin_file, content, message):
    refused(bin_file(content), message)


def test_pairs_without_a_picture_can_be_skipped(bin_file):
    content = ([JPEG, OTHER, b"", JPEG, OTHER, JPEG], [True, True, False])
    tree, pairs = read_bin(bin_file(content), skip_bad=True)
    assert (pairs.skipped, pairs.lines.tolist(), pairs.left.tolist()) == (1, [1, 3], [0, 4])
    assert pairs.where(5) == f"{tree.source}, line 3: 00005.jpg"
    refused(bin_file(([b"", b""], [True])), "none that can be used", skip_bad=True)


def test_what_is_no_file_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none.bin"):
        refused(path, "expected a .bin file of at most 4 GiB, got no such file")
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate((4 << 30) + 1)  # takes no room: it is one hole
    refused(big, "got 4,294,967,297 bytes")


def test_an_unknown_picture_is_an_error(bin_file):
    tree, _ = read_bin(bin_file(FORMS["bytes"]))
    with pytest.raises(DatasetError, match=r"set\.bin: no picture 00009\.jpg"):
        tree.read("00009.jpg")


@given(st.lists(st.tuples(st.binary(min_size=1), st.binary(min_size=1), st.booleans()), min_size=1))
def test_what_is_written_is_read_by_insightface_and_here(tmp_path_factory, pairs):
    pictures = [picture for left, right, _ in pairs for picture in (left, right)]
    raw = bin_bytes(pictures, [same for *_, same in pairs])
    bins, issame = pickle.load(BytesIO(raw), encoding="bytes")  # InsightFace's verification.py
    assert (bins, issame) == (pictures, [same for *_, same in pairs])
    path = tmp_path_factory.getbasetemp() / "written.bin"
    path.write_bytes(raw)
    tree, read = read_bin(path)
    assert [tree.read(name) for name in read.names] == pictures
    assert read.same.tolist() == issame


@pytest.mark.parametrize(("pictures", "same"), [([], []), ([JPEG], [True]), ([JPEG] * 2, [])])
def test_two_pictures_for_each_pair_are_wanted(pictures, same):
    with pytest.raises(DatasetError, match=f"two pictures for each pair, got {len(pictures)}"):
        bin_bytes(pictures, same)


@pytest.fixture
def people(tmp_path):
    """Crops of two people, a photo, a file that is no picture, and lists of them."""
    root = tmp_path / "people"
    for name, color, size in (
        ("Ann/Ann_0001.png", (200, 10, 10), (112, 112)),
        ("Ann/Ann_0002.jpg", (190, 10, 10), (112, 112)),
        ("Bob/Bob_0001.png", (10, 10, 200), (112, 112)),
        ("Bob/Bob_0002.bmp", (10, 10, 190), (112, 112)),
        ("Bob/Bob_0003.png", (10, 10, 180), (200, 100)),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Pillow.new("RGB", size, color).save(root / name)
    (root / "Bob/Bob_0004.jpg").write_bytes(b"no picture")
    (root / "pairs.txt").write_text("1 1\nAnn 1 2\nAnn 1 Bob 1\n")
    return root


def test_crops_keep_their_bytes(people):
    tree = open_tree(people)
    data, packed = pack_pairs(tree, read_pairs("1 1\nAnn 1 2\nAnn 1 Bob 1", tree), as_it_is)
    pictures, same = pickle.loads(data)
    expected = ["Ann/Ann_0001.png", "Ann/Ann_0002.jpg", "Ann/Ann_0001.png", "Bob/Bob_0001.png"]
    assert pictures == [tree.read(name) for name in expected]
    assert (same, packed.skipped) == ([True, False], 0)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (2, r"line 2: Bob/Bob_0002\.bmp of .*people: expected a JPEG or PNG crop, got BMP: save"),
        (3, r"line 2: Bob/Bob_0003\.png of .*: .*, got 200x100: align it first, or cut its faces"),
        (4, r"line 2: Bob/Bob_0004\.jpg of .*: picture: this is text"),
    ],
)
def test_what_is_no_crop_is_named_or_left_out(people, picture, message):
    tree = open_tree(people)
    pairs = read_pairs(f"1 1\nBob 1 {picture}\nAnn 1 2\n", tree)
    with pytest.raises(ImageError, match=message):
        pack_pairs(tree, pairs, as_it_is)
    data, packed = pack_pairs(tree, pairs, as_it_is, skip_bad=True)
    assert (len(pickle.loads(data)[0]), packed.skipped, packed.lines.tolist()) == (2, 1, [3])
    only = read_pairs(f"1 1\nBob 1 {picture}\n", tree)
    with pytest.raises(DatasetError, match="no pair has two pictures that can be used"):
        pack_pairs(tree, only, as_it_is, skip_bad=True)


def test_a_survey_counts_formats_and_names_what_cannot_be_decoded(people):
    kinds, bad = survey(open_tree(people), [f"Bob/Bob_000{n}" for n in ("1.png", "2.bmp", "4.jpg")])
    assert kinds == {"PNG 112x112": 1, "BMP 112x112": 1}
    assert [*bad] == ["Bob/Bob_0004.jpg"]


def test_alignment_takes_the_largest_face_and_is_lossless(people):
    photo = (people / "Bob/Bob_0003.png").read_bytes()
    crop = _aligner(lambda image: [face(0, 0, 100), face(100, 0, 50)])(photo)
    assert np.asarray(Pillow.open(BytesIO(crop)))[20:90, 20:90].reshape(-1, 3).tolist() == [
        [10, 10, 180]
    ] * (70 * 70)
    with pytest.raises(NoFaceError, match="no face found; --skip-bad"):
        _aligner(lambda image: [])(photo)


def test_make_and_inspect_on_the_command_line(people, run, tmp_path):
    out = tmp_path / "out.bin"
    code, printed, _ = run("dataset", "bin", "make", out, "--images", people)
    assert code == 0
    assert printed.startswith(f"{out}: 2 pairs, 1 same and 1 different, 1 folds, 0 skipped, ")
    code, printed, _ = run("dataset", "bin", "inspect", out)
    assert code == 0
    assert printed.splitlines()[1:3] == ["        3 PNG 112x112", "        1 JPEG 112x112"]
    code, printed, _ = run("dataset", "bin", "inspect", out, "--json")
    found = json.loads(printed)
    assert (found["pairs"], found["same"], found["folds"], found["undecodable"]) == (2, 1, 1, {})
    assert found["sha256"] == sha256(out.read_bytes()).hexdigest()


def test_make_reads_flagged_lists_and_says_so_in_json(people, run, tmp_path):
    listed = tmp_path / "pairs_label.txt"
    listed.write_text("Ann/Ann_0001.png Ann/Ann_0002.jpg 1\nAnn/Ann_0001.png Bob/Bob_0004.jpg 0\n")
    out = tmp_path / "out.bin"
    words = ("dataset", "bin", "make", out, "--images", people, "--pairs", listed, "--json")
    code, _, said = run(*words)
    assert (code, out.exists()) == (2, False)
    assert "pairs_label.txt, line 2: Bob/Bob_0004.jpg of " in said
    code, printed, _ = run(*words, "--skip-bad")
    found = json.loads(printed)
    assert (code, found["pairs"], found["skipped"]) == (0, 1, 1)
    assert found["bytes"] == out.stat().st_size


def test_inspect_exits_1_where_a_picture_cannot_be_decoded(bin_file, run):
    code, printed, _ = run("dataset", "bin", "inspect", bin_file(FORMS["bytes"]))
    assert code == 1
    assert "4 cannot be decoded, first 00000.jpg: " in printed


@pytest.mark.pack
def test_make_aligns_photos(run, portraits, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("obama obama2 1\nobama.jpg biden.jpg 0\n")
    out = tmp_path / "out.bin"
    words = ("--images", portraits, "--pairs", listed, "--align")
    code, printed, _ = run("dataset", "bin", "make", out, *words)
    assert (code, printed.startswith(f"{out}: 2 pairs, 1 same")) == (0, True)
    assert run("dataset", "bin", "inspect", out)[1].splitlines()[1] == "        4 PNG 112x112"


def test_a_bin_is_made_and_looked_into_without_the_command_line(people, tmp_path):
    out, seen = tmp_path / "out.bin", []

    def noted(names):
        for name in names:
            seen.append(name)
            yield name

    packed = make_bin(out, people, as_it_is, progress=noted)
    assert (len(packed.same), packed.skipped) == (2, 0)
    assert seen == ["Ann/Ann_0001.png", "Ann/Ann_0002.jpg", "Bob/Bob_0001.png"]
    contents = inspect_bin(out, progress=noted)
    assert seen[3:] == ["00000.jpg", "00001.jpg", "00002.jpg", "00003.jpg"]
    assert contents.pictures == {"PNG 112x112": 3, "JPEG 112x112": 1}
    assert contents.sha256 == sha256(out.read_bytes()).hexdigest()
