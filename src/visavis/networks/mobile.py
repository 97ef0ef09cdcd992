"""The other MobileFaceNets: foamliu's, Xiaoccer's, and TreB1eN's, which was widely copied."""

from collections import OrderedDict

import torch
from torch import Tensor, nn

# Chen et al. 2018, table 1: expansion, channels, blocks, stride of the first.
STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))


class Inverted(nn.Module):
    """Widen, filter, narrow; `skip` adds what came in. (N, C, H, W) to (N, D, H / s, W / s)."""

    def __init__(self, conv: nn.Sequential, *, skip: bool) -> None:
        super().__init__()
        self.conv = conv
        self.skip = skip

    def forward(self, maps: Tensor) -> Tensor:
        x: Tensor = self.conv(maps)
        return maps + x if self.skip else x


class Separable(nn.Module):
    """foamliu's depthwise and pointwise convolution: (N, C, H, W) to the same shape."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, 1, 1, groups=width, bias=False)
        self.pointwise = nn.Conv2d(width, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, maps: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.depthwise(maps)))  # (N, C, H, W)
        return torch.relu(self.bn2(self.pointwise(x)))  # (N, C, H, W)


class Foamliu(nn.Module):
    """(N, 3, 112, 112) crops to (N, dim) raw embeddings; MobileNetV2's blocks, with ReLU6."""

    def __init__(self, dim: int = 128) -> None:
        super().__init__()
        self.conv1 = _relu6(3, 64, kernel=3, stride=2)
        self.dw_conv = Separable(64)
        self.conv2 = _relu6(128, 512)
        self.gdconv = nn.Sequential(
            OrderedDict(
                depthwise=nn.Conv2d(512, 512, 7, groups=512, bias=False), bn=nn.BatchNorm2d(512)
            )
        )
        self.conv3 = nn.Conv2d(512, dim, 1)
        self.bn = nn.BatchNorm2d(dim)
        self.features = _inverted(relu6=True)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.dw_conv(self.conv1(crops))  # (N, 64, 56, 56)
        x = self.conv2(self.features(x))  # (N, 512, 7, 7)
        x = self.bn(self.conv3(self.gdconv(x)))  # (N, dim, 1, 1)
        embeddings: Tensor = x.flatten(1)  # (N, dim)
        return embeddings


class _Conv(nn.Module):
    """Convolution, normalisation and, unless `linear`, PReLU: (N, C, H, W) to (N, D, ...)."""

    def __init__(self, conv: nn.Conv2d, *, linear: bool = False) -> None:
        super().__init__()
        self.conv = conv
        self.bn = nn.BatchNorm2d(conv.out_channels)
        self.prelu = nn.Identity() if linear else nn.PReLU(conv.out_channels)

    def forward(self, maps: Tensor) -> Tensor:
        x: Tensor = self.prelu(self.bn(self.conv(maps)))
        return x


class Xiaoccer(nn.Module):
    """(N, 3, 112, 16 * columns) crops to (N, dim) raw embeddings: 6 columns are 112x96."""

    def __init__(self, columns: int = 6, dim: int = 128) -> None:
        super().__init__()
        self.conv1 = _Conv(nn.Conv2d(3, 64, 3, 2, 1, bias=False))
        self.dw_conv1 = _Conv(nn.Conv2d(64, 64, 3, 1, 1, groups=64, bias=False))
        self.blocks = _inverted(relu6=False)
        self.conv2 = _Conv(nn.Conv2d(128, 512, 1, bias=False))
        self.linear7 = _Conv(nn.Conv2d(512, 512, (7, columns), groups=512, bias=False), linear=True)
        self.linear1 = _Conv(nn.Conv2d(512, dim, 1, bias=False), linear=True)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.dw_conv1(self.conv1(crops))  # (N, 64, 56, 8 * columns)
        x = self.conv2(self.blocks(x))  # (N, 512, 7, columns)
        x = self.linear1(self.linear7(x))  # (N, dim, 1, 1)
        embeddings: Tensor = x.flatten(1)  # (N, dim)
        return embeddings


