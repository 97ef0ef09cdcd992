"""A manifest of photos to shards of embeddings, and the shards as a data set."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import share
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

pyarrow = pytest.importorskip("pyarrow")
pytest.importorskip("fsspec")
import pyarrow.parquet  # noqa: E402, F811

from visavis.calibration import CalibrationData, calibrate_images  # noqa: E402
from visavis.dataset.embedded import (  # noqa: E402
    PLAN,
    EmbeddedTree,
    ShardPlan,
    ShardRow,
    parse_plan,
    shard_bytes,
    shard_name,
    shard_numbers,
)
from visavis.document import to_bytes  # noqa: E402
from visavis.embedder import choose_models  # noqa: E402
from visavis.errors import (  # noqa: E402
    DatasetError,
    DownloadError,
    MismatchError,
    OutputError,
)
from visavis.evaluate.all_pairs import PeopleData, evaluate_people  # noqa: E402
from visavis.evaluate.subjects import Packs  # noqa: E402
from visavis.runtime import Device  # noqa: E402
from visavis.scale.manifest import read_photo_list  # noqa: E402
from visavis.scale.shards import Job, Shards, embed_shards, parse_part  # noqa: E402
from visavis.scale.shelf import open_shelf, photo_at  # noqa: E402

ONE = Device("cpu", precision="float32", threads=1)


def write_manifest(file, paths, group=None):
    table = pyarrow.table(
        {"path": pyarrow.array(paths, pyarrow.string()), "more": [1] * len(paths)}
    )
    pyarrow.parquet.write_table(table, file, row_group_size=group or max(1, len(paths)))
    return file


def crop_files(folder, people=20, each=3):
    """Noise of some people, 112x112: a person's crops are alike."""
    paths = []
    for person in range(people):
        base = np.random.default_rng(person).integers(0, 200, (7, 7, 3))
        for number in range(each):
            noise = np.random.default_rng(100 * person + number).integers(0, 56, (112, 112, 3))
            crop = (np.kron(base, np.ones((16, 16, 1))) + noise).astype(np.uint8)
            path = Path(f"p{person}") / f"{number}.png"
            (folder / path.parent).mkdir(parents=True, exist_ok=True)
            Image.fromarray(crop).save(folder / path)
            paths.append(str(path))
    return paths


def contents(folder):
    return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


# The list


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 40), st.integers(1, 12), st.data())
def test_a_part_of_a_manifest_is_that_part(tmp_path_factory, count, group, data):
    file = tmp_path_factory.mktemp("m") / "photos.parquet"
    paths = [f"{number}.jpg" for number in range(count)]
    manifest = read_photo_list(write_manifest(file, paths, group))
    start = data.draw(st.integers(0, count))
    stop = data.draw(st.integers(start, count))
    assert (manifest.photos, manifest.part(start, stop)) == (count, paths[start:stop])


def test_a_manifest_may_be_text(tmp_path):
    (tmp_path / "photos.txt").write_text("a.jpg\n\nb ü.jpg\n  \nc.jpg")
    manifest = read_photo_list(tmp_path / "photos.txt")
    assert (manifest.photos, manifest.part(1, 3)) == (3, ["b ü.jpg", "c.jpg"])


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ({"file": ["a.jpg"]}, r"expected a column 'path', got file"),
        ({"path": [1]}, r"expected text in the column 'path', got int64"),
        ({"path": pyarrow.array([], pyarrow.string())}, "expected paths of photos, found none"),
    ],
)
def test_a_table_that_is_no_manifest_is_refused(tmp_path, table, why):
    pyarrow.parquet.write_table(pyarrow.table(table), tmp_path / "m.parquet")
    with pytest.raises(DatasetError, match=rf"m\.parquet: {why}"):
        read_photo_list(tmp_path / "m.parquet")


def test_a_file_that_is_no_manifest_is_refused(tmp_path):
    (tmp_path / "m.parquet").write_bytes(b"PAR1 no more")
    (tmp_path / "m.txt").write_text("\n \n")
    for name, why in [
        ("m.parquet", "expected a Parquet file"),
        ("m.txt", "expected paths of photos, found none"),
        ("none.parquet", "expected a Parquet file"),
        ("none.txt", "No such file"),
    ]:
        with pytest.raises(DatasetError, match=why):
            read_photo_list(tmp_path / name)
    manifest = read_photo_list(write_manifest(tmp_path / "n.parquet", ["a.jpg", None, "c.jpg"]))
    with pytest.raises(DatasetError, match=r"n\.parquet: row 1: expected a path, got nothing"):
        manifest.part(0, 3)


