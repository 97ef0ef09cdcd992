"""Margins against worked-out values, finite differences and transcriptions of their papers."""

import math
from functools import partial

import pytest

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # small tensors are slower in several
from torch.nn import functional  # noqa: E402

from visavis.errors import ConfigurationError  # noqa: E402
from visavis.train import margins  # noqa: E402
from visavis.train.classes import HeadOptions, build_head  # noqa: E402
from visavis.train.heads import MARGINS, MarginOptions, build_margin  # noqa: E402

COSINES = (0.95, 0.9, 0.6, 0.3, 0.0, -0.5, -0.9, -0.95)
NORMS, SAID = (10.0, 110.0), (0.45, 0.8)
arc = partial(partial, margins.arcface)


def mag(norm: float, tail: str):
    margin = margins.magface_margin(torch.tensor(norm), NORMS, SAID)
    return partial(margins.arcface, margin=margin, tail=tail)


def ada(scaler: float):
    return partial(margins.adaface, scaler=scaler)


# The target logit before the scale, to four places.
GOLDEN = [
    (margins.cosface, (0.55, 0.5, 0.2, -0.1, -0.4, -0.9, -1.3, -1.35)),
    (arc(), (0.684, 0.5808, 0.143, -0.1941, -0.4794, -0.854, -0.9988, -0.9834)),
    (arc(tail="clip"), (0.684, 0.5808, 0.143, -0.1941, -0.4794, -0.854, -1.0, -1.0)),
    (arc(tail="linear"), (0.684, 0.5808, 0.143, -0.1941, -0.4794, -0.854, -1.1397, -1.1897)),
    (arc(tail="easy"), (0.684, 0.5808, 0.143, -0.1941, 0.0, -0.5, -0.9, -0.95)),
    (arc(tail="mirror"), (0.684, 0.5808, 0.143, -0.1941, -0.4794, -0.854, -1.0012, -1.0166)),
    (arc(tail="lesser"), (0.684, 0.5808, 0.143, -0.1941, -0.4794, -0.854, -0.9988, -0.9834)),
    (
        partial(margins.combined, multiple=1, added=0.3, subtracted=0.2),
        (0.6153, 0.531, 0.1368, -0.1953, -0.4955, -0.9336, -1.1886, -1.1998),
    ),
    (
        partial(margins.combined, multiple=0.9, added=0.4, subtracted=0.15),
        (0.6239, 0.5424, 0.1799, -0.1187, -0.3905, -0.805, -1.0992, -1.1301),
    ),
    (margins.sphereface, (0.296, -0.2312, -1.1568, -2.3448, -3.0, -4.5, -5.7688, -6.2961)),
    (
        partial(margins.sphereface, multiple=1.5),
        (0.8887, 0.7797, 0.1789, -0.3225, -0.7071, -1.0, -1.3739, -1.5415),
    ),
    (ada(-1), (0.7534, 0.6592, 0.2411, -0.0952, -0.3894, -0.7978, -0.9987, -1.0)),
    (ada(-0.333), (0.6333, 0.5673, 0.2216, -0.0961, -0.3996, -0.8774, -1.2167, -1.2499)),
    (ada(0), (0.55, 0.5, 0.2, -0.1, -0.4, -0.9, -1.3, -1.35)),
    (ada(0.333), (0.4499, 0.4167, 0.1677, -0.1092, -0.4004, -0.9138, -1.3673, -1.4333)),
    (ada(1), (0.2, 0.1987, 0.0642, -0.1522, -0.4106, -0.9233, -1.4592, -1.5534)),
    (mag(10, "easy"), (0.7196, 0.6208, 0.1923, -0.1448, 0.0, -0.5, -0.9, -0.95)),
    (mag(60, "easy"), (0.5877, 0.4748, 0.0185, -0.3149, 0.0, -0.5, -0.9, -0.95)),
    (mag(110, "easy"), (0.4379, 0.3143, -0.1559, -0.4753, 0.0, -0.5, -0.9, -0.95)),
    (mag(110, "linear"), (0.4379, 0.3143, -0.1559, -0.4753, -0.7174, -0.9696, -1.4739, -1.5239)),
]


@pytest.mark.parametrize(("target", "expected"), GOLDEN)
def test_targets_are_those_of_the_formulas(target, expected):
    answer = target(torch.tensor(COSINES, dtype=torch.float64))
    torch.testing.assert_close(
        answer, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=6e-5
    )


