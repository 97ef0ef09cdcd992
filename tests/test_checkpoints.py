"""Everyone's wrapping is taken off, ambiguity is refused, and nothing in a file is ever run."""

import io
import json
import os
import pickle
import re
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip(
    "torch", reason="torch is of the extra convert: pip install '.[convert]'"
)

from conftest import ROOT  # noqa: E402
from made_weights import made_tensor, zeros  # noqa: E402
from malformed import MEGABYTES, measured  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from visavis.checkpoints.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from visavis.checkpoints.families import FAMILIES, detect_family  # noqa: E402
from visavis.checkpoints.weights import read_weights  # noqa: E402
from visavis.errors import CheckpointError  # noqa: E402
from visavis.networks import ir, iresnet, mobile, mobilefacenet, vit  # noqa: E402
from visavis.runtime import Preprocess  # noqa: E402

KINDS = {
    "iresnet": lambda: iresnet.IResNet(18, 2),
    "squeezed": lambda: iresnet.IResNet(18, 2, squeeze=True),
    "ir": lambda: ir.IR(18, 2),
    "ir_se": lambda: ir.IR(18, 2, squeeze=True),
    "mbf": lambda: mobilefacenet.MobileFaceNet(2, 8),
    "mbf_large": lambda: mobilefacenet.MobileFaceNet(4, 8),
    "vit": lambda: vit.ViT(vit.ARCFACE["t"], 8),
    "cvlface_vit": lambda: vit.ViT(vit.TransformerLayout(8, 512, 12, 8, 5), 8, masked=False),
    "foamliu": mobile.Foamliu,
    "xiaoccer": mobile.Xiaoccer,
    "xiaoccer_square": lambda: mobile.Xiaoccer(7),
    "treb1en": mobile.TreB1eN,
}
HEAD = torch.zeros(2, 5)


class Callback:
    """A training framework's class, which no reader of its checkpoints has."""


@pytest.fixture(scope="module")
def states():
    """A state dict of each kind, made when it is first asked for."""

    class Made(dict):
        def __missing__(self, kind):
            with torch.device("meta"):
                network = KINDS[kind]()
            self[kind] = zeros(network)
            return self[kind]

    return Made()


@pytest.fixture(scope="module")
def small():
    """The smallest family's state dict, with numbers in it; no test changes it."""
    return OrderedDict(
        (key, made_tensor(key, tuple(tensor.shape)))
        for key, tensor in mobile.Foamliu().state_dict().items()
    )


def under(prefix, state):
    return {prefix + key: tensor for key, tensor in state.items()}


def saved(tmp_path, content, *, legacy=False):
    torch.save(content, tmp_path / "file.pth", _use_new_zipfile_serialization=not legacy)
    return tmp_path / "file.pth"


def refused(path, match, **options):
    with pytest.raises(CheckpointError, match=match) as raised:
        load_checkpoint(path, **options)
    assert str(path) in str(raised.value)


# Wrapping


