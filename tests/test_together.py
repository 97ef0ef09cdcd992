"""Several processes train as one: those of `devices=`, and those that torchrun starts."""

import csv
import os
import signal
import socket
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("tensorboard")
import torch.distributed as dist  # noqa: E402
from made_training import people, recipe  # noqa: E402

from visavis.errors import ConfigurationError, DatasetError, DeviceError  # noqa: E402
from visavis.train.classes import Processes  # noqa: E402
from visavis.train.loop import Workplace, train  # noqa: E402
from visavis.train.recipe import read_recipe  # noqa: E402
from visavis.train.together import _with_helpers, torch_device, train_together  # noqa: E402

# Batch norms keep their statistics, and dropout there is none: two processes are one.
STEADY = (
    "backbone=foamliu", "dim=8", "batch=4", "people=0", "steps=3", "log_every=1", "still=true",
    "rate=0.001",
)  # fmt: skip
TOLERANCE = 1e-4  # of losses: sums are taken in two parts


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """The losses of one process, its run's folder, and the recipe."""
    out = tmp_path_factory.mktemp("runs") / "one"
    said = read_recipe("small", [f"data={data}", *STEADY])
    torch.set_num_threads(1)
    train(said, Workplace(out))
    return losses(out)


def losses(out):
    with (out / "log.csv").open() as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_of_this_machine_are_one(run, data, alone, tmp_path):
    """And what two have begun one goes on with."""
    words = ["train", "small", *STEADY, "--data", data, "--out", tmp_path / "two", "--json"]
    code, _, err = run(*words, "devices=2")
    assert (code, err.count("images a second")) == (0, 3), err
    assert losses(tmp_path / "two") == pytest.approx(alone, abs=TOLERANCE)
    code, _, _ = run(*words, "steps=4", "--resume")
    assert (code, len(losses(tmp_path / "two"))) == (0, 4)
    state = torch.load(tmp_path / "two" / "last.pt", weights_only=True)
    assert state["weight"].shape == (4, 8)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_two_nodes_of_torchrun_are_one(data, alone, tmp_path):
    """torchrun twice, as on two machines, with one process each."""
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1"]
    torchrun += ["--master-addr=127.0.0.1", f"--master-port={free_port()}"]
    job = ["-m", "visavis", "train", "small", *STEADY, "--data", data, "--out", tmp_path / "two"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [
        subprocess.Popen([*torchrun, f"--node-rank={rank}", *map(str, job)], env=here, **pipes)
        for rank in range(2)
    ]
    answers = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], answers
    assert losses(tmp_path / "two") == pytest.approx(alone, abs=TOLERANCE)
    # The second one helps, and says nothing.
    assert ["done at step 3 of 3" in out for out, _ in answers] == [True, False]
    assert [err.count("images a second") for _, err in answers] == [3, 0]


def die(processes: Processes) -> None:
    """What the second process does: it is killed, or says why it cannot."""
    os.kill(os.getpid(), signal.SIGKILL)


def refuse(processes: Processes) -> None:
    raise DatasetError("crops/7.jpg is gone")


ENDS = [(die, "process 1 of the training has ended: exit code -9"), (refuse, "crops/7.jpg is gone")]


@pytest.mark.slow
@pytest.mark.parametrize(("work", "message"), ENDS)
def test_a_process_that_ends_is_named(work, message):
    with pytest.raises(DeviceError, match=message), _with_helpers(2, work):
        dist.all_reduce(torch.zeros(1))


def test_a_fault_of_our_own_is_not_blamed_on_the_others():
    with pytest.raises(RuntimeError, match="no memory"), _with_helpers(1, die):
        raise RuntimeError("no memory")


def test_what_cannot_be_is_refused(data, tmp_path, monkeypatch):
    with pytest.raises(ConfigurationError, match="6 pictures are not as many for each of 4"):
        train(recipe(data), Workplace(tmp_path / "out", processes=Processes(4, 0)))
    said = recipe(data, devices=2)
    with pytest.raises(ConfigurationError, match="2 processes on one device, cuda:0"):
        train_together(said, tmp_path / "out", "cuda:0")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigurationError, match="torchrun has started 3 processes already"):
        train_together(said, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("there", "local", "device"), [(False, "1", "cpu"), (True, "1", "cuda:1")])
def test_each_process_has_a_gpu_of_its_own(monkeypatch, there, local, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    monkeypatch.setenv("LOCAL_RANK", local)
    assert torch_device("auto") == device
    assert torch_device("cuda:3") == "cuda:3"


def test_more_processes_than_gpus_are_refused(data, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match=r"expected 2 GPUs, got 1: devices=1"):
        train_together(recipe(data, devices=2), tmp_path / "out")