@pytest.mark.parametrize("target", [target for target, _ in GOLDEN])
def test_gradients_are_those_of_finite_differences(target):
    """Between the places where a formula jumps: float64, by torch's own differences."""
    away = torch.tensor((0.93, 0.58, 0.31, -0.52, -0.85), dtype=torch.float64)
    assert torch.autograd.gradcheck(target, away.requires_grad_())


def test_the_slope_of_arcface_turns_round_past_pi_and_straight_through_does_not():
    cosine = torch.tensor(COSINES, dtype=torch.float64, requires_grad=True)
    margins.arcface(cosine).sum().backward()
    expected = torch.tensor([2.336, 1.867, 1.237, 1.028, 0.878, 0.601, -0.112, -0.581]).double()
    torch.testing.assert_close(cosine.grad, expected, rtol=0, atol=1e-3)
    cosine.grad = None
    margins.straight_through(cosine, margins.arcface(cosine)).sum().backward()
    assert cosine.grad.tolist() == [1.0] * 8


def test_a_gradient_is_finite_at_the_ends():
    for target, _ in GOLDEN:
        ends = torch.tensor([1.0, -1.0], requires_grad=True)
        target(ends).sum().backward()
        assert ends.grad.isfinite().all()


def test_magfaces_margins_and_penalty():
    norms = torch.tensor([5.0, 10, 20, 40, 60, 80, 110, 500])
    expected = torch.tensor([0.45, 0.45, 0.485, 0.555, 0.625, 0.695, 0.8, 0.8])
    torch.testing.assert_close(margins.magface_margin(norms, NORMS, SAID), expected)
    for norm, penalty in ((10, 0.1008), (20, 0.0517), (40, 0.0283), (60, 0.0216), (110, 0.0182)):
        assert margins.magface_penalty(torch.tensor([float(norm)]), NORMS) == pytest.approx(
            penalty, abs=5e-5
        )
    assert margins.magface_least_penalty(NORMS, SAID, 64) == pytest.approx(22.59, abs=5e-3)
    assert margins.magface_least_penalty(NORMS, (0.35, 0.8), 64) == pytest.approx(29.04, abs=5e-3)


def test_adafaces_statistics():
    """Norms 10 to 40: the paper's moving mean from its first values, and once it has settled."""
    norms = torch.tensor([10.0, 20, 30, 40])
    margin = build_margin("adaface", MarginOptions(margin=0.4), 3)
    margin(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]), norms, Mean())
    assert float(margin.batch_mean) == pytest.approx(20.05, abs=1e-4)
    assert float(margin.batch_std) == pytest.approx(99.1291, abs=1e-4)
    scaler = margins.adaface_scaler(norms, margin.batch_mean, margin.batch_std, 0.333)
    assert scaler.tolist() == pytest.approx([-0.0338, -0.0002, 0.0334, 0.0670], abs=6e-5)
    settled = margins.adaface_scaler(norms, norms.mean(), norms.std(), 0.333)
    assert settled.tolist() == pytest.approx([-0.3869, -0.1290, 0.1290, 0.3869], abs=6e-5)
    margin.eval()
    margin(torch.zeros(4, 3), torch.tensor([0, 1, 2, 0]), norms, Mean())
    assert float(margin.batch_mean) == pytest.approx(20.05, abs=1e-4)


def test_spherefaces_annealing():
    assert margins.annealing(0) == 1000
    assert [margins.annealing(step) == 5 for step in (1657, 1659)] == [False, True]


def test_elastic_order_gives_the_hardest_row_the_largest_margin():
    cosine, drawn = torch.tensor([0.9, 0.1, 0.5]), torch.tensor([0.2, 0.3, 0.1])
    assert margins.elastic_order(cosine, drawn).tolist() == pytest.approx([0.1, 0.3, 0.2])


def test_curricularface_hardens_what_is_above_the_target():
    cosine = torch.tensor([[0.5, 0.3, -0.2]])
    hard = margins.harden(cosine, torch.tensor([0.2]), torch.tensor(0.1))
    assert hard[0].tolist() == pytest.approx([0.5 * 0.6, 0.3 * 0.4, -0.2])