@pytest.mark.parametrize(("text", "part"), [("1/1", (1, 1)), ("3/100", (3, 100)), ("9/9", (9, 9))])
def test_a_part_is_read(text, part):
    assert parse_part(text) == part


@pytest.mark.parametrize(
    "text", ["", "3", "0/3", "4/3", "-1/3", "1/0", "a/b", "1/2/3", "1.0/2", "²/3"]
)
def test_what_is_no_part_is_refused(text):
    with pytest.raises(DatasetError, match="expected a part as 3/100"):
        parse_part(text)


# The plan


def plan(**changed):
    values = {
        "format": 1, "manifest_sha256": "0" * 64, "photos": 25, "shard_size": 10, "detector": "",
        "model": "m@1", "dim": 4, "every": False, "flip": True, "tiled": False,
    }  # fmt: skip
    return ShardPlan(**values | changed)


@pytest.mark.parametrize(
    ("photos", "size", "rows"),
    [(25, 10, [(0, 10), (10, 20), (20, 25)]), (20, 10, [(0, 10), (10, 20)]), (1, 9, [(0, 1)])],
)
def test_shards_hold_every_photo_once(photos, size, rows):
    made = plan(photos=photos, shard_size=size)
    assert [made.rows(shard) for shard in range(made.shards)] == rows


@pytest.mark.parametrize(
    "changed", [{"format": 2}, {"photos": 0}, {"photos": 10**11}, {"shard_size": 0}, {"dim": 0}]
)
def test_a_plan_of_nothing_is_refused(changed):
    with pytest.raises(DatasetError, match="expected"):
        plan(**changed)


def test_only_whole_shards_count():
    names = ["shard-000003.parquet", "shard-000010.parquet", ".shard-000004.parquet", "tmp8xq",
             "shard-5.parquet", "shard-000006.parquet.part", PLAN]  # fmt: skip
    assert shard_numbers(names) == {3, 10}
    assert shard_name(3) == names[0]


# Shards

pack = pytest.mark.pack


@pytest.fixture(scope="module")
def crops(tmp_path_factory):
    folder = tmp_path_factory.mktemp("crops")
    return folder, write_manifest(folder / "photos.parquet", crop_files(folder))


def job(crops, out, **changed):
    return Job(crops[1], str(out), device=ONE, shard_size=25, aligned=True, **changed)


@pytest.fixture(scope="module")
def made(crops, tmp_path_factory):
    """Sixty crops in three shards."""
    out = tmp_path_factory.mktemp("made")
    shards = Shards(job(crops, out))
    return shards, out, list(embed_shards(shards))


@pack
def test_what_is_written(crops, made):
    shards, out, done = made
    assert [(one.shard, one.photos, one.faces, one.failed) for one in done] == [
        (0, 25, 25, {}), (1, 25, 25, {}), (2, 10, 10, {})
    ]  # fmt: skip
    assert sorted(contents(out)) == [PLAN, *map(shard_name, range(3))]
    table = pyarrow.parquet.read_table(out / shard_name(1)).to_pylist()
    names = [row["path"] for row in table]
    assert (names[:3], len(names)) == (["p8/1.png", "p8/2.png", "p9/0.png"], 25)
    first = table[0]
    assert (first["face"], first["box"], first["error"]) == (0, [0, 0, 112, 112], None)
    crop = np.asarray(Image.open(crops[0] / "p8" / "1.png"))
    np.testing.assert_allclose(first["embedding"], shards.embed(crop[None])[0], atol=1e-6)
    assert first["brightness"] == pytest.approx(
        np.asarray(Image.fromarray(crop).convert("L")).mean(), abs=0.6
    )


@pack
def test_what_is_there_is_not_made_again(crops, made, tmp_path):
    shards, out, _ = made
    assert shards.left() == []
    for name, data in contents(out).items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / shard_name(1)).unlink()
    again = Shards(job(crops, tmp_path))
    assert [one.shard for one in embed_shards(again)] == [1]
    assert contents(tmp_path) == contents(out)


@pack
def test_parts_are_all_of_it_and_share_nothing(crops, tmp_path):
    shards = Shards(job(crops, tmp_path))
    assert [shards.left((n, 2)) for n in (1, 2)] == [[0, 2], [1]]
    assert shards.left((4, 4)) == []


