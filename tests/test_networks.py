"""Every network has the keys and shapes of its original, and answers as that did."""

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="torch is of the extra convert: pip install '.[convert]'"
)

from made_weights import Fixture, made_pixels, made_weights, read_fixture  # noqa: E402

from visavis.checkpoints.checkpoint import load_checkpoint  # noqa: E402
from visavis.checkpoints.families import FAMILIES  # noqa: E402
from visavis.networks import ir, iresnet, mobile, mobilefacenet, vit  # noqa: E402

# Fixture: its family, and the network without a checkpoint.
FIXTURES = {
    "arcface_torch_r18": ("arcface_torch", lambda: iresnet.IResNet(18)),
    "arcface_torch_r34": ("arcface_torch", lambda: iresnet.IResNet(34)),
    "arcface_torch_r50": ("arcface_torch", lambda: iresnet.IResNet(50)),
    "arcface_torch_r100": ("arcface_torch", lambda: iresnet.IResNet(100)),
    "elasticface_iresnet100": ("elasticface", lambda: iresnet.IResNet(100)),
    "magface_iresnet18": ("magface", lambda: iresnet.IResNet(18, epsilon=2e-5)),
    "magface_iresnet50": ("magface", lambda: iresnet.IResNet(50, epsilon=2e-5)),
    "magface_iresnet100": ("magface", lambda: iresnet.IResNet(100, epsilon=2e-5)),
    "adaface_ir_18": ("adaface", lambda: ir.IR(18)),
    "adaface_ir_34": ("adaface", lambda: ir.IR(34)),
    "adaface_ir_50": ("adaface", lambda: ir.IR(50)),
    "adaface_ir_101": ("adaface", lambda: ir.IR(101)),
    "cvlface_ir_50": ("cvlface_ir", lambda: ir.IR(50)),
    "cvlface_ir_101": ("cvlface_ir", lambda: ir.IR(101)),
    "arcface_torch_mbf": ("arcface_torch_mbf", mobilefacenet.MobileFaceNet),
    "arcface_torch_vit_t": ("arcface_torch_vit", lambda: vit.ViT(vit.ARCFACE["t"])),
    "mobilefacenet_foamliu": ("mobilefacenet_foamliu", mobile.Foamliu),
    "mobilefacenet_xiaoccer": ("mobilefacenet_xiaoccer", mobile.Xiaoccer),
}
# As its authors publish it: what torch.save was given.
PUBLISHED = {
    "arcface_torch_r18": lambda state: {"epoch": 3, "state_dict_backbone": state},
    "magface_iresnet18": lambda state: {
        "arch": "iresnet18",
        "state_dict": {
            **{f"features.module.{key}": tensor for key, tensor in state.items()},
            "fc.weight": torch.zeros(512, 10),
        },
    },
    "adaface_ir_18": lambda state: {
        "state_dict": {
            **{f"model.{key}": tensor for key, tensor in state.items()},
            "head.kernel": torch.zeros(512, 10),
            "head.t": torch.zeros(1),
        }
    },
    "arcface_torch_mbf": lambda state: {f"module.{key}": tensor for key, tensor in state.items()},
    "mobilefacenet_foamliu": lambda state: state,
    "mobilefacenet_xiaoccer": lambda state: {"epoch": 68, "net_state_dict": state},
}
# Without a fixture: entries of the state dict, and millions of parameters (facts/recognition.md).
COUNTED = {
    "r200": (lambda: iresnet.IResNet(200), 1807, 118.8),
    "ir_152": (lambda: ir.IR(152), 1291, 109.6),
    "ir_200": (lambda: ir.IR(200), 1691, 114.1),
    "ir_se_50": (lambda: ir.IR(50, squeeze=True), 515, 43.81),
    "mbf_large": (lambda: mobilefacenet.MobileFaceNet(4), 606, 6.3),
    "xiaoccer, 112x112": (lambda: mobile.Xiaoccer(7), 333, 1.0),
    "treb1en": (mobile.TreB1eN, 333, 1.20),
    "vit s": (lambda: vit.ViT(vit.ARCFACE["s"]), 150, 76.0),
    "vit b": (lambda: vit.ViT(vit.ARCFACE["b"]), 282, 113.8),
    "vit l": (lambda: vit.ViT(vit.ARCFACE["l"]), 282, 255.7),
    "cvlface vit small": (lambda: vit.ViT(vit.CVLFACE["small"], masked=False), 149, 95.95),
    "cvlface vit base": (lambda: vit.ViT(vit.CVLFACE["base"], masked=False), 281, 114.87),
}


@pytest.fixture(params=FIXTURES)
def fixture(request, data) -> Fixture:
    return read_fixture(data / "fixtures", request.param)


