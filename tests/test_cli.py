"""The command line as a user meets it: what it prints, writes, and with which code it exits."""

import json
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from visavis.dataset import open_tree, read_bin
from visavis.evaluate.protocols import CropSource
from visavis.image import read_image
from visavis.pack import Pack

pytestmark = pytest.mark.pack


def png_header(width: int, height: int) -> bytes:
    """A PNG of 1-bit zeros, compressed as any encoder would: a small file of many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        )

    size = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    rows = zlib.compress(bytes((width // 8 + 1) * height), 9)
    head = chunk(b"IHDR", size + b"\x01\x00\x00\x00\x00")
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_two_photos_of_one_person_match(run, portraits, tmp_path):
    sheet = tmp_path / "sheet.png"
    code, out, err = run(
        "verify", portraits / "obama.jpg", portraits / "obama2.jpg", "--draw", sheet
    )
    assert (code, err) == (0, "")
    assert out.startswith("match     similarity 0.7")
    assert "stranger pairs passes" in out
    assert "of same-person pairs are missed" in out
    assert str(sheet) in out
    assert np.asarray(Image.open(sheet)).shape[2] == 3


def test_two_people_do_not_match(run, portraits):
    code, out, _ = run("verify", portraits / "obama.jpg", portraits / "biden.jpg", "--json")
    document = json.loads(out)
    assert (code, document["outcome"]) == (1, "no_match")
    assert document["similarity"] < 0.35
    assert document["threshold"] > document["review_threshold"] > 0.3
    assert 0 < document["false_match_rate"] <= document["false_match_rate_upper"] <= 1e-4
    assert document["calibration"]["different_pairs"] > 20_000_000
    assert [face["chosen"] for face in document["faces"]] == [True, True]


@pytest.mark.parametrize(
    ("policy", "threshold"),
    [("convenience", 0.375), ("standard", 0.4325), ("strict", 0.4875), ("1e-2", 0.31)],
)
def test_a_policy_sets_the_threshold(run, portraits, policy, threshold):
    photos = portraits / "obama.jpg", portraits / "obama2.jpg"
    _, out, _ = run("verify", *photos, "--policy", policy, "--json")
    assert json.loads(out)["threshold"] == threshold


def test_a_rate_beyond_the_calibration_is_refused(run, portraits):
    photos = portraits / "obama.jpg", portraits / "obama2.jpg"
    code, out, err = run("verify", *photos, "--policy", "1e-8")
    assert (code, out) == (2, "")
    assert "the strictest they support is" in err


def group(portraits: Path, path: Path) -> Path:
    """One picture of two people of about one size."""
    sheet = Image.new("RGB", (1000, 540))
    cuts = {"obama": (250, 0, 750, 540), "biden": (285, 20, 885, 668)}  # faces 61 % of the height
    for column, (name, cut) in enumerate(cuts.items()):
        face = Image.open(portraits / f"{name}.jpg").crop(cut).resize((500, 540))
        sheet.paste(face, (500 * column, 0))
    sheet.save(path)
    return path


def test_face_says_which_one_is_meant(run, portraits, tmp_path):
    both = group(portraits, tmp_path / "both.png")
    code, _, err = run("verify", portraits / "obama.jpg", both)
    assert (code, "(--face)" in err, "both.png" in err) == (2, True, True)
    outcomes = [
        json.loads(run("verify", portraits / "obama.jpg", both, "--face", n, "--json")[1])[
            "outcome"
        ]
        for n in (1, 2)
    ]
    assert sorted(outcomes) == ["match", "no_match"]


def test_two_numbers_are_one_for_each_photo(run, portraits, tmp_path):
    both = group(portraits, tmp_path / "both.png")
    words = ("verify", both, both, "--json", "--face")
    document = json.loads(run(*words, "1, 2")[1])
    assert [face["chosen"] for face in document["faces"]] == [True, False, False, True]
    assert run(*words, "2,2")[0] == 0
    code, out, err = run(*words, "1")
    assert (code, json.loads(out)["error"]["code"]) == (2, "usage")
    assert "both photos show several faces" in err


@pytest.mark.parametrize("number", ["x", "1,2,3", "1,", "-1", "1.5"])
def test_a_face_is_a_number_or_two(run, portraits, number):
    photo = portraits / "obama.jpg"
    code, out, err = run("verify", photo, photo, "--face", number)
    assert (code, out) == (2, "")
    assert "expected N or N,M" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "expected another photo, or --person"),
        (["b.jpg", "--person", "Ann"], "expected another photo, or --person"),
        (["--person", "Ann", "--draw", "a.png"], "--draw needs two photos"),
    ],
)
def test_what_a_photo_is_compared_with_must_be_clear(run, words, message):
    code, out, err = run("verify", "a.jpg", *words)
    assert (code, out) == (2, "")
    assert message in err


def test_verify_evaluate_and_dataset_cut_one_crop_of_a_large_photo(
    run, portraits, recognizer, tmp_path
):
    large = Image.new("RGB", (4000, 2500), (90, 120, 150))  # its face is small as it is scanned
    large.paste(Image.open(portraits / "obama.jpg").resize((600, 750)), (1200, 700))
    for name in ("Ann/Ann_0001.jpg", "Ann/Ann_0002.jpg", "Bob/Bob_0001.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        large.save(tmp_path / name, quality=90)
    (tmp_path / "pairs.txt").write_text("1 1\nAnn 1 2\nAnn 1 Bob 1\n")
    pairs = ("--images", tmp_path, "--pairs", tmp_path / "pairs.txt", "--align")
    assert run("dataset", "bin", "make", tmp_path / "one.bin", *pairs)[0] == 0
    tree, packed = read_bin(tmp_path / "one.bin")
    photo = tmp_path / "Ann" / "Ann_0001.jpg"
    verified = recognizer.verify(photo, photo).crops[:1]
    evaluated, _ = CropSource(open_tree(tmp_path), recognizer.detect).crop("Ann/Ann_0001.jpg")
    np.testing.assert_array_equal(evaluated, verified)
    np.testing.assert_array_equal(read_image(tree.read(packed.names[0])), verified[0])


def test_detect_prints_and_draws_every_face(run, portraits, tmp_path):
    both = group(portraits, tmp_path / "both.png")
    code, out, _ = run("detect", both, portraits / "biden.jpg", "--draw", tmp_path / "drawn")
    assert code == 0
    assert "both.png: 2 faces" in out
    assert "biden.jpg: 1 face · drawn: " in out
    assert len(list((tmp_path / "drawn").rglob("*.png"))) == 2


def test_a_batch_goes_on_past_a_bad_photo(run, portraits, tmp_path):
    shutil.copy(portraits / "biden.jpg", tmp_path / "b.jpg")
    (tmp_path / "a.jpg").write_bytes(b"no picture")
    code, out, err = run("detect", tmp_path, "--json")
    document = json.loads(out)
    assert code == 3
    assert [Path(image["path"]).name for image in document["images"]] == ["b.jpg"]
    assert [Path(error["path"]).name for error in document["errors"]] == ["a.jpg"]
    assert err.count("\n") == 1


def test_embed_writes_a_row_for_each_photo(run, portraits, tmp_path):
    out_file = tmp_path / "rows.npz"
    code, out, _ = run("embed", portraits / "obama.jpg", portraits / "biden.jpg", "--out", out_file)
    with np.load(out_file) as file:
        rows = dict(file)
    assert (code, rows["embeddings"].shape) == (0, (2, 128))
    np.testing.assert_allclose(np.linalg.norm(rows["embeddings"], axis=1), 1, atol=1e-5)
    assert [Path(path).name for path in rows["paths"]] == ["obama.jpg", "biden.jpg"]
    assert str(rows["model"]) in out


def test_predict_is_embed(run, portraits, tmp_path):
    assert run("predict", portraits / "biden.jpg", "--out", tmp_path / "x.npy")[0] == 0
    assert np.load(tmp_path / "x.npy").shape == (1, 128)


def test_pack_list_and_info_state_licence_and_training_data(run):
    assert "commercial use: yes" in run("pack", "list")[1]
    code, out, _ = run("pack", "info", "default")
    assert code == 0
    for words in ("MIT", "Apache-2.0", "WIDER FACE", "web", "stranger pairs"):
        assert words in out
    document = json.loads(run("pack", "info", "--json")[1])
    assert document["detector"]["decoder"] == "yunet"


def test_evaluate_reads_pairs_and_counts_failures(run, portraits, tmp_path):
    for person, names in {"Obama": ("obama", "obama2"), "Biden": ("biden", "biden")}.items():
        for number, name in enumerate(names, start=1):
            target = tmp_path / "set" / person / f"{person}_{number:04d}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(portraits / f"{name}.jpg", target)
    pairs = "1\t2\nObama\t1\t2\nBiden\t1\t2\nObama\t1\tBiden\t1\nObama\t2\tBiden\t2\n"
    (tmp_path / "set" / "pairs.txt").write_text(pairs)
    code, out, _ = run("evaluate", "--images", tmp_path / "set", "--align", "--json")
    document = json.loads(out)
    assert (code, document["pairs"], document["accuracy"]) == (0, 4, 1.0)
    assert document["failures_to_acquire"] == 0


def bad_inputs(folder: Path, portraits: Path) -> dict[str, tuple[Path, str]]:
    """Name to a photo that is none, and what must be said about it."""
    jpeg = (portraits / "obama.jpg").read_bytes()
    contents = {
        "text.jpg": (b"this is no picture", "this is text, no picture"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "cannot decode"),
        "empty.jpg": (b"", "this is empty"),
        "bomb.png": (png_header(30_000, 30_000), "30000x30000 pixels, the limit is"),
    }
    cases = {}
    for name, (data, words) in contents.items():
        (folder / name).write_bytes(data)
        cases[name] = (folder / name, words)
    Image.new("RGB", (640, 480), (90, 120, 150)).save(folder / "wall.png")
    (folder / "folder.jpg").mkdir()
    return cases | {
        "no such file": (folder / "gone.jpg", "no such file"),
        "directory": (folder / "folder.jpg", "expected a picture file, got a directory"),
        "no face": (folder / "wall.png", "no face found"),
    }


NAMES = ["text.jpg", "cut.jpg", "empty.jpg", "bomb.png", "no such file", "directory", "no face"]


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_photo_is_one_line_that_names_it(run, portraits, tmp_path, name):
    path, words = bad_inputs(tmp_path, portraits)[name]
    code, out, err = run("verify", portraits / "obama.jpg", path)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"visavis: {path}")
    assert words in err


def test_a_pack_with_a_flipped_bit_is_refused(run, portraits, pack: Pack, tmp_path):
    damaged = shutil.copytree(pack.folder, tmp_path / "pack")
    data = bytearray((damaged / "embedder.onnx").read_bytes())
    data[len(data) // 2] ^= 1
    (damaged / "embedder.onnx").write_bytes(data)
    photos = portraits / "obama.jpg", portraits / "obama2.jpg"
    code, out, err = run("verify", *photos, "--pack", damaged, "--precision", "float32")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "wanted sha256" in err
    assert "found" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--device", "cuda:0"], "cuda:0"),
        (["--device", "gpu"], "expected device auto, cpu or cuda:N"),
        (["--pack", "buffalo_l"], "no pack 'buffalo_l'"),
        (["--policy", "lenient"], "unknown policy 'lenient'; known: convenience"),
    ],
)
def test_a_bad_option_is_one_line(run, portraits, words, said):
    code, _, err = run("verify", portraits / "obama.jpg", portraits / "obama2.jpg", *words)
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


def test_the_installed_command_prints_its_verbs():
    command = Path(sys.executable).parent / "visavis"
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    for verb in ("verify", "detect", "embed", "evaluate", "calibrate", "pack"):
        assert verb in done.stdout
