"""The loop: it learns, goes on exactly where it was, and says what stops it."""

import csv
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
from made_training import people, recipe, run, same  # noqa: E402

from visavis.checkpoints.checkpoint import OURS  # noqa: E402
from visavis.dataset.images import open_images  # noqa: E402
from visavis.errors import (  # noqa: E402
    CheckpointError,
    ConfigurationError,
    DatasetError,
    DeviceError,
    MismatchError,
    ModelError,
    OutputError,
)
from visavis.train.backbones import build_backbone  # noqa: E402
from visavis.train.classes import HeadOptions, Processes  # noqa: E402
from visavis.train.data import Loader, look_into, rows_of_step  # noqa: E402
from visavis.train.learner import Learner  # noqa: E402
from visavis.train.loop import Workplace, train  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A run that nothing interrupts."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    run(data, out)
    return out


def log(out):
    with (out / "log.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_its_recipe_its_weights_and_its_log(whole):
    assert {path.name for path in whole.iterdir()} == {
        "recipe.toml", "last.pt", "last.safetensors", "backbone.pth", "log.csv", "tensorboard",
    }  # fmt: skip
    rows = log(whole)
    assert [int(row["step"]) for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all(float(row["images_a_second"]) > 0 for row in rows)
    assert OURS.encode() in (whole / "last.safetensors").read_bytes()


@pytest.mark.slow
def test_one_seed_one_run(data, whole, tmp_path):
    run(data, tmp_path / "again")
    assert same(whole, tmp_path / "again")
    run(data, tmp_path / "other", seed=1)
    assert not same(whole, tmp_path / "other")


@pytest.mark.slow
def test_it_learns(data, tmp_path):
    trained = run(
        data, tmp_path / "out", steps=40, save_every=40, head="cosface", average=0.5, people=2
    )
    losses = [float(row["loss"]) for row in log(trained.out)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_run_that_is_stopped_goes_on_exactly_where_it_was(data, whole, tmp_path):
    """SIGTERM in the middle of an epoch: the step is finished and saved."""

    def stop(line):
        if line.step == 3:
            # As the signal would call it: a real one ends all tests where nobody takes it.
            signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)

    out = tmp_path / "out"
    stopped = run(data, out, report=stop)
    assert stopped.stopped
    assert 3 <= stopped.step < 6
    assert not run(data, out, resume=True).stopped
    assert same(whole, out)
    assert [int(row["step"]) for row in log(out)] == [1, 2, 3, 4, 5, 6]


SIGNALLED = """
import os, signal, sys
from pathlib import Path
from test_loop import run
stop = lambda line: os.kill(os.getpid(), signal.SIGTERM) if line.step == 3 else None
print(run(Path(sys.argv[1]), Path(sys.argv[2]), report=stop).stopped)
"""


@pytest.mark.slow
def test_a_process_that_is_told_to_stop_saves_and_ends(data, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    words = [sys.executable, "-c", SIGNALLED, str(data), str(tmp_path / "out")]
    ended = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert (ended.stdout.strip(), ended.returncode) == ("True", 0), ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"average": 0.9}, {"classes": HeadOptions(rate=0.6)}])
def test_a_run_by_adamw_goes_on_exactly_where_it_was(data, tmp_path, changes):
    said = {"optimizer": "adamw", "rate": 0.001, **changes}
    run(data, tmp_path / "whole", **said)
    run(data, tmp_path / "out", steps=4, **said)
    run(data, tmp_path / "out", resume=True, **said)
    assert same(tmp_path / "whole", tmp_path / "out")


def test_norms_biases_and_places_do_not_decay(data):
    """A transformer's: weights of two axes do, and no token for hidden patches is learnt."""
    said = recipe(data, backbone="vit_t", dim=16, optimizer="adamw", decay=0.1)
    backbone = build_backbone(said)
    learner = Learner(said, backbone, 4, torch.device("cpu"), Processes())
    decaying, others = learner.optimizer.param_groups
    assert (decaying["weight_decay"], others["weight_decay"]) == (0.1, 0.0)
    names = {id(one): name for name, one in backbone.network.named_parameters()}
    free = {names[id(one)].split(".")[-1] for one in others["params"]}
    assert free == {"weight", "bias", "pos_embed"}
    assert all(one.ndim == 1 for one in others["params"] if names[id(one)] != "pos_embed")
    assert not backbone.network.mask_token.requires_grad
    learnt = [*decaying["params"], *others["params"]]
    assert len(learnt) == len(names) - 1


KILLED = """
import os, signal, sys
from pathlib import Path
from made_training import run
def kill(line):
    if line.step == 5:
        os.kill(os.getpid(), signal.SIGKILL)
run(Path(sys.argv[1]), Path(sys.argv[2]), report=kill)
"""


@pytest.mark.slow
def test_after_kill_9_it_goes_on_bit_by_bit(data, whole, tmp_path):
    out = tmp_path / "out"
    here = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(data), str(out)],
        check=False, env={**os.environ, "PYTHONPATH": here},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL
    assert torch.load(out / "last.pt", weights_only=True)["step"] == 4
    run(data, out, resume=True)
    assert same(whole, out)
    assert [int(row["step"]) for row in log(out)] == [1, 2, 3, 4, 5, 6]


