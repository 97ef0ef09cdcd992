"""RetinaFace, as the PyTorch family keeps it: on a MobileNet of a quarter's width, or ResNet-50.

Deng, Guo, Ververas, Kotsia, Zafeiriou: RetinaFace: Single-shot Multi-level Face Localisation in the
Wild, 2020; Najibi, Samangouei, Chellappa, Davis: SSH: Single Stage Headless Face Detector, 2017.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from visavis.networks.resnet import ResNet50

MOBILE = {  # channels in and after each block
    "stage1": (8, 16, 32, 32, 64, 64),
    "stage2": (64, *(128,) * 6),
    "stage3": (128, 256, 256),
}
FIRST = 8  # channels after the first convolution
SLOPE, NARROW = 0.1, 64  # of the negative side, in layers of up to so many channels; else 0
EACH = 2  # priors on a cell
LEVELS = (1, 2, 3)  # strides 8, 16, 32


def conv_bn(
    inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1, slope: float | None = None
) -> nn.Sequential:
    """Convolution, normalisation and, with a slope, a leaky ReLU."""
    steps = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*steps, *([] if slope is None else [nn.LeakyReLU(slope)]))


def separable(inputs: int, outputs: int) -> nn.Sequential:
    """Depthwise and pointwise convolution: (N, C, H, W) to (N, D, H / s, W / s). Where a block
    widens it halves, but for the first.
    """
    stride = 2 if outputs > inputs > FIRST else 1
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, 3, stride, 1, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(SLOPE),
    )


class MobileNet(nn.Module):
    """(N, 3, H, W) to maps of 64, 128 and 256 channels at strides 8, 16 and 32."""

    widths = (64, 128, 256)

    def __init__(self) -> None:
        super().__init__()
        first = conv_bn(3, FIRST, stride=2, slope=SLOPE)
        for name, widths in MOBILE.items():
            blocks = [separable(*pair) for pair in pairwise(widths)]
            self.add_module(name, nn.Sequential(*([first] if name == "stage1" else []), *blocks))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        maps = [pixels]
        for stage in self.children():
            maps.append(stage(maps[-1]))
        return maps[1:]


class Pyramid(nn.Module):
    """Three maps to three of `width` channels, each with what the next coarser one says."""

    def __init__(self, widths: Sequence[int], width: int, slope: float) -> None:
        super().__init__()
        for level, before in zip(LEVELS, widths, strict=True):
            self.add_module(f"output{level}", conv_bn(before, width, kernel=1, slope=slope))
        self.merge1 = conv_bn(width, width, slope=slope)
        self.merge2 = conv_bn(width, width, slope=slope)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        fine, middle, coarse = (
            self.get_submodule(f"output{level}")(x) for level, x in zip(LEVELS, maps, strict=True)
        )
        middle = self.merge2(middle + nn.functional.interpolate(coarse, scale_factor=2.0))
        fine = self.merge1(fine + nn.functional.interpolate(middle, scale_factor=2.0))
        return [fine, middle, coarse]


class Context(nn.Module):
    """SSH's module, what is around a cell: (N, C, H, W) to the same shape."""

    def __init__(self, width: int, slope: float) -> None:
        super().__init__()
        quarter = width // 4
        self.conv3X3 = conv_bn(width, width // 2)
        self.conv5X5_1 = conv_bn(width, quarter, slope=slope)
        self.conv5X5_2 = conv_bn(quarter, quarter)
        self.conv7X7_2 = conv_bn(quarter, quarter, slope=slope)
        self.conv7x7_3 = conv_bn(quarter, quarter)

    def forward(self, maps: Tensor) -> Tensor:
        x = self.conv5X5_1(maps)
        parts = [self.conv3X3(maps), self.conv5X5_2(x), self.conv7x7_3(self.conv7X7_2(x))]
        return torch.relu(torch.cat(parts, dim=1))


class _Head(nn.Module):
    """(N, C, H, W) to (N, priors, numbers), cells row by row."""

    def __init__(self, width: int, numbers: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(width, EACH * numbers, 1)
        self.numbers = numbers

    def forward(self, maps: Tensor) -> Tensor:
        x = self.conv1x1(maps).permute(0, 2, 3, 1)  # (N, H, W, priors * numbers)
        return x.reshape(x.shape[0], -1, self.numbers)


class RetinaFace(nn.Module):
    """(N, 3, H, W) BGR pixels less (104, 117, 123), sides multiples of 32, to boxes (N, P, 4),
    shares of background and face (N, P, 2), and points (N, P, 10).
    """

    OUTPUTS = ("loc", "conf", "landms")

    def __init__(self, body: MobileNet | ResNet50, width: int) -> None:
        super().__init__()
        slope = SLOPE if width <= NARROW else 0.0
        self.body = body
        self.fpn = Pyramid(body.widths, width, slope)
        for level in LEVELS:
            self.add_module(f"ssh{level}", Context(width, slope))
        self.ClassHead = nn.ModuleList([_Head(width, 2) for _ in LEVELS])
        self.BboxHead = nn.ModuleList([_Head(width, 4) for _ in LEVELS])
        self.LandmarkHead = nn.ModuleList([_Head(width, 10) for _ in LEVELS])

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        maps = self.fpn(self.body(pixels))
        maps = [self.get_submodule(f"ssh{level}")(x) for level, x in zip(LEVELS, maps, strict=True)]
        boxes, classes, points = (
            torch.cat([head(x) for head, x in zip(heads, maps, strict=True)], dim=1)
            for heads in (self.BboxHead, self.ClassHead, self.LandmarkHead)
        )
        return boxes, classes.softmax(dim=-1), points