def on_meta(build):
    with torch.device("meta"):
        return build().eval()


def test_keys_and_shapes_are_the_originals(fixture):
    state = on_meta(FIXTURES[fixture.name][1]).state_dict()
    ours = [
        (key, (str(tensor.dtype).removeprefix("torch."), tuple(tensor.shape)))
        for key, tensor in state.items()
    ]
    assert ours == list(fixture.keys.items())


def test_the_family_builds_it_and_loads_it_strictly(fixture):
    family = FAMILIES[FIXTURES[fixture.name][0]]
    shapes = {key: shape for key, (_, shape) in fixture.keys.items()}
    assert family.recognise(shapes)
    network = on_meta(lambda: family.build(shapes))
    state = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    network.load_state_dict(state, assign=True)
    assert family.preprocess.color == fixture.preprocess.color
    np.testing.assert_allclose(family.preprocess.mean, fixture.preprocess.mean)
    np.testing.assert_allclose(family.preprocess.std, fixture.preprocess.std)
    assert (family.height, family.width) == (fixture.height, fixture.width)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_answer_is_the_originals(name, data, tmp_path):
    fixture = read_fixture(data / "fixtures", name)
    torch.save(PUBLISHED[name](made_weights(fixture.keys)), tmp_path / "file.pth")
    checkpoint = load_checkpoint(tmp_path / "file.pth")
    assert checkpoint.family.name == FIXTURES[name][0]
    with torch.inference_mode():
        raw = checkpoint.network(
            made_pixels(checkpoint.preprocess, checkpoint.height, checkpoint.width)
        ).numpy()
    answer = np.load(data / "fixtures" / f"{name}.npz")
    norm = np.linalg.norm(raw, axis=1, keepdims=True)
    if "norm" in answer:
        np.testing.assert_allclose(norm, answer["norm"], rtol=1e-3)
        raw, norm = raw / norm, 1
    unit = answer["embedding"] / np.linalg.norm(answer["embedding"], axis=1, keepdims=True)
    assert (np.sum(raw / norm * unit, axis=1) >= 1 - 1e-5).all()
    largest = np.abs(answer["embedding"]).max()
    np.testing.assert_allclose(raw, answer["embedding"], rtol=1e-3, atol=1e-3 * largest)


def test_proved_says_which_families_have_an_answer(data):
    answered = {path.stem for path in (data / "fixtures").glob("*.npz")}
    assert answered == set(PUBLISHED)
    proved = {name for name, family in FAMILIES.items() if family.proved}
    assert proved == {FIXTURES[name][0] for name in answered}


@pytest.mark.parametrize("name", COUNTED)
def test_networks_without_a_fixture_are_as_large_as_their_originals(name):
    build, entries, millions = COUNTED[name]
    network = on_meta(build)
    assert len(network.state_dict()) == entries
    parameters = sum(tensor.numel() for tensor in network.parameters()) / 1e6
    assert parameters == pytest.approx(millions, rel=0.02 if millions < 10 else 0.001)


@pytest.mark.parametrize("name", [*FIXTURES, *COUNTED])
def test_crops_become_one_embedding_each(name):
    network = on_meta(FIXTURES[name][1] if name in FIXTURES else COUNTED[name][0])
    width = 96 if name == "mobilefacenet_xiaoccer" else 112
    embeddings = network(torch.zeros(3, 3, 112, width, device="meta"))
    assert embeddings.shape == (3, 128 if "foamliu" in name or "xiaoccer" in name else 512)


def test_squeeze_and_excitation_weigh_the_channels_by_their_means():
    block = iresnet.SqueezeExcite(16)
    torch.nn.init.ones_(block.fc1.weight)
    torch.nn.init.constant_(block.fc2.weight, 0.5)
    maps = torch.full((1, 16, 2, 2), 0.25)
    expected = 0.25 / (1 + np.exp(-0.5 * 16 * 0.25))  # sigmoid of half the channels' sum
    np.testing.assert_allclose(block(maps).detach(), np.full((1, 16, 2, 2), expected), rtol=1e-6)


def test_attention_mixes_the_values_of_all_tokens():
    block = vit.Attention(2, 1)
    with torch.no_grad():
        block.qkv.weight.copy_(torch.cat([torch.zeros(4, 2), torch.eye(2)]))  # all look alike
        block.proj.weight.copy_(torch.eye(2))
        block.proj.bias.zero_()
        mixed = block(torch.tensor([[[0.0, 2.0], [4.0, 6.0]]]))
    np.testing.assert_allclose(mixed, [[[2, 4], [2, 4]]])
