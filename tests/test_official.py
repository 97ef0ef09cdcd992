"""Weights in the files that others write: read back as theirs, they answer as ours."""

import pytest

torch = pytest.importorskip("torch")
from visavis.checkpoints.checkpoint import load_checkpoint  # noqa: E402
from visavis.train.backbones import BACKBONES  # noqa: E402
from visavis.train.official import write_official  # noqa: E402


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "name", "left_out"),
    [
        ("iresnet18", "backbone.pth", ()),
        ("ir18", "model.ckpt", ("head.kernel",)),
        ("iresnet50_magface", "magface.pth", ("parallel_fc.weight",)),
        ("mobilefacenet", "backbone.pth", ()),
    ],
)
def test_it_is_read_as_the_authors_own(tmp_path, backbone, name, left_out):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    layout = BACKBONES[backbone]
    network = layout.build(8).eval()
    written = write_official(tmp_path, layout.family, network.state_dict(), torch.randn(5, 8))
    assert written.name == name
    read = load_checkpoint(written, family=layout.family)
    x = torch.randn(2, 3, 112, 112)
    with torch.inference_mode():
        torch.testing.assert_close(read.network(x), network(x))
    assert tuple(read.settings["left_out"]) == left_out


def test_the_wrapping_alone_tells_adaface_and_magface(tmp_path):
    state, classes = {"conv.weight": torch.ones(2)}, torch.arange(6.0).reshape(3, 2)
    ours = torch.load(write_official(tmp_path, "adaface", state, classes), weights_only=True)
    assert set(ours["state_dict"]) == {"model.conv.weight", "head.kernel"}
    assert ours["state_dict"]["head.kernel"].tolist() == [[0, 2, 4], [1, 3, 5]]
    bare = torch.load(write_official(tmp_path, "arcface_torch", state, classes), weights_only=True)
    assert set(bare) == {"conv.weight"}
    without = torch.load(write_official(tmp_path, "magface", state, None), weights_only=True)
    assert set(without["state_dict"]) == {"features.module.conv.weight"}
