"""ResNet-50 as a body whose maps other networks take. Halves in its 3x3 convolutions.

He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, 2016.
"""

import torch
from torch import Tensor, nn

BLOCKS = {64: 3, 128: 4, 256: 6, 512: 3}  # by the width of a stage's bottleneck
WIDER = 4  # a stage gives so many times its bottleneck's channels


class Bottleneck(nn.Module):
    """(N, C, H, W) to (N, 4 * width, H / stride, W / stride)."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, WIDER * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(WIDER * width)
        self.downsample = nn.Sequential()
        if stride > 1 or inputs != WIDER * width:
            self.downsample.append(nn.Conv2d(inputs, WIDER * width, 1, stride, bias=False))
            self.downsample.append(nn.BatchNorm2d(WIDER * width))

    def forward(self, maps: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(maps)))
        x = torch.relu(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        return torch.relu(x + self.downsample(maps))


class ResNet50(nn.Module):
    """(N, 3, H, W) to maps of 512, 1024 and 2048 channels at strides 8, 16 and 32."""

    widths = (512, 1024, 2048)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        inputs = 64
        for stage, (width, count) in enumerate(BLOCKS.items(), start=1):
            blocks = []
            for block in range(count):
                stride = 2 if stage > 1 and block == 0 else 1
                blocks.append(Bottleneck(inputs, width, stride))
                inputs = WIDER * width
            self.add_module(f"layer{stage}", nn.Sequential(*blocks))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        x = torch.relu(self.bn1(self.conv1(pixels)))  # (N, 64, H / 2, W / 2)
        x = nn.functional.max_pool2d(x, 3, 2, 1)  # (N, 64, H / 4, W / 4)
        maps = []
        for stage in range(1, len(BLOCKS) + 1):
            x = self.get_submodule(f"layer{stage}")(x)
            maps.append(x)
        return maps[1:]
