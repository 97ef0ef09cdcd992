"""Class weights in shares and parts: one process against two, and a million classes."""

import multiprocessing
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # small tensors are slower in several
import torch.distributed as dist  # noqa: E402

from visavis.train import classes as room  # noqa: E402
from visavis.train.classes import HeadOptions, Processes, build_head  # noqa: E402
from visavis.train.heads import MarginOptions  # noqa: E402

SCALE, DIM, CLASSES = 8.0, 6, 5


@pytest.mark.parametrize(
    ("total", "count", "shares"),
    [(10, 3, [(0, 4), (4, 7), (7, 10)]), (4, 2, [(0, 2), (2, 4)]), (3, 1, [(0, 3)])],
)
def test_shares_are_even(total, count, shares):
    parts = [Processes(count, rank).share(total) for rank in range(count)]
    assert [(part.start, part.stop) for part in parts] == shares


def test_new_rows_are_the_same_however_many_processes_share_them(monkeypatch):
    monkeypatch.setattr(room, "BLOCK", 4)
    whole, *parts = (
        build_head("cosface", 11, 2, MarginOptions(), HeadOptions(centres=2), processes).weight
        for processes in (Processes(), *(Processes(3, rank) for rank in range(3)))
    )
    assert torch.cat(parts).equal(whole)
    assert len(whole.unique()) == 44
    assert 0.007 < whole.std() < 0.013


def test_a_step_uses_the_classes_of_its_batch_and_as_many_others_as_the_rate_allows():
    head = build_head("cosface", 10, DIM, MarginOptions(), HeadOptions(rate=0.4))
    labels = torch.tensor([7, 2, 7])
    head.begin(3)
    used = head._classes_of(labels)
    assert len(used) == 4
    assert {2, 7} <= set(used.tolist())
    assert used.tolist() == head._classes_of(labels).tolist()
    head.begin(4)
    assert used.tolist() != head._classes_of(labels).tolist()
    # More classes in the batch than the rate allows: exactly those.
    assert head._classes_of(torch.arange(6)).tolist() == [0, 1, 2, 3, 4, 5]


def test_what_a_step_does_not_use_does_not_move():
    head = build_head("cosface", 10, DIM, MarginOptions(), HeadOptions(rate=0.3))
    before = head.weight.clone()
    used = head._classes_of(torch.tensor([0, 1]))
    for _ in range(2):
        head(torch.randn(2, DIM), torch.tensor([0, 1])).backward()
        head.step(0.1, momentum=0.9, decay=0.01)
    moved = (head.weight != before).any(1).nonzero().flatten().tolist()
    assert moved == used.tolist()


@pytest.mark.parametrize("rate", [1.0, 0.9])
def test_rows_move_as_sgd_moves_them(rate):
    """With every class in the batch, sampling leaves none out: it must agree, too."""
    labels, rows = torch.arange(4), torch.randn(4, DIM)
    plain = build_head("arcface", 4, DIM, MarginOptions(), seed=3)
    part = build_head("arcface", 4, DIM, MarginOptions(), HeadOptions(rate=rate), seed=3)
    moved = torch.optim.SGD(plain.parameters(), 0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(3):
        moved.zero_grad()
        plain(rows, labels).backward()
        moved.step()
        part(rows, labels).backward()
        part.step(0.1, momentum=0.9, decay=0.01)
    torch.testing.assert_close(part.weight.data, plain.weight.data)


@pytest.mark.parametrize("rate", [1.0, 0.9])
def test_rows_move_as_adamw_moves_them(rate):
    labels, rows = torch.arange(4), torch.randn(4, DIM)
    plain = build_head("arcface", 4, DIM, MarginOptions(), seed=3)
    part = build_head("arcface", 4, DIM, MarginOptions(), HeadOptions(rate=rate), seed=3)
    part.use_adam()
    moved = torch.optim.AdamW(plain.parameters(), 0.1, weight_decay=0.01)
    for step in range(3):
        moved.zero_grad()
        plain(rows, labels).backward()
        moved.step()
        part.begin(step)
        part(rows, labels).backward()
        part.step(0.1, momentum=0.9, decay=0.01)
    torch.testing.assert_close(part.weight.data, plain.weight.data)


def test_what_a_step_does_not_use_rests_under_adamw_too():
    head = build_head("cosface", 10, DIM, MarginOptions(), HeadOptions(rate=0.3))
    head.use_adam()
    before = head.weight.clone()
    used = head._classes_of(torch.tensor([0, 1]))
    head(torch.randn(2, DIM), torch.tensor([0, 1])).backward()
    head.step(0.1, momentum=0.9, decay=0.01)
    moved = (head.weight != before).any(1).nonzero().flatten().tolist()
    assert moved == used.tolist()


KINDS = ("arcface", "magface", "adaface", "elastic_cos", "sphereface")


def runs(rank: int, count: int, meeting: str, answers) -> None:
    """Three steps with each margin; the losses and the weights."""
    torch.set_num_threads(1)
    if count > 1:
        dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=count)
    answers.put((rank, [three_steps(margin, Processes(count, rank)) for margin in KINDS]))
    if count > 1:
        dist.destroy_process_group()


