"""IResNet: arcface_torch's backbone, ElasticFace's, and MagFace's with another epsilon."""

import torch
from torch import Tensor, nn

STAGES = {  # blocks at 56x56, 28x28, 14x14 and 7x7
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    100: (3, 13, 30, 3),
    160: (3, 24, 49, 3),
    200: (6, 26, 60, 6),
    2060: (3, 128, 896, 3),
}
WIDTHS = ((64, 64), (64, 128), (128, 256), (256, 512))  # of a stage's input and output


class SqueezeExcite(nn.Module):
    """Weigh the channels by what the whole map holds: (N, C, H, W) to the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.fc2 = nn.Conv2d(channels // 16, channels, 1, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        x = maps.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
        x = torch.relu(self.fc1(x))  # (N, C / 16, 1, 1)
        return maps * torch.sigmoid(self.fc2(x))  # (N, C, H, W)


class _Block(nn.Module):
    """Two convolutions beside a shortcut: (N, C, H, W) to (N, D, H / stride, W / stride)."""

    def __init__(
        self, inputs: int, outputs: int, *, first: bool, epsilon: float, squeeze: bool
    ) -> None:
        super().__init__()
        stride = 2 if first else 1
        self.bn1 = nn.BatchNorm2d(inputs, epsilon)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs, epsilon)
        self.prelu = nn.PReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs, epsilon)
        self.downsample = (
            nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False),
                nn.BatchNorm2d(outputs, epsilon),
            )
            if first
            else nn.Identity()
        )
        self.se_block = SqueezeExcite(outputs) if squeeze else nn.Identity()

    def forward(self, maps: Tensor) -> Tensor:
        x = self.prelu(self.bn2(self.conv1(self.bn1(maps))))  # (N, D, H, W)
        x = self.se_block(self.bn3(self.conv2(x)))  # (N, D, H / stride, W / stride)
        total: Tensor = x + self.downsample(maps)
        return total


class IResNet(nn.Module):
    """(N, 3, 112, 112) crops to (N, dim) raw embeddings; `depth` is one of STAGES."""

    def __init__(
        self, depth: int, dim: int = 512, *, epsilon: float = 1e-5, squeeze: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64, epsilon)
        self.prelu = nn.PReLU(64)
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            nn.Sequential(
                _Block(inputs, outputs, first=True, epsilon=epsilon, squeeze=squeeze),
                *(
                    _Block(outputs, outputs, first=False, epsilon=epsilon, squeeze=squeeze)
                    for _ in range(count - 1)
                ),
            )
            for (inputs, outputs), count in zip(WIDTHS, STAGES[depth], strict=True)
        )
        self.bn2 = nn.BatchNorm2d(512, epsilon)
        self.fc = nn.Linear(512 * 7 * 7, dim)
        self.features = nn.BatchNorm1d(dim, epsilon)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(crops)))  # (N, 64, 112, 112)
        x = self.layer1(x)  # (N, 64, 56, 56)
        x = self.layer2(x)  # (N, 128, 28, 28)
        x = self.layer3(x)  # (N, 256, 14, 14)
        x = self.bn2(self.layer4(x))  # (N, 512, 7, 7)
        embeddings: Tensor = self.features(self.fc(x.flatten(1)))  # (N, dim)
        return embeddings