def test_a_loss_that_is_no_number_stops_naming_the_last_good_checkpoint(data, tmp_path):
    out = tmp_path / "out"
    run(data, out, steps=4)
    broken = torch.load(out / "last.pt", weights_only=True)
    broken["weight"] += float("nan")
    torch.save(broken, out / "last.pt")
    with pytest.raises(ModelError, match=r"the last good checkpoint is .*last.pt, of step 4"):
        run(data, out, resume=True, steps=9)
    with pytest.raises(ModelError, match=r"at step \d.*no checkpoint is saved yet"):
        run(data, tmp_path / "other", rate=1e38, save_every=9)


def test_a_full_disk_leaves_the_checkpoint_before(data, tmp_path):
    """A limit on files' sizes: the second checkpoint does not fit."""
    out = tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(line):
        if line.step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))

    try:
        with pytest.raises(OutputError, match=r"cannot write.*of step 2: make room"):
            run(data, out, report=fill)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.load(out / "last.pt", weights_only=True)["step"] == 2
    assert not list(out.glob("*.partial"))


def test_a_picture_that_cannot_be_read_is_skipped_and_counted(tmp_path):
    data = people(tmp_path / "people")
    (data / "person2" / "0001.png").write_bytes(b"\x89PNG no more")
    trained = run(data, tmp_path / "out", steps=8)
    assert trained.skipped >= 2
    assert trained.step == 8
    assert int(log(trained.out)[-1]["skipped"]) == trained.skipped


REFUSED = [
    ({"people": 1}, {}, "expected a folder of pictures for each person, found 1"),
    ({}, {"batch": 17, "people": 0}, "16 pictures are less than a batch of 17"),
    ({}, {"batch": 10, "people": 5}, "expected 5 people in a batch, of 4"),
]


@pytest.mark.parametrize(("made", "said", "message"), REFUSED)
def test_what_cannot_be_learnt_is_said_before_anything_is_written(tmp_path, made, said, message):
    data = people(tmp_path / "people", **made)
    with pytest.raises(DatasetError, match=message):
        run(data, tmp_path / "out", **said)
    assert not (tmp_path / "out").exists()


def test_gaps_in_the_labels_and_people_with_one_picture_are_counted(data):
    class Gaps:
        source, labels = "made", np.array([0, 0, 5, 5, 9, 2, 2])

    contents = look_into(Gaps(), recipe(data))
    assert (contents.classes, contents.gaps, contents.single) == (4, 6, 1)
    assert contents.labels.tolist() == [0, 0, 2, 2, 3, 1, 1]


def test_a_run_of_another_recipe_is_not_resumed(data, whole):
    with pytest.raises(MismatchError, match="was trained with another rate"):
        run(data, whole, resume=True, rate=0.5)
    with pytest.raises(CheckpointError, match="nothing to resume from"):
        run(data, whole.parent / "none", resume=True)
    with pytest.raises(OutputError, match="is there already"):
        run(data, whole)


def test_half_precision_is_for_gpus(data, tmp_path):
    with pytest.raises(DeviceError, match="float16 trains on a GPU alone"):
        run(data, tmp_path / "out", precision="float16")


@pytest.mark.slow
def test_bfloat16_and_channels_last_learn_the_same_within_their_precision(data, whole, tmp_path):
    trained = run(data, tmp_path / "out", precision="bfloat16", channels_last=True)
    losses = [[float(row["loss"]) for row in log(out)] for out in (whole, trained.out)]
    assert losses[1][0] == pytest.approx(losses[0][0], rel=0.03)
    assert losses[1] != losses[0]


@pytest.mark.parametrize("people_in_batch", [0, 3])
def test_two_processes_show_together_what_one_would(data, people_in_batch):
    said = recipe(data, people=people_in_batch)
    contents = look_into(open_images(data), said)
    for step in (0, 1, 5):
        one = Loader(contents, said, Processes()).batch(step)
        two = [Loader(contents, said, Processes(2, rank)).batch(step) for rank in range(2)]
        assert np.array_equal(one.crops, np.concatenate([part.crops for part in two]))
        assert one.labels.tolist() == [label for part in two for label in part.labels]


@pytest.mark.slow
@pytest.mark.parametrize("head", ["none", "cosface"])
def test_a_teacher_is_matched(data, tmp_path, fake_embedder, head):
    """In place of a head, or beside it: the fake one's embeddings are the halves' mean colours."""
    said = recipe(data, head=head, dim=6, steps=30, teacher="fake", rate=0.02, save_every=30)
    trained = train(said, Workplace(tmp_path / "out"), teacher=fake_embedder)
    losses = [float(row["loss"]) for row in log(trained.out)]
    assert np.mean(losses[-5:]) < 0.7 * np.mean(losses[:5])


def test_a_teacher_of_another_size_is_refused(data, tmp_path, fake_embedder):
    with pytest.raises(ConfigurationError, match="the teacher gives 6 numbers"):
        train(recipe(data, teacher="fake"), Workplace(tmp_path / "out"), teacher=fake_embedder)


def test_an_epoch_shows_every_picture_once(data):
    said = recipe(data, batch=4)
    contents = look_into(open_images(data), said)
    epochs = [
        [
            row
            for step in range(4 * epoch, 4 * epoch + 4)
            for row in rows_of_step(contents, said, step)
        ]
        for epoch in range(2)
    ]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(16))
    assert epochs[0] != epochs[1]