@pack
def test_a_folder_of_another_job_is_refused(crops, made, tmp_path):
    with pytest.raises(MismatchError, match="of another job: expected shard_size 4, got 25"):
        Shards(Job(crops[1], str(made[1]), device=ONE, shard_size=4, aligned=True))
    other = write_manifest(tmp_path / "other.parquet", ["a.png"] * 60)
    with pytest.raises(MismatchError, match="expected manifest_sha256"):
        Shards(job((tmp_path, other), made[1]))
    (tmp_path / PLAN).write_text("{}")
    with pytest.raises(DatasetError, match=r"plan\.json: format: Field required"):
        Shards(job(crops, tmp_path))


@pack
def test_a_photos_fault_is_its_rows(crops, tmp_path):
    (tmp_path / "text.jpg").write_text("no picture")
    Image.new("RGB", (50, 60)).save(tmp_path / "small.png")
    Image.open(crops[0] / "p0" / "0.png").save(tmp_path / "good.png")
    file = write_manifest(tmp_path / "m.parquet", ["text.jpg", "none.jpg", "good.png", "small.png"])
    (done,) = embed_shards(Shards(job((tmp_path, file), tmp_path / "out")))
    assert (done.photos, done.faces, done.failed) == (4, 1, {"image": 3})
    rows = pyarrow.parquet.read_table(tmp_path / "out" / shard_name(0)).to_pylist()
    said = ["this is text", "none.jpg: no such file", None, "112x112"]
    for row, words in zip(rows, said, strict=True):
        assert (row["error"] is None) == (words is None) == (row["embedding"] is not None)
        assert words is None or words in row["error"], row["error"]
        assert row["reasons"] != ["image"] or words


@pack
def test_a_disk_that_is_gone_is_no_fault_of_photos(crops, tmp_path):
    file = write_manifest(tmp_path / "m.parquet", ["x/1.png", "x/2.png"])
    shards = Shards(job((tmp_path, file), tmp_path / "out"))
    with pytest.raises(DatasetError, match=r"2 photos of shard 0 none is there.*mount the disk"):
        list(embed_shards(shards))
    assert shards.left() == [0]


@pack
def test_a_store_that_fails_is_no_fault_of_photos(crops, tmp_path, monkeypatch):
    file = write_manifest(
        tmp_path / "m.parquet", ["memory://photos/1.png", "memory://photos/2.png"]
    )
    shards = Shards(job((tmp_path, file), tmp_path / "out"))
    assert next(embed_shards(shards)).failed == {"image": 2}  # nobody put them there
    (tmp_path / "out" / shard_name(0)).unlink()

    def away(path, base):
        raise DownloadError("memory://photos: the network is unreachable")

    monkeypatch.setattr("visavis.scale.shards.photo_at", away)
    with pytest.raises(DownloadError, match="unreachable"):
        list(embed_shards(shards))
    assert shards.left() == [0]


@pack
def test_photos_and_shards_may_be_in_an_object_store(crops, made, tmp_path):
    photos = open_shelf("memory://photos")
    for path in ("p0/0.png", "p2/2.png"):
        photos.store.write(path, (crops[0] / path).read_bytes())
    file = write_manifest(
        tmp_path / "m.parquet", ["memory://photos/p0/0.png", "memory://photos/p2/2.png"]
    )
    shards = Shards(job((tmp_path, file), "memory://made/here"))
    assert [one.faces for one in embed_shards(shards)] == [2]
    assert Shards(job((tmp_path, file), "memory://made/here")).left() == []
    shelf = open_shelf("memory://made/here")
    assert sorted(shelf.names()) == [PLAN, shard_name(0)]
    rows = pyarrow.parquet.read_table(pyarrow.BufferReader(shelf.read(shard_name(0)))).to_pylist()
    first = pyarrow.parquet.read_table(made[1] / shard_name(0)).to_pylist()[0]
    np.testing.assert_allclose(rows[0]["embedding"], first["embedding"], atol=1e-6)


def test_a_path_is_from_the_manifests_folder_on(tmp_path):
    assert photo_at("a/b.jpg", tmp_path) == tmp_path / "a" / "b.jpg"
    assert photo_at("/a/b.jpg", tmp_path) == Path("/a/b.jpg")


