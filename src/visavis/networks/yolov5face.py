"""YOLOv5-face in its smallest form, n-0.5, built of what its checkpoint names and holds.

Qi, Tan, Yao, Liu: YOLO5Face: Why Reinventing a Face Detector, 2021; Ma, Zhang, Zheng, Sun:
ShuffleNet V2, 2018; Wang et al.: CSPNet, 2020. Numbers of layers are the checkpoint's.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

EPS = 1e-3  # of every normalisation
EACH, NUMBERS = 3, 16  # anchors on a cell, and numbers of an anchor
NECK = 64  # channels
LOOKED_AT = (14, 17, 20)  # layers, at strides 8, 16 and 32


class _Conv(nn.Module):
    """Convolution, normalisation, SiLU: (N, C, H, W) to (N, D, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, EPS)

    def forward(self, maps: Tensor) -> Tensor:
        return nn.functional.silu(self.bn(self.conv(maps)))


class Stem(nn.Module):
    """(N, 3, H, W) to (N, D, H / 4, W / 4): a convolution beside a pooling."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem_1 = _Conv(3, width, 3, 2)
        self.stem_2a = _Conv(width, width // 2)
        self.stem_2b = _Conv(width // 2, width, 3, 2)
        self.stem_3 = _Conv(2 * width, width)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.stem_1(pixels)
        pooled = nn.functional.max_pool2d(x, 2)
        x = self.stem_3(torch.cat([self.stem_2b(self.stem_2a(x)), pooled], dim=1))
        return x


class Shuffle(nn.Module):
    """ShuffleNet V2's unit: (N, C, H, W) to (N, D, H / 2, W / 2) where it halves, else to the same
    shape, half of it passed on as it is.
    """

    def __init__(self, inputs: int, outputs: int, *, halve: bool) -> None:
        super().__init__()
        half, stride = outputs // 2, 2 if halve else 1
        steps = [*_filter(inputs, stride), *_point(inputs, half)] if halve else []
        self.branch1 = nn.Sequential(*steps)
        self.branch2 = nn.Sequential(
            *_point(inputs if halve else half, half),
            *_filter(half, stride),
            *_point(half, half),
        )
        self.halve = halve

    def forward(self, maps: Tensor) -> Tensor:
        left, right = (maps, maps) if self.halve else maps.chunk(2, dim=1)
        halves = [self.branch1(left), self.branch2(right)]
        return torch.stack(halves, dim=2).flatten(1, 2)  # (N, D, H, W), channels in turn


class CrossStage(nn.Module):
    """CSPNet's block with one bottleneck that adds nothing: (N, C, H, W) to (N, D, H, W)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.cv1, self.cv2 = _Conv(inputs, half), _Conv(inputs, half)
        self.cv3 = _Conv(outputs, outputs)
        inner: OrderedDict[str, nn.Module] = OrderedDict(
            cv1=_Conv(half, half), cv2=_Conv(half, half, 3)
        )
        self.m = nn.Sequential(nn.Sequential(inner))

    def forward(self, maps: Tensor) -> Tensor:
        x: Tensor = self.cv3(torch.cat([self.m(self.cv1(maps)), self.cv2(maps)], dim=1))
        return x


class Detect(nn.Module):
    """Three maps to rows (N, A, 16): boxes and points in pixels, scores as shares."""

    anchors: Tensor
    anchor_grid: Tensor

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        levels = len(widths)
        self.m = nn.ModuleList([nn.Conv2d(width, EACH * NUMBERS, 1) for width in widths])
        self.register_buffer("anchors", torch.ones(levels, EACH, 2))  # in strides
        self.register_buffer("anchor_grid", torch.ones(levels, 1, EACH, 1, 1, 2))  # in pixels

    def forward(self, maps: list[Tensor]) -> Tensor:
        strides = (self.anchor_grid.flatten(1) / self.anchors.flatten(1)).round()  # (levels, 6)
        rows = [
            _decoded(conv(x).unflatten(1, (EACH, NUMBERS)), anchors, stride[0])
            for conv, x, anchors, stride in zip(
                self.m, maps, self.anchor_grid, strides, strict=True
            )
        ]
        return torch.cat(rows, dim=1)


class YoloV5Face(nn.Module):
    """n-0.5: (N, 3, H, W) RGB pixels 0..1, sides multiples of 32, to rows (N, A, 16)."""

    OUTPUTS = ("output",)

    def __init__(self) -> None:
        super().__init__()
        layers: dict[int, nn.Module] = {0: Stem(16)}
        for layer, (inputs, outputs, count) in {
            1: (16, 64, 3),
            3: (64, 128, 7),
            5: (128, 256, 3),
        }.items():
            layers[layer] = Shuffle(inputs, outputs, halve=True)
            units = [Shuffle(outputs, outputs, halve=False) for _ in range(count)]
            layers[layer + 1] = nn.Sequential(*units)
        layers |= {7: _Conv(256, NECK), 11: _Conv(NECK, NECK)}
        layers |= {layer: _Conv(NECK, NECK, 3, 2) for layer in (15, 18)}
        layers |= {10: CrossStage(NECK + 128, NECK)}
        layers |= {layer: CrossStage(2 * NECK, NECK) for layer in LOOKED_AT}
        layers[21] = Detect([NECK] * len(LOOKED_AT))
        self.model = nn.ModuleDict({str(layer): layers[layer] for layer in sorted(layers)})

    def forward(self, pixels: Tensor) -> Tensor:
        x: Tensor = pixels
        seen: dict[int, Tensor] = {}
        joins = {10: 4, 14: 2, 17: 11, 20: 7}  # layer to the one whose answer it takes, too
        for name, layer in self.model.items():
            number = int(name)
            if number in (10, 14):
                x = nn.functional.interpolate(x, scale_factor=2.0)
            if number in joins:
                x = torch.cat([x, seen[joins[number]]], dim=1)
            x = layer([seen[at] for at in LOOKED_AT] if number == 21 else x)
            seen[number] = x
        return x


def _decoded(raw: Tensor, anchors: Tensor, stride: Tensor) -> Tensor:
    """(N, 3, 16, H, W) raw answers of one stride to rows (N, 3 * H * W, 16)."""
    raw = raw.permute(0, 1, 3, 4, 2)  # (N, 3, H, W, 16)
    height, width = raw.shape[2:4]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    corners = stride * torch.stack([x, y], dim=-1)  # (H, W, 2)
    shares = raw.sigmoid()
    centers = corners + (2 * shares[..., :2] - 0.5) * stride
    sizes = (2 * shares[..., 2:4]) ** 2 * anchors  # (N, 3, H, W, 2)
    points = raw[..., 5:15] * anchors.repeat(1, 1, 1, 1, 5)[0] + corners.repeat(1, 1, 5)
    parts = [centers, sizes, shares[..., 4:5], points, shares[..., 15:]]
    return torch.cat(parts, dim=-1).flatten(1, 3)


def _point(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs, EPS), nn.SiLU()]


def _filter(width: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False)
    return [conv, nn.BatchNorm2d(width, EPS)]