@pytest.mark.parametrize(
    ("kind", "wrap", "family"),
    [
        ("iresnet", lambda s: {"state_dict_backbone": s, "epoch": 1}, "arcface_torch"),
        (
            "iresnet",
            lambda s: {"state_dict": {**under("features.module.", s), "fc.weight": HEAD}},
            "magface",
        ),
        (
            "iresnet",
            lambda s: {"state_dict": {**under("features.module.", s), "parallel_fc.weight": HEAD}},
            "magface",
        ),
        (
            "iresnet",
            lambda s: {"state_dict": {**under("module.features.", s), "module.fc.weight": HEAD}},
            "magface",
        ),
        (
            "iresnet",
            lambda s: {"state_dict": {**under("backbone.", s), "header.linear.weight": HEAD}},
            "face_embeddings",
        ),
        ("iresnet", lambda s: under("net.", s), "cvlface_iresnet"),
        ("squeezed", lambda s: s, "elasticface"),
        (
            "ir",
            lambda s: {
                "state_dict": {**under("model.", s), "head.kernel": HEAD, "head.t": HEAD},
                "callbacks": {Callback: {"best": 1}},
                "hyper_parameters": {"margin": 0.4},
            },
            "adaface",
        ),
        ("ir", lambda s: under("net.", s), "cvlface_ir"),
        ("ir_se", lambda s: under("model.net.", s), "cvlface_ir"),
        ("mbf", lambda s: s, "arcface_torch_mbf"),
        ("mbf_large", lambda s: under("module.", s), "arcface_torch_mbf"),
        ("vit", lambda s: s, "arcface_torch_vit"),
        ("foamliu", lambda s: s, "mobilefacenet_foamliu"),
        ("xiaoccer", lambda s: {"net_state_dict": s}, "mobilefacenet_xiaoccer"),
        ("xiaoccer_square", lambda s: {"net_state_dict": s}, "mobilefacenet_xiaoccer_square"),
        ("treb1en", lambda s: s, "mobilefacenet_treb1en"),
    ],
)
def test_the_wrapping_is_taken_off_and_says_the_family(kind, wrap, family, states, tmp_path):
    checkpoint = load_checkpoint(saved(tmp_path, wrap(states[kind])))
    assert checkpoint.family is FAMILIES[family]
    assert checkpoint.preprocess == checkpoint.family.preprocess
    assert (checkpoint.height, checkpoint.width) == (112, 96 if kind == "xiaoccer" else 112)
    assert checkpoint.source == "file.pth"
    assert len(checkpoint.sha256) == 64
    assert not checkpoint.network.training
    loaded = checkpoint.network.state_dict()
    assert list(loaded) == list(states[kind])
    assert all("head" in k or "fc." in k for k in checkpoint.settings["left_out"])
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32, torch.int64}


OPTIMIZER = {"state": {0: {"exp_avg": HEAD}}, "param_groups": [{"lr": 0.1}]}
WRAPPED = {
    "compiled": (lambda s: under("_orig_mod.", s), "_orig_mod."),
    "compiled, in parallel": (lambda s: under("_orig_mod.module.", s), "_orig_mod.module."),
    "an encoder": (lambda s: under("encoder.", s), "encoder."),
    "Lightning's": (lambda s: {"state_dict": under("model.backbone.", s)}, "model.backbone."),
    "of somebody's own": (lambda s: under("trunk.a.b.c.d.", s), "trunk.a.b.c.d."),
    "net": (lambda s: {"net": s, "epoch": 3}, ""),
    "model_state_dict": (lambda s: {"model_state_dict": s, "optimizer": OPTIMIZER}, ""),
    "weights": (lambda s: {"weights": s, "loss": 0.5, "args": {"lr": 0.1}}, ""),
    "a head in an entry": (lambda s: {"backbone": s, "head": {"weight": HEAD}}, ""),
    "an entry in an entry": (lambda s: {"state": {"net": s}, "step": 1}, ""),
    "both": (lambda s: {"net": under("encoder.", s)}, "encoder."),
}


@pytest.mark.parametrize(("wrap", "prefix"), WRAPPED.values(), ids=WRAPPED)
def test_any_wrapping_is_taken_off(wrap, prefix, small, tmp_path):
    checkpoint = load_checkpoint(saved(tmp_path, wrap(small)))
    assert checkpoint.family.name == "mobilefacenet_foamliu"
    assert (checkpoint.settings["prefix"], checkpoint.settings["left_out"]) == (prefix, ())
    loaded = checkpoint.network.state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in small.items())


@pytest.mark.parametrize(
    ("prefix", "beside"),
    [
        ("backbone.", ("arcface.weight",)),
        ("encoder.", ("arcface.weight", "classifier.0.bias", "classifier.0.weight")),
        ("module.", ("stray",)),
        ("_orig_mod.", ("log_vars", "margin.kernel")),
    ],
)
def test_what_lies_beside_a_backbone_is_named_and_left(prefix, beside, small, tmp_path):
    state = {**under(prefix, small), **dict.fromkeys(beside, HEAD)}
    checkpoint = load_checkpoint(saved(tmp_path, state))
    assert checkpoint.settings["left_out"] == tuple(sorted(beside))
    assert list(checkpoint.network.state_dict()) == list(small)