def test_uniface_by_hand():
    target, others = torch.tensor([2.0]), torch.tensor([[-math.inf, 1.0, -1.0]])
    bias = torch.tensor([0.5], requires_grad=True)
    loss = margins.uniface(target, others, bias)
    by_hand = math.log1p(math.exp(-1.5)) + math.log1p(math.exp(0.5)) + math.log1p(math.exp(-1.5))
    assert loss.item() == pytest.approx(by_hand, abs=1e-6)
    loss.backward()
    assert bias.grad.isfinite().all()
    assert build_margin("uniface", MarginOptions(), 100).threshold == pytest.approx(
        math.log(1000) / 64
    )


def test_classes_that_are_one_person_do_not_push_each_other_away():
    cosine = torch.tensor([[0.9, 0.6, 0.3], [0.5, 0.2, 0.1]])
    filtered = margins.without_alike(cosine, torch.tensor([0, -1]), 0.4)
    assert filtered.tolist() == [
        pytest.approx([0.9, 0.0, 0.3]),
        pytest.approx([0.0, 0.2, 0.1]),
    ]


class Mean:
    """All columns in one process."""

    def cross_entropy(self, logits, labels):
        return functional.cross_entropy(logits, labels)

    def once(self, tensor):
        return tensor


def test_combined_is_combined():
    """With m2 or m3 alone it is ArcFace or CosFace; with all three neither."""
    cosine = torch.tensor(COSINES)
    torch.testing.assert_close(margins.combined(cosine, 1, 0.5, 0), margins.arcface(cosine))
    torch.testing.assert_close(
        margins.combined(cosine, 1, 0, 0.4), margins.cosface(cosine), atol=2e-6, rtol=0
    )
    assert not torch.allclose(margins.combined(cosine, 1, 0.5, 0.2), margins.cosface(cosine, 0.2))


def paper_magface(x, weight, labels):
    """Meng et al.: equations 2 to 6, sample by sample, in float64 and by angles."""
    losses, penalties = [], []
    for row, label in zip(x, labels.tolist(), strict=True):
        a = torch.clamp(torch.sqrt((row**2).sum()), 10, 110)
        m = 0.45 + (0.8 - 0.45) / (110 - 10) * (a - 10)
        unit = row / torch.sqrt((row**2).sum())
        cosines = [(unit * w).sum() / torch.sqrt((w**2).sum()) for w in weight]
        logits = [64 * c for c in cosines]
        logits[label] = 64 * torch.cos(torch.acos(cosines[label]) + m)
        losses.append(torch.logsumexp(torch.stack(logits), 0) - logits[label])
        penalties.append(a / 110**2 + 1 / a)
    return torch.stack(losses).mean() + 35 * torch.stack(penalties).mean()


class PaperAdaFace:
    """Kim et al.: equations 7 to 10, with their moving statistics."""

    def __init__(self):
        self.mean, self.std = 20.0, 100.0

    def __call__(self, x, weight, labels):
        lengths = torch.sqrt((x.detach() ** 2).sum(1))
        n = len(lengths)
        mean = lengths.sum() / n
        self.mean = 0.99 * self.mean + 0.01 * mean
        self.std = 0.99 * self.std + 0.01 * torch.sqrt(((lengths - mean) ** 2).sum() / (n - 1))
        losses = []
        for row, label, length in zip(x, labels.tolist(), lengths, strict=True):
            z = torch.clamp((length - self.mean) / ((self.std + 1e-3) / 0.333), -1, 1)
            unit = row / torch.sqrt((row**2).sum())
            cosines = [(unit * w).sum() / torch.sqrt((w**2).sum()) for w in weight]
            logits = [64 * c for c in cosines]
            turned = torch.cos(torch.acos(cosines[label]) - 0.4 * z)
            logits[label] = 64 * (turned - (0.4 * z + 0.4))
            losses.append(torch.logsumexp(torch.stack(logits), 0) - logits[label])
        return torch.stack(losses).mean()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said", "paper"),
    [
        ("magface", MarginOptions(), paper_magface),
        ("adaface", MarginOptions(margin=0.4), PaperAdaFace()),
    ],
)
def test_fifty_steps_are_those_of_the_paper(name, said, paper):
    torch.manual_seed(0)
    x = (6 * torch.randn(6, 16)).double().requires_grad_()
    labels = torch.tensor([0, 1, 2, 3, 0, 1])
    head = build_head(name, 4, 16, said, seed=1).double()
    theirs = [one.detach().clone().requires_grad_() for one in (x, head.weight)]
    for _ in range(50):
        # The head computes in float32 on purpose: its own path is taken in float64 here.
        norms = x.norm(dim=1)
        cosine = (x / norms[:, None]) @ functional.normalize(head.weight).T
        ours = head.margin(cosine, labels, norms, Mean())
        other = paper(*theirs, labels)
        mine = torch.autograd.grad(ours, (x, head.weight))
        their = torch.autograd.grad(other, theirs)
        assert ours.item() == pytest.approx(other.item(), rel=1e-5, abs=1e-5)
        for a, b in zip(mine, their, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)
        with torch.no_grad():
            for values, step in zip((x, head.weight, *theirs), (*mine, *their), strict=True):
                values.sub_(0.02 * step)