@pack
def test_where_nothing_can_be_written_is_said_first(crops, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="file"):
        Shards(job(crops, tmp_path / "file"))


@pack
@pytest.mark.slow
def test_faces_of_photos(portraits, tmp_path):
    paths = [str(portraits / name) for name in ("obama.jpg", "biden.jpg")]
    Image.new("RGB", (300, 200)).save(tmp_path / "black.png")
    file = write_manifest(tmp_path / "m.parquet", [*paths, "black.png"])
    (done,) = embed_shards(Shards(Job(file, str(tmp_path / "out"), device=ONE), 2))
    assert (done.faces, done.failed) == (2, {"no_face": 1})
    rows = pyarrow.parquet.read_table(tmp_path / "out" / shard_name(0)).to_pylist()
    assert [(row["path"], row["face"], row["reasons"]) for row in rows] == [
        (paths[0], 0, []), (paths[1], 0, []), ("black.png", None, ["no_face"])
    ]  # fmt: skip
    assert np.dot(rows[0]["embedding"], rows[1]["embedding"]) < 0.3
    assert rows[0]["size"] > 100


# Read back


@pack
def test_shards_are_a_data_set(crops, made):
    tree = EmbeddedTree(made[1])
    assert tree.names() == sorted(crop for crop in crop_files(crops[0]))
    embeddings, acquired, figures = tree.faces(["p2/2.png", "p0/0.png"])
    assert acquired.all()
    rows = pyarrow.parquet.read_table(made[1] / shard_name(0)).to_pylist()
    np.testing.assert_array_equal(embeddings[1], np.float32(rows[0]["embedding"]))
    assert figures["brightness"][1] == np.float32(rows[0]["brightness"])
    assert tree.read("p0/0.png") == embeddings[1].tobytes()
    with pytest.raises(DatasetError, match=r"no photo 'p9/9\.png'"):
        tree.read("p9/9.png")


@pack
def test_they_are_evaluated_and_calibrated_as_the_photos_are(crops, made):
    photos = Packs(device=ONE)
    (before,) = evaluate_people(PeopleData(made[1]), photos)
    (now,) = evaluate_people(PeopleData(crops[0]), photos)
    assert (before.people, before.pictures) == (now.people, now.pictures) == (20, 60)
    assert before.result.accuracy == now.result.accuracy
    assert before.result.auc == pytest.approx(now.result.auc, abs=1e-6)
    models = choose_models()
    points = []
    for images in (crops[0], made[1]):
        out = made[1].parent / f"{images.name}.json"
        points.append(calibrate_images(models, CalibrationData(images), ONE, out=out).calibration)
    shown = [[(p.threshold, p.false_match_rate) for p in one.points] for one in points]
    np.testing.assert_allclose(shown[0], shown[1], atol=1e-4)


@pack
def test_shards_of_another_model_are_not_mixed(made, monkeypatch):
    changed = json.loads((made[1] / PLAN).read_text()) | {"model": "other@1"}
    tree = EmbeddedTree(made[1])
    tree.plan = parse_plan(json.dumps(changed).encode(), "plan")
    monkeypatch.setattr("visavis.evaluate.all_pairs.open_tree", lambda path: tree)
    with pytest.raises(MismatchError, match="got those of other@1"):
        evaluate_people(PeopleData(made[1]), Packs(device=ONE))


def rows_of(*vectors, dim=4):
    return [
        ShardRow(f"p/{n}.jpg", reasons=("no_face",), error="no face")
        if vector is None
        else ShardRow(
            f"p/{n}.jpg", 0, np.zeros(4, np.float32), dict.fromkeys(("score", "size", "sharpness",
            "brightness", "yaw", "pitch", "roll", "inside"), 0.5), (), None, np.float32(vector)
        )
        for n, vector in enumerate(vectors)
    ]  # fmt: skip