def test_counts_of_batches_may_be_missing(small, tmp_path):
    counts = [key for key in small if key.endswith("num_batches_tracked")]
    loaded = load_checkpoint(saved(tmp_path, without(small, *counts))).network.state_dict()
    assert len(counts) > 10
    assert all(loaded[key].item() == 0 for key in counts)
    assert list(loaded) == list(small)


def test_an_entry_that_holds_itself_is_looked_into_once(small, tmp_path):
    held = {"net": dict(small)}
    held["again"] = {"once": held["net"], "more": [held]}
    refused(saved(tmp_path, held), "2 entries hold tensors")


def test_torchscript_is_called_so(tmp_path):
    """Its code is compressed, as nothing of torch.save is."""
    with zipfile.ZipFile(tmp_path / "file.pt", "w") as archive:
        archive.writestr("file/data.pkl", b"")
        archive.writestr("file/code/model.py", "def forward" * 99, zipfile.ZIP_DEFLATED)
        archive.writestr("file/constants.pkl", b"")
    refused(tmp_path / "file.pt", "a TorchScript archive, which holds a program: save its state")


def test_cvlface_s_transformer_is_known_by_its_196_patches(states, tmp_path):
    shapes = {key: tuple(tensor.shape) for key, tensor in states["cvlface_vit"].items()}
    assert detect_family(shapes) == ["cvlface_vit"]
    with torch.device("meta"):
        network = FAMILIES["cvlface_vit"].build(shapes)
    assert network.blocks[0].attn.heads == 8
    assert {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()} == shapes


@pytest.mark.parametrize(
    ("kind", "wrap", "names"),
    [
        (
            "iresnet",
            lambda s: s,
            "arcface_torch elasticface magface face_embeddings cvlface_iresnet",
        ),
        ("iresnet", lambda s: under("module.", s), "arcface_torch elasticface magface"),
        ("iresnet", lambda s: {"state_dict": under("backbone.", s)}, "arcface_torch magface"),
        ("ir", lambda s: s, "adaface cvlface_ir"),
        ("ir", lambda s: {"state_dict": under("model.", s)}, "adaface cvlface_ir"),
    ],
)
def test_keys_of_several_families_are_refused_until_one_is_named(
    kind, wrap, names, states, tmp_path
):
    path = saved(tmp_path, wrap(states[kind]))
    refused(path, "a wrong one would answer nearly right: .*: say which it is$")
    with pytest.raises(CheckpointError) as raised:
        load_checkpoint(path)
    assert raised.value.option == "family"
    assert all(f"{name} (" in str(raised.value) for name in names.split())
    for name in names.split():
        assert load_checkpoint(path, family=name).family.name == name


def test_what_ambiguous_families_differ_in_is_theirs(states, tmp_path):
    path = saved(tmp_path, states["iresnet"])
    arcface, magface = (load_checkpoint(path, family=name) for name in ("arcface_torch", "magface"))
    assert (arcface.network.bn1.eps, magface.network.bn1.eps) == (1e-5, 2e-5)
    assert arcface.preprocess == Preprocess("rgb", (127.5,) * 3, (127.5,) * 3)
    assert magface.preprocess == Preprocess("bgr", (0.0,) * 3, (255.0,) * 3)


def test_a_family_that_is_not_the_file_s_is_refused(small, tmp_path):
    path = saved(tmp_path, small)
    refused(path, "not adaface's: they are those of mobilefacenet_foamliu", family="adaface")
    with pytest.raises(CheckpointError, match="unknown family 'vgg'; known: auto, arcface_torch"):
        load_checkpoint(path, family="vgg")


# CVLface's folders


def cvlface_folder(folder, state, settings, *, name="model.safetensors"):
    (folder / "pretrained_model").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"conf": {"color_space": "BGR"}}))
    (folder / "wrapper.py").write_text("raise SystemExit")
    if settings is not None:
        (folder / "pretrained_model" / "model.yaml").write_text(settings)
    if name.endswith(".safetensors"):
        save_file(under("model.net.", state), folder / name)
    else:
        torch.save(under("net.", state), folder / name)
    return folder