def three_steps(margin: str, processes: Processes) -> tuple:
    torch.manual_seed(0)
    backbone, whole = torch.nn.Linear(7, DIM), torch.randn(CLASSES, DIM)
    x, labels = torch.randn(4, 7), torch.tensor([0, 4, 2, 0])
    said = MarginOptions(scale=SCALE, margin=0.3, norm=(0.5, 5.0))
    head = build_head(margin, CLASSES, DIM, said, HeadOptions(filter_above=0.3), processes)
    head.weight.data.copy_(whole[head.share])
    mine = processes.share(4)
    moved = torch.optim.SGD(backbone.parameters(), 0.1, momentum=0.9)
    losses = []
    for step in range(3):
        torch.manual_seed(step)
        moved.zero_grad()
        loss = head(backbone(x[mine]), labels[mine])
        loss.backward()
        for one in backbone.parameters() if processes.count > 1 else ():
            dist.all_reduce(one.grad)
            one.grad /= processes.count
        moved.step()
        head.step(0.1, momentum=0.9, decay=0.0)
        losses.append(loss.item())
    return losses, backbone.weight.tolist(), head.weight.tolist()


@pytest.mark.slow
def test_two_processes_are_one(tmp_path):
    """Losses and weights within 1e-5: classes and rows are halved, sums are taken in two parts."""
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    meeting = str(tmp_path / "meet")
    started = [context.Process(target=runs, args=(rank, 2, meeting, answers)) for rank in range(2)]
    for process in started:
        process.start()
    first, second = (made for _, made in sorted(answers.get(timeout=110) for _ in started))
    for process in started:
        process.join()
    for margin, left, right in zip(KINDS, first, second, strict=True):
        losses, backbone, weight = three_steps(margin, Processes())
        for other_losses, other_backbone, _ in (left, right):
            assert other_losses == pytest.approx(losses, abs=1e-5), margin
            torch.testing.assert_close(torch.tensor(other_backbone), torch.tensor(backbone))
        halves = torch.tensor(left[2] + right[2])
        torch.testing.assert_close(halves, torch.tensor(weight))


MILLION = """
import resource, torch
from visavis.train.classes import HeadOptions, build_head
from visavis.train.heads import MarginOptions
torch.set_num_threads(1)  # small tensors are slower in several
head = build_head("cosface", 1_000_000, 512, MarginOptions(), HeadOptions(rate=0.02))
rows, labels = torch.randn(8, 512, requires_grad=True), torch.arange(8) * 124_999
losses = []
for step in range(2):
    head.begin(step)
    loss = head(rows, labels)
    loss.backward()
    head.step(0.1, momentum=0.9, decay=5e-4)
    losses.append(loss.item())
assert losses[1] < losses[0], losses
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
"""


@pytest.mark.slow
def test_a_million_classes_step_on_a_cpu_under_8_gb():
    done = subprocess.run(
        [sys.executable, "-c", MILLION], capture_output=True, text=True, check=True, env=os.environ
    )
    assert float(done.stdout) < 8
