"""The families of embedders' checkpoints: the keys of each, its network, and the pixels it wants.

No key tells two families apart that differ only in epsilon or colour: FAMILIES then names both.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from torch import nn

from visavis.errors import CheckpointError
from visavis.networks import ir, iresnet, mobile, mobilefacenet, vit
from visavis.runtime import Preprocess

Shapes = Mapping[str, tuple[int, ...]]  # of a state dict's tensors, by key, wrapping taken off

HALF = (127.5, 127.5, 127.5)
IMAGENET_MEAN, IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
RGB = Preprocess("rgb", HALF, HALF)
BGR = Preprocess("bgr", HALF, HALF)

RESEARCH = "non-commercial research, by the terms of its training data"
MIT_CODE = "code MIT; weights not stated, their training data are for research"
DEEPFACE = "Deng et al., ArcFace, CVPR 2019"


@dataclass(frozen=True, slots=True)
class Family:
    """Checkpoints that one network reads, and which want the same pixels."""

    name: str
    title: str
    network: str  # what tells it from families with the same keys
    recognise: Callable[[Shapes], bool]
    build: Callable[[Shapes], nn.Module]  # raises CheckpointError for a depth that nobody published
    licence: str  # of the published weights, in words
    citation: str
    preprocess: Preprocess = field(default=RGB)
    height: int = 112
    width: int = 112
    norm_is_quality: bool = False  # an embedding's length says how good the picture was
    proved: bool = False  # our answers were compared with the original's, on the same weights


def detect_family(shapes: Shapes) -> list[str]:
    """The families that have these keys: none, one, or several that keys cannot tell apart.

    Raises CheckpointError for a network that is known and not supported.
    """
    if "keypoint_linear.weight" in shapes:
        raise CheckpointError(
            "a CVLface transformer with keypoint relative position encoding (KPRPE): it wants five "
            "landmarks beside the crop, which no embedder here takes",
            mend="use CVLface's vit_base_webface4m or an IR",
        )
    return [name for name, family in FAMILIES.items() if family.recognise(shapes)]


def _has(*keys: str) -> Callable[[Shapes], bool]:
    return lambda shapes: all(key in shapes for key in keys)


def _patches(tokens: int) -> Callable[[Shapes], bool]:
    return lambda shapes: (
        "patch_embed.proj.weight" in shapes and shapes.get("pos_embed", ())[1:2] == (tokens,)
    )


def _columns(columns: int) -> Callable[[Shapes], bool]:
    return lambda shapes: shapes.get("linear7.conv.weight", ())[3:] == (columns,)


def _count(shapes: Shapes, prefix: str) -> int:
    """How many numbered modules have this name."""
    return len({key[len(prefix) :].split(".")[0] for key in shapes if key.startswith(prefix)})


def width_of(shapes: Shapes, key: str, usual: int) -> int:
    """The channels that a layer gives, the rows of its weights; `usual` if there are none."""
    return (*shapes.get(key, ()), usual)[0] or usual


def _squeezed(shapes: Shapes) -> bool:
    return any(".se_block." in key for key in shapes)


def _iresnet(shapes: Shapes, epsilon: float = 1e-5) -> nn.Module:
    blocks = tuple(_count(shapes, f"layer{stage}.") for stage in (1, 2, 3, 4))
    depths = {stages: depth for depth, stages in iresnet.STAGES.items()}
    if blocks not in depths:
        known = ", ".join(f"{'-'.join(map(str, stages))} (r{n})" for stages, n in depths.items())
        got = "-".join(map(str, blocks))
        raise CheckpointError(f"expected an IResNet of {known} blocks, got {got}: keys missing?")
    dim = width_of(shapes, "fc.weight", 512)
    return iresnet.IResNet(depths[blocks], dim, epsilon=epsilon, squeeze=_squeezed(shapes))


def _ir(shapes: Shapes) -> nn.Module:
    blocks = _count(shapes, "body.")
    depths = {sum(stages): depth for depth, stages in ir.STAGES.items()}
    if blocks not in depths:
        known = ", ".join(f"{count} (ir_{depth})" for count, depth in depths.items())
        raise CheckpointError(f"expected an IR of {known} blocks, got {blocks}: keys missing?")
    dim = width_of(shapes, "output_layer.3.weight", 512)
    return ir.IR(depths[blocks], dim, squeeze=_squeezed(shapes))


def _mobilefacenet(shapes: Shapes) -> nn.Module:
    width = width_of(shapes, "layers.0.layers.0.weight", 128)
    if width // 64 not in mobilefacenet.STAGES:
        raise CheckpointError(
            f"expected an mbf of 128 or an mbf_large of 256 channels, got {width}"
        )
    return mobilefacenet.MobileFaceNet(
        width // 64, width_of(shapes, "features.layers.2.weight", 512)
    )


def _vit(shapes: Shapes, layouts: Mapping[str, vit.TransformerLayout]) -> nn.Module:
    width, depth = shapes["pos_embed"][-1], _count(shapes, "blocks.")
    for layout in layouts.values():
        if (layout.width, layout.depth) == (width, depth):
            dim = width_of(shapes, "feature.2.weight", 512)
            return vit.ViT(layout, dim, masked="mask_token" in shapes)
    known = ", ".join(f"{name} {a.width} x {a.depth}" for name, a in layouts.items())
    raise CheckpointError(
        f"expected a transformer of width x blocks {known}, got {width} x {depth}: its keys do not "
        "say how many heads it has"
    )


def _iresnet_keys(shapes: Shapes) -> bool:
    return "layer1.0.downsample.0.weight" in shapes and "fc.weight" in shapes


def _plain_iresnet_keys(shapes: Shapes) -> bool:
    return _iresnet_keys(shapes) and not _squeezed(shapes)


_IR_KEYS = _has("input_layer.0.weight", "body.0.res_layer.1.weight")

_ROWS = (
    Family(
        name="arcface_torch",
        title="IResNet of InsightFace's arcface_torch, r18 to r200",
        network="epsilon 1e-5",
        recognise=_plain_iresnet_keys,
        build=_iresnet,
        licence=RESEARCH,
        citation=DEEPFACE,
        proved=True,
    ),
    Family(
        name="elasticface",
        title="IResNet of ElasticFace, with or without squeeze and excitation",
        network="epsilon 1e-5, as arcface_torch",
        recognise=_iresnet_keys,
        build=_iresnet,
        licence="CC BY-NC-SA 4.0",
        citation="Boutros et al., ElasticFace, CVPR Workshops 2022",
    ),
    Family(
        name="magface",
        title="IResNet of MagFace",
        network="epsilon 2e-5",
        recognise=_plain_iresnet_keys,
        build=partial(_iresnet, epsilon=2e-5),
        licence="code Apache-2.0; weights not stated, their training data are for research",
        citation="Meng et al., MagFace, CVPR 2021",
        preprocess=Preprocess("bgr", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
        norm_is_quality=True,
        proved=True,
    ),
    Family(
        name="face_embeddings",
        title="IResNet trained with face-embeddings",
        network="epsilon 2e-5",
        recognise=_plain_iresnet_keys,
        build=partial(_iresnet, epsilon=2e-5),
        licence="whoever trained it says; its training data are for research",
        citation="",
    ),
    Family(
        name="cvlface_iresnet",
        title="IResNet of CVLface (iresnet_insightface)",
        network="epsilon 1e-5, as arcface_torch",
        recognise=_plain_iresnet_keys,
        build=_iresnet,
        licence=MIT_CODE,
        citation=DEEPFACE,
    ),
    Family(
        name="adaface",
        title="IR of AdaFace",
        network="the same network",
        recognise=_IR_KEYS,
        build=_ir,
        licence=MIT_CODE,
        citation="Kim et al., AdaFace, CVPR 2022",
        preprocess=BGR,
        norm_is_quality=True,
        proved=True,
    ),
    Family(
        name="cvlface_ir",
        title="IR of CVLface",
        network="the same network",
        recognise=_IR_KEYS,
        build=_ir,
        licence=MIT_CODE,
        citation="Kim et al., AdaFace, CVPR 2022",
        norm_is_quality=True,
    ),
    Family(
        name="arcface_torch_mbf",
        title="MobileFaceNet of arcface_torch, mbf and mbf_large",
        network="",
        recognise=_has("conv_sep.layers.0.weight"),
        build=_mobilefacenet,
        licence=RESEARCH,
        citation=DEEPFACE,
        proved=True,
    ),
    Family(
        name="arcface_torch_vit",
        title="vision transformer of arcface_torch, t, s, b, l and h",
        network="",
        recognise=_patches(144),
        build=partial(_vit, layouts=vit.ARCFACE),
        licence=RESEARCH,
        citation=DEEPFACE,
    ),
    Family(
        name="cvlface_vit",
        title="vision transformer of CVLface, small and base, without KPRPE",
        network="",
        recognise=_patches(196),
        build=partial(_vit, layouts=vit.CVLFACE),
        licence=MIT_CODE,
        citation="Kim et al., AdaFace, CVPR 2022",
        norm_is_quality=True,
    ),
    Family(
        name="mobilefacenet_foamliu",
        title="MobileFaceNet of foamliu",
        network="",
        recognise=_has("gdconv.depthwise.weight"),
        build=lambda shapes: mobile.Foamliu(width_of(shapes, "conv3.weight", 128)),
        licence="Apache-2.0",
        citation="Chen et al., MobileFaceNets, CCBR 2018",
        preprocess=Preprocess("rgb", IMAGENET_MEAN, IMAGENET_STD),
        proved=True,
    ),
    Family(
        name="mobilefacenet_xiaoccer",
        title="MobileFaceNet of Xiaoccer, for 112x96 crops",
        network="",
        recognise=_columns(6),
        build=lambda shapes: mobile.Xiaoccer(6, width_of(shapes, "linear1.conv.weight", 128)),
        licence="none given: not to be passed on",
        citation="Chen et al., MobileFaceNets, CCBR 2018",
        preprocess=Preprocess("rgb", HALF, (128.0, 128.0, 128.0)),
        width=96,
        proved=True,
    ),
    Family(
        name="mobilefacenet_xiaoccer_square",
        title="MobileFaceNet of Xiaoccer, for 112x112 crops",
        network="",
        recognise=_columns(7),
        build=lambda shapes: mobile.Xiaoccer(7, width_of(shapes, "linear1.conv.weight", 128)),
        licence="none given: not to be passed on",
        citation="Chen et al., MobileFaceNets, CCBR 2018",
        preprocess=Preprocess("rgb", HALF, (128.0, 128.0, 128.0)),
    ),
    Family(
        name="mobilefacenet_treb1en",
        title="MobileFaceNet of TreB1eN and its copies (xuexingyu24)",
        network="",
        recognise=_has("conv_6_dw.conv.weight"),
        build=lambda shapes: mobile.TreB1eN(width_of(shapes, "linear.weight", 512)),
        licence="whoever trained it says; its training data are for research",
        citation="Chen et al., MobileFaceNets, CCBR 2018",
        preprocess=BGR,
    ),
)
FAMILIES: dict[str, Family] = {family.name: family for family in _ROWS}