@pytest.mark.parametrize("name", ["model.safetensors", "pretrained_model/model.pt"])
@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_a_cvlface_folder_has_the_colours_of_its_yaml(name, color, states, tmp_path):
    settings = f"input_size: [3, 112, 112]\ncolor_space: '{color}'\nname: 'ir18'\n"
    folder = cvlface_folder(tmp_path / "cvlface_ir18", states["ir"], settings, name=name)
    for path in (folder, folder / name):
        checkpoint = load_checkpoint(path)
        assert checkpoint.family.name == "cvlface_ir"
        assert checkpoint.preprocess.color == color.lower()
        assert checkpoint.settings["model.yaml"]["name"] == "ir18"
    assert load_checkpoint(folder).source == "cvlface_ir18"


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (None, "no pretrained_model/model.yaml"),
        ("color_space: GREY", "expected color_space RGB or BGR, got 'GREY'"),
        ("input_size: [3, 224, 224]", "expected input_size"),
        ("[1, 2]", "expected names with values, got list"),
        ("a: [", "cannot be read"),
        ("a: !!python/object/apply:os.system ['true']", "cannot be read"),
        ("a: " + "x" * 70_000, "over 65536 bytes"),
    ],
)
def test_a_cvlface_folder_that_does_not_say_its_colours_is_refused(
    settings, match, states, tmp_path
):
    refused(cvlface_folder(tmp_path / "folder", states["ir"], settings), match)


def test_a_folder_without_weights_is_refused(tmp_path):
    refused(tmp_path, "a folder without a checkpoint: expected one of CVLface")


# Keys


def copied(state):
    """A torch.save file holds tensors that share their numbers once."""
    return {key: tensor.clone() for key, tensor in state.items()}


def without(state, *keys):
    return {key: tensor for key, tensor in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda s: without(s, "bn.bias", "bn.weight"), "2 missing: bn.weight, bn.bias$"),
        (lambda s: {**s, "extra": HEAD}, "1 unexpected: extra$"),
        (
            lambda s: {**s, "bn.bias": HEAD},
            r"1 of another shape: bn.bias \(expected \(128,\), got \(2, 5\)\)$",
        ),
        (
            lambda s: {**s, "bn.bias": torch.zeros(128, dtype=torch.int8)},
            r"got \(128,\) torch.int8",
        ),
        (lambda s: {**without(s, "bn.bias"), "x": HEAD}, "1 missing: bn.bias; 1 unexpected: x$"),
        (
            lambda s: {**s, **{f"extra{n}": HEAD for n in range(30)}},
            "30 unexpected: extra0, .*, extra9, and 20 more$",
        ),
        (
            lambda s: {**under("student.", s), **under("teacher.", copied(s))},
            "two backbones, under student. and under teacher.: nobody can tell",
        ),
        (
            lambda s: {**under("module.", s), **under("ema.module.", copied(s))},
            "two backbones, under module. and under ema.module.",
        ),
        (
            lambda s: {"net": dict(s), "ema": copied(s)},
            "2 entries hold tensors, and nobody can tell which is meant: net, ema: save one",
        ),
        (lambda s: {"head": {"weight": HEAD}}, "a margin head alone"),
        (lambda s: {**under("module.", s), "bn.bias": HEAD}, "no known backbone: module.conv1"),
        (lambda s: {**s, "bn.bias": torch.full((128,), float("nan"))}, "NaN or infinite: bn.bias$"),
        (lambda s: {**s, "bn.bias": torch.full((128,), 1e300, dtype=torch.float64)}, "infinite"),
        (lambda s: {"weight": torch.zeros(5, 2)}, "a margin head alone"),
        (lambda s: {"kernel": HEAD}, "a margin head alone"),
        (lambda s: HEAD, "one tensor alone, as of a margin head"),
        (lambda s: {"a.weight": HEAD, "b.bias": HEAD}, "no known backbone: a.weight, b.bias$"),
        (lambda s: {"epoch": 3, "optimizer": {}}, "holds no tensors by name"),
        (lambda s: [1, 2], "holds no tensors by name"),
        (lambda s: {"net.keypoint_linear.weight": HEAD}, "no known backbone|KPRPE"),
        (lambda s: {**s, "bn.bias": torch.zeros(1).expand(10**12)}, "larger than the file"),
        (lambda s: {**s, "bn.bias": torch.zeros(128, dtype=torch.complex64)}, "no plain tensor"),
        (lambda s: {**s, "bn.bias": torch.zeros(128).to_sparse()}, "no plain tensor"),
        (lambda s: {**s, "bn.bias": torch.zeros(128, device="meta")}, "a shape and no values"),
    ],
)
def test_keys_that_do_not_fit_are_refused_in_one_error(change, match, small, tmp_path):
    refused(saved(tmp_path, change(small)), match)


