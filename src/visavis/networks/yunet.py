"""YuNet, as libfacedetection.train keeps it: n with 64 channels, s with fewer.

Wu, Peng, Yu: YuNet: A Tiny Millisecond-level Face Detector, 2023.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

STRIDES = (8, 16, 32)
KINDS = ("cls", "obj", "bbox", "kps")  # the order of the outputs, each by stride
POOLED = (0, 2, 3, 4)  # backbone stages that a pooling follows
LEVELS = (3, 4, 5)  # stages whose maps the neck takes


class Unit(nn.Module):
    """Pointwise and depthwise convolution and, unless `raw`, normalisation and ReLU: (N, C, H, W)
    to (N, D, H, W).
    """

    def __init__(self, inputs: int, outputs: int, *, raw: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, groups=outputs)
        if not raw:
            self.bn = nn.BatchNorm2d(outputs)
        self.raw = raw

    def forward(self, maps: Tensor) -> Tensor:
        x: Tensor = self.conv2(self.conv1(maps))
        return x if self.raw else torch.relu(self.bn(x))


class _Head(nn.Module):
    """The first stage: (N, 3, H, W) to (N, D, H / 2, W / 2)."""

    def __init__(self, middle: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, middle, 3, 2, 1)
        self.conv2 = Unit(middle, outputs)
        self.bn1 = nn.BatchNorm2d(middle)

    def forward(self, pixels: Tensor) -> Tensor:
        x: Tensor = self.conv2(torch.relu(self.bn1(self.conv1(pixels))))
        return x


class _Stage(nn.Module):
    """Two units: (N, C, H, W) to (N, D, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = Unit(inputs, inputs)
        self.conv2 = Unit(inputs, outputs)

    def forward(self, maps: Tensor) -> Tensor:
        x: Tensor = self.conv2(self.conv1(maps))
        return x


class Backbone(nn.Module):
    """(N, 3, H, W) to maps of strides 8, 16 and 32. `widths` are each stage's outputs, after the
    first stage's middle.
    """

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.model0 = _Head(widths[0], widths[1])
        for stage in range(1, len(widths) - 1):
            self.add_module(f"model{stage}", _Stage(widths[stage], widths[stage + 1]))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        x = pixels
        levels = []
        for stage, module in enumerate(self.children()):
            x = module(x)
            if stage in LEVELS:
                levels.append(x)
            if stage in POOLED:
                x = nn.functional.max_pool2d(x, 2)
        return levels


class Neck(nn.Module):
    """Adds to each map what the next coarser one says; shapes stay."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList([Unit(width, width) for width in widths])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        levels: list[Tensor] = []
        for lateral, x in zip(reversed(self.lateral_convs), reversed(maps), strict=True):
            coarser = [nn.functional.interpolate(levels[0], scale_factor=2.0)] if levels else []
            levels.insert(0, lateral(sum(coarser, x)))
        return levels


class Heads(nn.Module):
    """Three maps to twelve answers, each (N, cells, numbers)."""

    def __init__(self, widths: Sequence[int], inner: int) -> None:
        super().__init__()
        self.multi_level_share_convs = nn.ModuleList(
            [nn.Sequential(Unit(width, inner)) for width in widths]
        )
        for kind, numbers in (("cls", 1), ("bbox", 4), ("obj", 1), ("kps", 10)):
            units = [Unit(inner, numbers, raw=True) for _ in widths]
            self.add_module(f"multi_level_{kind}", nn.ModuleList(units))

    def forward(self, maps: list[Tensor]) -> tuple[Tensor, ...]:
        shared = [conv(x) for conv, x in zip(self.multi_level_share_convs, maps, strict=True)]
        outputs = []
        for kind in KINDS:
            for level, x in enumerate(shared):
                answers = self.get_submodule(f"multi_level_{kind}.{level}")(x)
                rows = answers.permute(0, 2, 3, 1).flatten(1, 2)  # (N, cells, numbers)
                outputs.append(rows.sigmoid() if kind in ("cls", "obj") else rows)
        return tuple(outputs)


class YuNet(nn.Module):
    """(N, 3, H, W) BGR pixels 0..255, sides multiples of 32, to YuNet's twelve outputs."""

    OUTPUTS = tuple(f"{kind}_{stride}" for kind in KINDS for stride in STRIDES)

    def __init__(self, widths: Sequence[int] = (16, 16, 64, 64, 64, 64, 64)) -> None:
        super().__init__()
        widths_of_levels = [widths[stage + 1] for stage in LEVELS]
        self.backbone = Backbone(widths)
        self.neck = Neck(widths_of_levels)
        self.bbox_head = Heads(widths_of_levels, widths_of_levels[-1])

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        outputs: tuple[Tensor, ...] = self.bbox_head(self.neck(self.backbone(pixels)))
        return outputs
