"""embed --checkpoint: a checkpoint's own network, with no conversion between."""

import json

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
from visavis.checkpoints.checkpoint import save_checkpoint  # noqa: E402
from visavis.checkpoints.embedder import load_network_embedder  # noqa: E402
from visavis.checkpoints.families import FAMILIES  # noqa: E402
from visavis.convert.crops import made_crops, pixels  # noqa: E402
from visavis.errors import OutputError  # noqa: E402
from visavis.networks.mobile import Foamliu, Xiaoccer  # noqa: E402


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    path = tmp_path / "net.safetensors"
    family = FAMILIES["mobilefacenet_foamliu"]
    save_checkpoint(path, Foamliu(16), family.name, family.preprocess, (112, 112))
    return path


def test_its_rows_are_those_of_the_network(checkpoint):
    embed = load_network_embedder(checkpoint)
    crops = made_crops(112, 112, count=3)
    with torch.inference_mode():
        both = [
            embed.network(torch.from_numpy(pixels(one, embed.preprocess))).numpy()
            for one in (crops, crops[:, :, ::-1])
        ]
    expected = sum(both) / np.linalg.norm(sum(both), axis=1, keepdims=True)
    np.testing.assert_allclose(embed(crops), expected, atol=1e-5)
    assert embed.model.startswith("mobilefacenet_foamliu@")
    assert embed.parts[0].dim == embed.dim == 16
    assert embed(crops[:0]).shape == (0, 16)


def test_a_network_of_narrow_crops_gets_their_middle(tmp_path):
    family = FAMILIES["mobilefacenet_xiaoccer"]
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, Xiaoccer(6, 8), family.name, family.preprocess, (112, 96))
    assert load_network_embedder(path)(made_crops(112, 112, count=2)).shape == (2, 8)


@pytest.mark.slow
@pytest.mark.pack
def test_embed_with_a_checkpoint(run, tmp_path, checkpoint):
    Image.fromarray(made_crops(112, 112)[2]).save(tmp_path / "a.png")
    words = ["embed", tmp_path / "a.png", "--aligned", "--checkpoint", checkpoint]
    code, out, _ = run(*words, "--out", tmp_path / "a.npz", "--json")
    assert (code, json.loads(out)["faces"]) == (0, 1)
    assert json.loads(out)["model"].startswith("mobilefacenet_foamliu@")
    code, _, err = run(*words, "--family", "adaface", "--out", tmp_path / "b.npz")
    assert code == 2
    assert "(--family)" in err


@pytest.mark.slow
@pytest.mark.pack
def test_a_call_that_could_not_write_is_not_embedded_again(run, tmp_path, checkpoint, monkeypatch):
    """The folder goes as everything is embedded; with other options it would be another call."""
    for name, crop in zip("abc", made_crops(112, 112), strict=False):
        Image.fromarray(crop).save(tmp_path / f"{name}.png")
    photos, out = sorted(tmp_path.glob("*.png")), tmp_path / "rows.npz"
    words = ["embed", *photos, "--aligned", "--checkpoint", checkpoint, "--out", out, "--json"]

    def full(path, rows, embed):
        raise OutputError(f"{path}: cannot write: no space")

    with monkeypatch.context() as patch:
        patch.setattr("visavis.embeddings.write_table", full)
        assert run(*words)[0] == 2
    assert (tmp_path / "rows.npz.partial").is_dir()
    code, _, err = run(*words, "--no-flip")
    assert (code, "had other models or options" in err) == (2, True)
    code, answer, _ = run(*words)
    assert (code, json.loads(answer)["before"], json.loads(answer)["faces"]) == (0, 3, 3)
    assert sorted(path.name for path in tmp_path.glob("rows*")) == ["rows.npz"]