def test_a_network_of_no_published_depth_is_refused(states, tmp_path):
    cut = {key: value for key, value in states["iresnet"].items() if "layer3.1." not in key}
    refused(saved(tmp_path, cut), "got 2-2-1-2: keys missing", family="magface")
    cut = {key: value for key, value in states["ir"].items() if "body.7." not in key}
    refused(saved(tmp_path, cut), "got 7: keys missing", family="adaface")
    cut = {key: value for key, value in states["vit"].items() if "blocks.3." not in key}
    refused(saved(tmp_path, cut), "got 256 x 11")
    wide = {**states["mbf"], "layers.0.layers.0.weight": torch.zeros(192, 3, 3, 3)}
    refused(saved(tmp_path, wide), "got 192")


def test_keypoint_position_encoding_is_refused_by_name(states, tmp_path):
    state = {"keypoint_linear.weight": HEAD, "patch_embed.proj.weight": HEAD}
    refused(saved(tmp_path, under("net.", state)), "KPRPE.*five landmarks")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_weights_become_float32(dtype, small, tmp_path):
    narrow = {key: tensor.to(dtype) for key, tensor in small.items()}  # the counts of batches, too
    loaded = load_checkpoint(saved(tmp_path, narrow)).network.state_dict()
    assert all(torch.equal(loaded[key].float(), tensor.float()) for key, tensor in narrow.items())
    assert {tensor.dtype for tensor in loaded.values()} == {torch.float32, torch.int64}


# Formats


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: {"epoch": 1, "model": m}])
def test_a_module_pickled_whole_gives_its_tensors(legacy, wrap, small, tmp_path):
    module = mobile.Foamliu()
    module.load_state_dict(small)
    path = saved(tmp_path, wrap(torch.nn.DataParallel(module)), legacy=legacy)
    assert_same(load_checkpoint(path), small)


@pytest.mark.parametrize("legacy", [False, True])
def test_foreign_classes_become_stubs_and_the_tensors_stay(legacy, small, tmp_path):
    content = {
        "state_dict": small,
        "callbacks": {Callback: Callback()},
        "scheduler": [np.float64(0.1), np.arange(3), {1, 2}, slice(1), Callback],
    }
    assert_same(load_checkpoint(saved(tmp_path, content, legacy=legacy)), small)


def assert_same(checkpoint, state):
    loaded = checkpoint.network.state_dict()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


def with_header(path, header: bytes, tensors: bytes = b""):
    """A safetensors file of this header."""
    path.write_bytes(len(header).to_bytes(8, "little") + header + tensors)
    return path


def keys(count: int) -> bytes:
    """A header of so many tensors without a number."""
    one = b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    return b"{" + b",".join(one % row for row in range(count)) + b"}"


HEADERS = {
    "a million keys": (lambda: keys(10**6), "header of at most 1,048,576 bytes, got 5[0-9],"),
    "10,001 keys": (lambda: keys(10_001), "expected at most 10,000 tensors, got 10,001"),
    "a size alone": (lambda: b"{", "damaged, or cut short"),
    "lists in lists": (lambda: b'{"a":' + b"[" * 10**6, "damaged, or cut short"),
}


