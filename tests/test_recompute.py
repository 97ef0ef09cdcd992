"""Gradient checkpointing: the same numbers to the last bit, and less memory."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from visavis.convert.crops import made_crops  # noqa: E402
from visavis.errors import ConfigurationError  # noqa: E402
from visavis.train import recompute  # noqa: E402
from visavis.train.backbones import build_backbone  # noqa: E402
from visavis.train.classes import ALONE  # noqa: E402
from visavis.train.learner import Learner  # noqa: E402
from visavis.train.recipe import Recipe  # noqa: E402
from visavis.train.recompute import blocks_of, recompute_blocks  # noqa: E402

BLOCKS = {"foamliu": 15, "iresnet18": 8, "ir18": 8, "vit_t": 12, "mobilefacenet": 8}


class Blocks(nn.Module):
    """Three blocks with norms and dropout, (N, 3, 112, 112) to (N, dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 16, 16)
        block = (nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.3))
        self.body = nn.Sequential(*(nn.Sequential(*block) for _ in range(3)))
        self.last = nn.Linear(8 * 49, dim)

    def forward(self, crops):
        return self.last(self.body(self.first(crops)).flatten(1))


def learnt(said: Recipe, steps: int = 3) -> dict:
    """The state after some steps on noise."""
    torch.set_num_threads(1)
    learner = Learner(said, build_backbone(said), 4, torch.device("cpu"), ALONE)
    crops = made_crops(112, 112, count=4)
    for step in range(steps):
        learner.step(step, 0.1, crops, torch.arange(4).numpy())
    return learner.network.state_dict()


@pytest.fixture
def blocks(monkeypatch):
    from visavis.train import backbones

    layout = backbones.Layout("arcface_torch", Blocks)
    monkeypatch.setitem(backbones.BACKBONES, "blocks", layout)


def said(**changes) -> Recipe:
    return Recipe(backbone="blocks", dim=4, batch=4, **changes)


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"still": True}, {"average": 0.5}])
def test_the_numbers_are_the_same_to_the_last_bit(blocks, changes):
    ours, plain = learnt(said(recompute=True, **changes)), learnt(said(**changes))
    assert ours.keys() == plain.keys()
    assert all(ours[name].equal(plain[name]) for name in plain)


@pytest.mark.slow
def test_the_check_of_equal_numbers_can_fail(blocks, monkeypatch):
    """Without care, batch norms would take each batch into their statistics twice."""
    both = (recompute.nullcontext(), recompute.nullcontext())
    monkeypatch.setattr(recompute, "_ways", lambda block: both)
    ours, plain = learnt(said(recompute=True)), learnt(said())
    unlike = [name for name in plain if not ours[name].equal(plain[name])]
    assert [name for name in unlike if "num_batches" in name]
    assert [name for name in unlike if "running" in name]


def kept(network: nn.Module, x: torch.Tensor) -> int:
    """Bytes that a forward pass keeps for the backward one, but for blocks' inputs."""
    total = 0

    def count(tensor):
        nonlocal total
        total += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        network(x)
    return total


def test_less_is_kept():
    x = torch.rand(2, 3, 112, 112)
    plain = Blocks(4)
    before = kept(plain, x)
    assert recompute_blocks(plain) == 3
    assert kept(plain, x) + 3 * 4 * 2 * 8 * 49 < before


@pytest.mark.parametrize("name", BLOCKS)
def test_the_blocks_of_our_backbones(name):
    with torch.device("meta"):
        network = build_backbone(Recipe(backbone=name, dim=16)).network
    assert len(list(blocks_of(network))) == BLOCKS[name]


def test_a_network_without_blocks_is_refused():
    with pytest.raises(ConfigurationError, match="no blocks to compute again"):
        recompute_blocks(nn.Linear(2, 2))
