"""Pairs measured while a network learns: what is kept as best, exactly and whole."""

import csv
import os
import resource
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
from made_training import people, recipe, run  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

from visavis.dataset import open_pairs  # noqa: E402
from visavis.errors import OutputError  # noqa: E402
from visavis.evaluate.protocols import CropSource, embed_pairs, verification  # noqa: E402
from visavis.train import loop  # noqa: E402
from visavis.train.backbones import build_backbone  # noqa: E402
from visavis.train.classes import ALONE  # noqa: E402
from visavis.train.data import Loader, look_into, steps_of_epoch  # noqa: E402
from visavis.train.learner import Learner, rate_at  # noqa: E402

STEPS = 6
# Measured after each of the steps: the best is that of step 2, and of equal ones the first.
ACCURACIES = [0.6, 0.9, 0.7, 0.9, 0.8, 0.5]
SAID = {"evaluate_every": 1, "save_every": 6, "average": 0.5, "steps": STEPS}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def pairs(data, tmp_path_factory):
    """A list like LFW's of the same people: 2 folds of a same and a different pair."""
    folder = tmp_path_factory.mktemp("pairs") / "crops"
    for person in sorted(data.iterdir()):
        (folder / person.name).mkdir(parents=True)
        for number, picture in enumerate(sorted(person.iterdir()), start=1):
            shutil.copy(picture, folder / person.name / f"{person.name}_{number:04d}.png")
    lines = ["2\t1", "person0\t1\t2", "person0\t1\tperson1\t1", "person2\t1\t2"]
    (folder / "pairs.txt").write_text("\n".join([*lines, "person2\t3\tperson3\t4"]) + "\n")
    return folder


def states(data) -> list[dict[str, torch.Tensor]]:
    """What is kept after each step, taken with no loop."""
    said = recipe(data, **SAID)
    contents = look_into(loop.open_images(data), said)
    learner = Learner(said, build_backbone(said), contents.classes, torch.device("cpu"), ALONE)
    kept = []
    for step in range(STEPS):
        batch = Loader(contents, said, ALONE).batch(step)
        rate = rate_at(said, step, STEPS, steps_of_epoch(contents, said))
        learner.step(step, rate, batch.crops, batch.labels)
        kept.append({name: one.clone() for name, one in learner.mean.state_dict().items()})
    return kept


def equal(path, state) -> bool:
    read = load_file(path)
    return read.keys() == state.keys() and all(read[key].equal(state[key]) for key in state)


class Measured:
    """Stands for the list's accuracy: one after another."""

    def __init__(self, accuracies):
        self.left = list(accuracies)

    def __call__(self, kept, embedded):
        return type("Result", (), {"accuracy": self.left.pop(0)})


def log(out):
    with (out / "log.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_best_is_that_of_its_step_and_the_last_that_of_the_last(
    data, pairs, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "verification", Measured(ACCURACIES))
    trained = run(data, tmp_path / "out", pairs=str(pairs), **SAID)
    kept = states(data)
    assert equal(tmp_path / "out" / "best.safetensors", kept[1])
    assert equal(tmp_path / "out" / "last.safetensors", kept[5])
    assert not equal(tmp_path / "out" / "last.safetensors", kept[1])
    assert (trained.accuracy, trained.weights.name) == (0.9, "best.safetensors")
    assert [float(row["accuracy"]) for row in log(tmp_path / "out")] == ACCURACIES


def test_what_is_measured_is_the_lists_accuracy(data, pairs, tmp_path):
    trained = run(data, tmp_path / "out", pairs=str(pairs), **SAID)
    said = recipe(data, **SAID)
    learner = Learner(said, build_backbone(said), 4, torch.device("cpu"), ALONE)
    learner.mean.load_state_dict(load_file(trained.weights))
    tree, listed = open_pairs(pairs)
    again = verification(*embed_pairs(CropSource(tree), listed, learner.embedder("kept")))
    assert trained.accuracy == again.accuracy
    assert max(float(row["accuracy"]) for row in log(trained.out)) == again.accuracy


def test_a_resumed_run_knows_what_was_best(data, pairs, tmp_path, monkeypatch):
    out, said = tmp_path / "out", {**SAID, "save_every": 3, "pairs": str(pairs)}
    monkeypatch.setattr(loop, "verification", Measured(ACCURACIES[:3]))
    run(data, out, **{**said, "steps": 3})
    before = (out / "best.safetensors").read_bytes()
    monkeypatch.setattr(loop, "verification", Measured(ACCURACIES[3:]))
    assert run(data, out, resume=True, **said).accuracy == 0.9
    assert (out / "best.safetensors").read_bytes() == before


def filled(data, pairs, out, monkeypatch):
    """A disk that is full from step 3 on, when the best is to be replaced; what is there then."""
    monkeypatch.setattr(loop, "verification", Measured([0.6, 0.7, 0.7, 0.8]))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(line):
        if line.step == 3:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))

    try:
        with pytest.raises(OutputError, match=r"best\.safetensors: cannot write"):
            run(data, out, pairs=str(pairs), report=fill, **SAID)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return out / "best.safetensors"


def test_a_full_disk_leaves_the_best_before(data, pairs, tmp_path, monkeypatch):
    best = filled(data, pairs, tmp_path / "out", monkeypatch)
    assert equal(best, states(data)[1])
    assert {path.name for path in best.parent.iterdir()} == {
        "recipe.toml", "log.csv", "tensorboard", "best.safetensors",
    }  # fmt: skip


def test_the_check_of_a_full_disk_can_fail(data, pairs, tmp_path, monkeypatch):
    """A file that is written in its place is half a file."""

    def in_place(path, *parts, private=False):
        with loop.output_errors(path), path.open("wb") as file:
            file.writelines(parts)

    monkeypatch.setattr("visavis.checkpoints.checkpoint.write_whole", in_place)
    best = filled(data, pairs, tmp_path / "out", monkeypatch)
    assert best.stat().st_size == 1000


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")
def test_a_compiled_network_learns_the_same(data, tmp_path, monkeypatch):
    """Losses within 1e-4: sums are taken in another order. The file's names are the network's."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("compiling needs a C++ compiler")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    out = {name: tmp_path / name for name in ("plain", "compiled")}
    for name, folder in out.items():
        run(data, folder, compile=name == "compiled", backbone="steady", steps=3)
    losses = {name: [float(row["loss"]) for row in log(folder)] for name, folder in out.items()}
    assert losses["compiled"] == pytest.approx(losses["plain"], abs=1e-4)
    names = [load_file(folder / "last.safetensors").keys() for folder in out.values()]
    assert names[0] == names[1]
    assert np.isfinite(losses["compiled"]).all()