@pytest.mark.parametrize(("header", "said"), HEADERS.values(), ids=HEADERS)
def test_a_safetensors_header_is_bounded(header, said, run, tmp_path):
    path = with_header(tmp_path / "evil.safetensors", header())

    def work():
        refused(path, said)

    cost = measured(work)
    assert cost.seconds < 2
    assert cost.megabytes < MEGABYTES
    code, out, err = run("convert", path, "--out", tmp_path / "out.onnx")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.search(said, err)


def test_without_its_bounds_a_large_header_is_read(tmp_path, monkeypatch):
    path = with_header(tmp_path / "evil.safetensors", keys(20))
    monkeypatch.setattr("visavis.checkpoints.weights.MOST_TENSORS", 19)
    refused(path, "expected at most 19 tensors, got 20")
    monkeypatch.setattr("visavis.checkpoints.weights.MOST_TENSORS", 20)
    monkeypatch.setattr("visavis.checkpoints.weights.MOST_HEADER_BYTES", len(keys(20)) - 1)
    refused(path, "a header of at most")
    monkeypatch.setattr("visavis.checkpoints.weights.MOST_HEADER_BYTES", len(keys(20)))
    assert len(read_weights(path).tensors) == 20


def test_safetensors_are_read(small, tmp_path):
    save_file(dict(small), tmp_path / "model.bin")  # whatever it is called
    assert_same(load_checkpoint(tmp_path / "model.bin"), small)


def test_our_own_checkpoints_say_everything_themselves(states, tmp_path):
    with torch.device("meta"):
        network = KINDS["iresnet"]()
    network.load_state_dict({k: t.float() for k, t in states["iresnet"].items()}, assign=True)
    wants = Preprocess("bgr", (1.0, 2.0, 3.0), (4.0, 5.0, 6.5))
    path = tmp_path / "mine.safetensors"
    save_checkpoint(path, network, "magface", wants, (112, 96))
    checkpoint = load_checkpoint(path)
    assert checkpoint.family.name == "magface"
    assert checkpoint.preprocess == wants
    assert (checkpoint.height, checkpoint.width) == (112, 96)
    assert checkpoint.network.bn1.eps == 2e-5
    refused(
        path,
        "its own metadata say that its family is magface, not elasticface",
        family="elasticface",
    )


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"family": "resnext"}, "'resnext' is newer"),
        ({"color": "grey"}, "preprocess.color"),
        ({"mean": "[1, 2]"}, "preprocess.mean"),
        ({"std": "one"}, "do not say what crops"),
        ({"size": "[112]"}, "do not say what crops"),
        ({"size": None}, "do not say what crops"),
    ],
)
def test_our_own_checkpoints_must_say_it_right(change, match, small, tmp_path):
    said = {
        "family": "mobilefacenet_foamliu", "color": "rgb",
        "mean": "[1, 2, 3]", "std": "[1, 2, 3]", "size": "[112, 112]", **change,
    }  # fmt: skip
    metadata = {f"visavis.{key}": value for key, value in said.items() if value is not None}
    save_file(dict(small), tmp_path / "mine.safetensors", metadata)
    refused(tmp_path / "mine.safetensors", match)


@pytest.mark.parametrize(
    ("name", "family", "dim"),
    [
        ("mobilefacenet_foamliu.pt", "mobilefacenet_foamliu", 128),
        ("mobilefacenet_xiaoccer_068.ckpt", "mobilefacenet_xiaoccer", 128),
    ],
)
def test_published_checkpoints_load(name, family, dim, data):
    checkpoint = load_checkpoint(data / "models" / name)
    assert checkpoint.family.name == family
    crops = torch.zeros(2, 3, checkpoint.height, checkpoint.width)
    with torch.inference_mode():
        assert checkpoint.network(crops).shape == (2, dim)


@pytest.mark.parametrize(
    "name", ["retinaface_mobilenet025.pth", "yolov5n-0.5-face.pt", "yunet_n.pth"]
)
def test_published_detectors_are_no_backbones(name, data):
    refused(data / "models" / name, "no known backbone")


# Files that are something else, or were made to harm