def test_magfaces_penalty_has_a_gradient():
    x = torch.full((2, 4), 10.0, requires_grad=True)
    weighed = [
        torch.autograd.grad(
            build_head("magface", 3, 4, MarginOptions(penalty=penalty), seed=1)(
                x, torch.tensor([0, 1])
            ),
            x,
        )[0]
        for penalty in (0.0, 35.0)
    ]
    # d/da (a / 110^2 + 1 / a) at a = 20, 35 times, meant over 2 rows, along the unit row.
    by_hand = 35 / 2 * (1 / 110**2 - 1 / 20**2) / 2
    torch.testing.assert_close(weighed[1] - weighed[0], torch.full((2, 4), by_hand))


def train(name: str, *, steps: int, bf16: bool) -> list[float]:
    torch.manual_seed(0)
    backbone = torch.nn.Linear(12, 8)
    head = build_head(name, 5, 8, MarginOptions(scale=16, margin=0.3), seed=1)
    moved = torch.optim.SGD([*backbone.parameters(), *head.parameters()], 0.05, momentum=0.9)
    x, labels = torch.randn(20, 12), torch.arange(20) % 5
    losses = []
    for _ in range(steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = head(10 * backbone(x), labels)
        moved.zero_grad()
        loss.backward()
        moved.step()
        losses.append(loss.item())
    return losses


@pytest.mark.slow
@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("name", MARGINS)
def test_200_steps_without_nan(name, bf16):
    losses = train(name, steps=200, bf16=bf16)
    assert all(map(math.isfinite, losses))
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", MARGINS)
def test_a_head_learns_from_its_first_step(name):
    first, second, third = train(name, steps=3, bf16=False)
    assert third < first
    assert math.isfinite(second)


def test_heads_compute_in_float32_under_mixed_precision():
    """Cosines of 1 - 1e-4 are 1 in bfloat16: a head that used it would have no finite slope."""
    head = build_head("arcface", 2, 3, MarginOptions())
    with torch.autocast("cpu", torch.bfloat16):
        loss = head(torch.eye(3)[:2].bfloat16(), torch.tensor([0, 1]))
    assert loss.dtype == torch.float32


def test_sub_centres_the_nearest_counts():
    head = build_head("softmax", 2, 2, MarginOptions(scale=1.0), HeadOptions(centres=2))
    with torch.no_grad():
        head.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [-1, 0], [0, -1]]))
    loss = head(torch.tensor([[0.0, 1.0]]), torch.tensor([0]))
    # Class 0 by its second centre 1, class 1 by its first 0.
    assert loss.item() == pytest.approx(math.log1p(math.exp(-1)))


@pytest.mark.parametrize(
    ("name", "said", "message"),
    [
        ("arcfaces", MarginOptions(), "did you mean 'arcface'"),
        ("arcface", MarginOptions(tail="liner"), "did you mean 'linear'"),
        ("arcface", MarginOptions(gradient="exakt"), "did you mean 'exact'"),
    ],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, said, message):
    with pytest.raises(ConfigurationError, match=message):
        build_margin(name, said, 3)


def test_a_margin_that_needs_all_classes_is_not_sampled():
    with pytest.raises(ConfigurationError, match="curricularface needs all classes"):
        build_head("curricularface", 9, 2, MarginOptions(), HeadOptions(rate=0.5))
