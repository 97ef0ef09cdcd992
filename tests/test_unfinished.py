"""A call that is interrupted, even killed, goes on where it was when it is made again."""

import os
import signal
import stat
import subprocess
import sys
from contextlib import closing

import numpy as np
import pytest
from PIL import Image

from visavis import unfinished as module
from visavis.embeddings import embed_all, write_table
from visavis.errors import EmbeddingError, MismatchError, OutputError
from visavis.files import held
from visavis.types import Part
from visavis.unfinished import Unfinished, unfinished

PHOTOS = 7


class Counted:
    """Mean colours of a crop's halves as an embedding; after so many crops `stop` is called."""

    model, dim, margin = "counted@0", 6, 0.0
    parts = (Part(model, dim),)

    def __init__(self, most=99, stop=lambda: None):
        self.done, self.most, self.stop = 0, most, stop

    def __call__(self, crops):
        if self.done == self.most:
            self.stop()
        self.done += len(crops)
        halves = np.concatenate([crops[:, :, :56].mean((1, 2)), crops[:, :, 56:].mean((1, 2))], 1)
        return (halves / np.linalg.norm(halves, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def photos(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(PHOTOS)]
    for number, path in enumerate(paths):
        Image.new("RGB", (112, 112), (20 + 30 * number, 99, 0)).save(path)
    return paths


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(module, "PART", 2)


def embed(paths, out, embedder, said="one"):
    """The file, as visavis embed writes it; how many photos an earlier call had embedded."""
    with unfinished(out, said) as kept:
        rows = [
            face
            for _, faces in embed_all(paths, None, embedder, through=kept.through)
            for face in faces
        ]
        write_table(out, rows, embedder)
    return kept.photos


def columns(path):
    with np.load(path) as file:
        return {name: file[name].tolist() for name in file}


def refuse():
    raise OSError("the power is off")


def interrupted(paths, out, most):
    with pytest.raises(OSError, match="the power is off"):
        embed(paths, out, Counted(most, refuse))


@pytest.mark.parametrize("most", [0, 1, 2, 5, 6])
def test_a_call_goes_on_where_it_was(photos, tmp_path, most):
    embed(photos, tmp_path / "whole.npz", Counted())
    out, again = tmp_path / "faces.npz", Counted()
    interrupted(photos, out, most)
    assert not out.exists()
    assert embed(photos, out, again) == most
    assert again.done == PHOTOS - most
    assert columns(out) == columns(tmp_path / "whole.npz")
    assert sorted(path.name for path in tmp_path.glob("faces*")) == ["faces.npz"]


KILLED = """
import os, signal, sys
from pathlib import Path
import test_unfinished as test
test.module.PART = 2
kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
test.embed([Path(one) for one in sys.argv[2:]], Path(sys.argv[1]), test.Counted(5, kill))
"""


@pytest.mark.slow
def test_after_kill_9_what_is_in_parts_is_not_embedded_again(photos, tmp_path):
    out, again = tmp_path / "faces.npz", Counted()
    words = [sys.executable, "-c", KILLED, out, *photos]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run(words, check=False, env=here).returncode == -signal.SIGKILL
    assert embed(photos, out, again) == 4
    assert again.done == 3
    embed(photos, tmp_path / "whole.npz", Counted())
    assert columns(out) == columns(tmp_path / "whole.npz")
    assert sorted(path.name for path in tmp_path.glob("faces*")) == ["faces.npz"]


def test_a_photo_that_has_changed_is_embedded_anew(photos, tmp_path):
    out, again = tmp_path / "faces.npz", Counted()
    interrupted(photos, out, 4)
    Image.new("RGB", (112, 112), (1, 1, 250)).save(photos[0])
    assert embed(photos, out, again) == 4
    assert again.done == 4
    assert columns(out)["embeddings"][0][2] == pytest.approx(0.7071, abs=1e-3)


def test_a_photo_that_failed_is_tried_again_and_the_others_are_kept(photos, tmp_path):
    def bad():
        raise EmbeddingError("not finite")

    out, again = tmp_path / "faces.npz", Counted()
    with closing(Unfinished(tmp_path / "faces.npz.partial", "one")) as kept:
        answers = dict(embed_all(photos, None, Counted(3, bad), through=kept.through))
    assert [type(one) for one in answers.values()] == 3 * [list] + 4 * [EmbeddingError]
    assert embed(photos, out, again) == 3
    assert again.done == 4


def test_the_parts_are_their_owners_alone(photos, tmp_path):
    interrupted(photos, tmp_path / "faces.npz", 4)
    folder = tmp_path / "faces.npz.partial"
    assert [path.name for path in sorted(folder.iterdir())] == ["000000.npz", "000001.npz"]
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.iterdir())]
    assert modes == [0o700, 0o600, 0o600]


def test_embeddings_of_other_models_are_not_mixed(photos, tmp_path):
    out = tmp_path / "faces.npz"
    interrupted(photos, out, 4)
    with pytest.raises(MismatchError, match="had other models or options"):
        embed(photos, out, Counted(), said="other")
    assert embed(photos, out, Counted()) == 4


def test_two_processes_do_not_write_the_same(photos, tmp_path):
    out = tmp_path / "faces.npz"
    with (
        held(tmp_path / "faces.npz.partial.lock"),
        pytest.raises(OutputError, match="another process is writing this"),
    ):
        embed(photos, out, Counted())


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 no zip", b"\x80\x04N."])
def test_a_damaged_part_is_named(photos, tmp_path, data):
    out = tmp_path / "faces.npz"
    interrupted(photos, out, 4)
    (tmp_path / "faces.npz.partial" / "000001.npz").write_bytes(data)
    with pytest.raises(OutputError, match=r"000001\.npz: cannot be read"):
        embed(photos, out, Counted())