class Depthwise(nn.Module):
    """TreB1eN's block; `residual` adds what came in. (N, C, H, W) to (N, D, H / s, W / s)."""

    def __init__(
        self, inputs: int, outputs: int, middle: int, *, stride: int = 1, residual: bool = False
    ) -> None:
        super().__init__()
        self.conv = _Conv(nn.Conv2d(inputs, middle, 1, bias=False))
        self.conv_dw = _Conv(nn.Conv2d(middle, middle, 3, stride, 1, groups=middle, bias=False))
        self.project = _Conv(nn.Conv2d(middle, outputs, 1, bias=False), linear=True)
        self.residual = residual

    def forward(self, maps: Tensor) -> Tensor:
        x: Tensor = self.project(self.conv_dw(self.conv(maps)))
        return maps + x if self.residual else x


class TreB1eN(nn.Module):
    """(N, 3, 112, 112) crops to (N, dim) raw embeddings; the original divides by their norm."""

    def __init__(self, dim: int = 512) -> None:
        super().__init__()
        self.conv1 = _Conv(nn.Conv2d(3, 64, 3, 2, 1, bias=False))
        self.conv2_dw = _Conv(nn.Conv2d(64, 64, 3, 1, 1, groups=64, bias=False))
        self.conv_23 = Depthwise(64, 64, 128, stride=2)
        self.conv_3 = _residuals(64, 128, 4)
        self.conv_34 = Depthwise(64, 128, 256, stride=2)
        self.conv_4 = _residuals(128, 256, 6)
        self.conv_45 = Depthwise(128, 128, 512, stride=2)
        self.conv_5 = _residuals(128, 256, 2)
        self.conv_6_sep = _Conv(nn.Conv2d(128, 512, 1, bias=False))
        self.conv_6_dw = _Conv(nn.Conv2d(512, 512, 7, groups=512, bias=False), linear=True)
        self.linear = nn.Linear(512, dim, bias=False)
        self.bn = nn.BatchNorm1d(dim)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.conv2_dw(self.conv1(crops))  # (N, 64, 56, 56)
        x = self.conv_3["model"](self.conv_23(x))  # (N, 64, 28, 28)
        x = self.conv_4["model"](self.conv_34(x))  # (N, 128, 14, 14)
        x = self.conv_5["model"](self.conv_45(x))  # (N, 128, 7, 7)
        x = self.conv_6_dw(self.conv_6_sep(x))  # (N, 512, 1, 1)
        embeddings: Tensor = self.bn(self.linear(x.flatten(1)))  # (N, dim)
        return embeddings


def _residuals(width: int, middle: int, count: int) -> nn.ModuleDict:
    blocks = (Depthwise(width, width, middle, residual=True) for _ in range(count))
    return nn.ModuleDict({"model": nn.Sequential(*blocks)})


def _relu6(
    inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU6())


def _prelu(
    inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(outputs), nn.PReLU(outputs)


def _inverted(*, relu6: bool) -> nn.Sequential:
    """STAGES as one sequence of blocks; Xiaoccer's layers lie flat, foamliu's in threes."""
    blocks = []
    inputs = 64
    for expansion, outputs, count, first in STAGES:
        for n in range(count):
            middle, stride = inputs * expansion, first if n == 0 else 1
            end = nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
            widen, keep = (inputs, middle), (middle, middle)
            depth = {"kernel": 3, "stride": stride, "groups": middle}
            start = (
                (_relu6(*widen), _relu6(*keep, **depth))
                if relu6
                else (*_prelu(*widen), *_prelu(*keep, **depth))
            )
            conv = nn.Sequential(*start, *end)
            blocks.append(Inverted(conv, skip=stride == 1 and inputs == outputs))
            inputs = outputs
    return nn.Sequential(*blocks)