def zipped(path, data, *, extra=(), compress=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compress) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
        for name in extra:
            archive.writestr(name, "x")
    return path


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><title>Google Drive - Quota exceeded", "a web page"),
        (b"\n\n  <html lang=en>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a pointer of Git LFS"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "a Keras file.*adaface_ir101_webface"),
        (b"\x08\x06\x12\x07pytorch", "no checkpoint: expected a file of torch.save"),
        (b"PK\x03\x04" + bytes(60), "damaged, or cut short"),
        (b"\x80", "damaged, or cut short"),
        (b"\x80\x02}.", "damaged, or cut short"),
        (b"\xff" * 8 + b'{"a": 1}', "at most 1,048,576 bytes, got 18,446,744,073,709,551,615"),
        (b"\x10" + bytes(7) + b'{"a":{"dtype":1}', "damaged, or cut short"),
    ],
)
def test_what_is_no_checkpoint_is_said_to_be_none(data, match, tmp_path):
    (tmp_path / "file.pth").write_bytes(data)
    refused(tmp_path / "file.pth", match)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"extra": ["../../evil.py"]}, "leads out of the archive"),
        ({"extra": ["/etc/evil"]}, "leads out of the archive"),
        ({"extra": ["archive\\..\\..\\evil"]}, "leads out of the archive"),
        ({"extra": ["archive/constants.pkl"]}, "TorchScript"),
        ({"compress": zipfile.ZIP_DEFLATED}, "compressed"),
    ],
)
def test_archives_that_torch_save_never_writes_are_refused(options, match, tmp_path):
    refused(zipped(tmp_path / "file.pt", pickle.dumps({}), **options), match)


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "file.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(tmp_path / "file.zip", "without data.pkl")


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    refused(tmp_path / "nothing.pth", "cannot be read: No such file")


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_a_file_cut_short_anywhere_is_refused(form, small, tmp_path):
    path = tmp_path / "file"
    if form == "safetensors":
        save_file(dict(small), path)
    else:
        torch.save(small, path, _use_new_zipfile_serialization=form == "zip")
    whole = path.read_bytes()
    for share in (0.001, 0.01, 0.05, 0.3, 0.9, 0.999):
        path.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(CheckpointError):
            load_checkpoint(path)


@pytest.mark.parametrize("form", ["zip", "legacy", "foreign"])
def test_a_damaged_file_is_refused_or_loads(form, small, tmp_path):
    path, draw = tmp_path / "file", np.random.default_rng(5)
    content = {"state_dict": small, "callback": Callback()} if form == "foreign" else small
    torch.save(content, path, _use_new_zipfile_serialization=form == "zip")
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    for _ in range(25):
        damaged = whole.copy()
        places = draw.integers(0, 20_000, 4)  # in the pickle, not in the numbers
        damaged[places] = draw.integers(0, 256, 4)
        path.write_bytes(damaged.tobytes())
        try:
            load_checkpoint(path)
        except CheckpointError:
            pass


class Calls:
    """Pickles as a call of something, as an attacker's does."""

    def __init__(self, function, *arguments, state=None):
        self.made = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.made


class Sneaks(OrderedDict):
    """A dictionary whose state is a call."""

    def __init__(self, *arguments):
        super().__init__()
        self.arguments = arguments

    def __reduce__(self):
        return OrderedDict, (), {"__setstate__": Calls(*self.arguments)}