def test_photos_without_a_face_and_second_faces(tmp_path):
    rows = rows_of([1, 0, 0, 0], None, [0, 1, 0, 0])
    second = replace(rows[2], face=1, embedding=np.float32([0, 0, 1, 0]))
    (tmp_path / PLAN).write_bytes(to_bytes(plan(photos=3, every=True)))
    (tmp_path / shard_name(0)).write_bytes(shard_bytes([*rows, second], "m@1", 4))
    tree = EmbeddedTree(tmp_path)
    embeddings, acquired, _ = tree.faces(["p/2.jpg", "p/1.jpg", "p/0.jpg"])
    assert acquired.tolist() == [True, False, True]
    assert embeddings.tolist() == [[0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert tree.read("p/1.jpg") == b""


def test_a_folder_that_is_not_whole_is_refused(tmp_path):
    (tmp_path / PLAN).write_bytes(to_bytes(plan(photos=15)))
    (tmp_path / shard_name(1)).write_bytes(shard_bytes(rows_of([1, 0, 0, 0]), "m@1", 4))
    with pytest.raises(DatasetError, match=r"2 shards, 1 are missing, the first is shard-000000"):
        EmbeddedTree(tmp_path)
    (tmp_path / shard_name(0)).write_bytes(b"PAR1, cut")
    with pytest.raises(DatasetError, match=r"shard-000000\.parquet: expected a shard"):
        EmbeddedTree(tmp_path)
    (tmp_path / shard_name(0)).write_bytes(shard_bytes(rows_of([1, 0, 0]), "m@1", 3))
    with pytest.raises(DatasetError, match="embeddings of 4 numbers"):
        EmbeddedTree(tmp_path)


# The verb


@pack
def test_the_verb(crops, tmp_path, run):
    words = ["embed", "--manifest", crops[1], "--out", tmp_path / "out", "--aligned", "--no-flip"]
    words += ["--per-shard", "10"]
    code, out, _ = run(*words, "--shard", "2/4", "--json")
    said = json.loads(out)
    assert (code, said["photos"], said["shards"]) == (0, 60, 6)
    assert (said["made"], said["embedded"], said["faces"], said["failed"]) == ([1, 5], 20, 20, {})
    code, out, _ = run(*words)
    assert (code, out.split(":")[0]) == (0, "4 shards of 6 made now")
    assert "0 shards of 6 made now" in run(*words)[1]
    assert (
        "of another job: expected flip True, got False"
        in run(*[w for w in words if w != "--no-flip"])[2]
    )


@pack
def test_failed_photos_are_counted(tmp_path, run):
    (tmp_path / "a.jpg").write_text("no picture")
    (tmp_path / "m.txt").write_text("a.jpg")
    code, out, _ = run("embed", "--manifest", tmp_path / "m.txt", "--out", tmp_path / "out")
    assert code == 0
    assert "1 without an embedding: image" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x"], r"expected photos, or a manifest of photos \(--manifest\)"),
        (["a.jpg", "--out", "x.npz", "--ray", "2"], r"name it \(--manifest\)"),
        (["a.jpg", "--out", "x", "--manifest", "m.txt"], "without other photos"),
        (["--out", "x", "--manifest", "m.txt", "--checkpoint", "c.pt"], "without a checkpoint"),
        (["--out", "x", "--manifest", "m.txt", "--shard", "5/4"], r"got '5/4' \(--shard\)"),
    ],
)
def test_what_goes_unheard_is_said(run, words, said):
    code, _, err = run("embed", *words)
    assert code == 2
    assert re.search(said, err), err


# Killed


def started(crops, out, *words):
    command = [
        sys.executable, "-m", "visavis", "embed", "--manifest", crops[1], "--out", out, "--aligned",
        "--per-shard", "1", "--precision", "float32", *words,
    ]  # fmt: skip
    return subprocess.Popen(
        [str(word) for word in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pack
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_shards_killed_at_random_are_those_of_an_undisturbed_run(tmp_path):
    count = share(200)
    paths = crop_files(tmp_path, people=count, each=1)
    crops = tmp_path, write_manifest(tmp_path / "photos.parquet", paths)
    calm = started(crops, tmp_path / "calm")
    assert calm.wait(timeout=100) == 0
    moments, killed = np.random.default_rng(7), 0
    out = tmp_path / "killed"
    while not out.exists() or len(shard_numbers(os.listdir(out))) < count:
        before = len(shard_numbers(os.listdir(out))) if out.exists() else 0
        run = started(crops, out)
        # From its next shard on, at some time within the one after.
        while run.poll() is None and (not out.exists() or len(os.listdir(out)) <= before + 1):
            time.sleep(0.002)
        time.sleep(moments.uniform(0, 0.05))
        killed += run.poll() is None
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert killed >= count // 8
    kept = {name: data for name, data in contents(out).items() if not name.startswith("tmp")}
    assert kept == contents(tmp_path / "calm")