def attacks(canary):
    command = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w').close()"
    get = Calls(getattr, Calls(__import__, "os"), "system")
    rebuild = torch._utils._rebuild_tensor_v2
    return {
        "os.system": Calls(os.system, command),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "nested": [{"a": (Calls(os.system, command),)}],
        "as an argument": Calls(print, Calls(os.system, command)),
        "getattr": Calls(map, get, [command]),
        "setstate": Sneaks(os.system, command),
        "state of a stub": Calls(Callback, state={"x": Calls(os.system, command)}),
        "state of a function": Calls(rebuild, state=(None, {"__defaults__": (1,)})),
        "torch.load": Calls(torch.load, str(canary.parent / "other.pt")),
        "a list in place of a function": Calls(list, Calls(map, os.system, [command])),
        "write": Calls(open, str(canary), "w"),
    }


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", attacks(__import__("pathlib").Path("x")))
def test_nothing_in_a_pickle_runs(name, legacy, small, tmp_path):
    canary = tmp_path / "canary"
    attack = attacks(canary)[name]
    path = saved(tmp_path, {"first": attack, "state_dict": small, "last": attack}, legacy=legacy)
    try:
        assert_same(load_checkpoint(path), small)
    except CheckpointError:
        pass
    for content in ({**small, "bn.bias": attack}, {"state_dict": attack}, attack):
        with pytest.raises(CheckpointError):
            load_checkpoint(saved(tmp_path, content, legacy=legacy))
    assert not canary.exists()
    assert torch._utils._rebuild_tensor_v2.__defaults__ == (None,)


def test_the_attacks_are_real(tmp_path):
    canary = tmp_path / "canary"
    for name in ("os.system", "eval", "exec", "nested", "setstate", "as an argument"):
        pickle.loads(pickle.dumps(attacks(canary)[name]))
        assert canary.exists()
        canary.unlink()


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02cos\nsystem\nr\xff\xff\xff\xff.",  # a place far out in the memo
        b"\x80\x02cos\nsystem\n}b.",  # BUILD on the stub's class
        b"\x80\x02ccollections\nOrderedDict\n}X\x01\x00\x00\x00aK\x01sb0cos\nsystem\n.",
        b"\x80\x02ccollections\nOrderedDict\nN}X\x01\x00\x00\x00aK\x01s\x86b.",  # its slots
        b"\x80\x02cos\nsystem\n)\x81}\x8c\x01aK\x01sbK\x01K\x02s.",  # NEWOBJ, BUILD, SETITEM
        b"\x80\x02cos\nsystem\n(X\x01\x00\x00\x00ao.",
        b"(S'touch x'\nios\nsystem\n.",  # INST
        b"\x80\x02cos\nsystem\n0" + b"(" * 100_000 + b"l" * 100_000 + b".",
        b"\x80\x02cos\nsystem\n0X\xff\xff\xff\x7fa.",
        b"\x80\x05cos\nsystem\n0\x96\xff\xff\xff\xff\xff\xff\xff\x7fa.",
        b"\x80\x02cos\nsystem\nQ.",  # a storage that is a stub
        b"\x80\x02cos\nsystem\n0\x82\x01.",  # EXT
    ],
)
def test_pickles_made_by_hand_are_refused(data, tmp_path):
    refused(zipped(tmp_path / "file.pt", data), "damaged|holds no tensors|no known")


def test_a_tensor_outside_its_storage_is_refused(small, tmp_path):
    """Rebuilt by our unpickler: its pickle names a foreign class, too."""

    class Beyond(torch.nn.Module):
        def __reduce__(self):
            storage = torch.zeros(4).storage()
            return torch._utils._rebuild_tensor_v2, (storage, 2, (100,), (1,), False, OrderedDict())

    stream = io.BytesIO()
    with pytest.warns(UserWarning, match="TypedStorage"):
        torch.save({"callback": Callback(), "state_dict": {**small, "bn.bias": Beyond()}}, stream)
    (tmp_path / "file.pt").write_bytes(stream.getvalue())
    refused(tmp_path / "file.pt", "resize|out of bounds")


@pytest.mark.parametrize("name", FAMILIES)
def test_the_families_are_documented(name):
    lines = (ROOT / "docs" / "convert.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.startswith(f"| `{name}` ")]
    assert len(rows) == 1
    family, cells = FAMILIES[name], [cell.strip() for cell in rows[0].split("|")[1:-1]]
    assert cells[2] == f"{family.height}x{family.width}"
    assert cells[3].startswith(family.preprocess.color.upper())
    assert cells[4] == ("proved" if family.proved else "not proved")
    assert ("length is quality" in cells[1]) == family.norm_is_quality


def test_every_documented_family_is_one():
    text = (ROOT / "docs" / "convert.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` ", text, re.MULTILINE) == list(FAMILIES)
