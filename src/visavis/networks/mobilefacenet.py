"""arcface_torch's MobileFaceNet, mbf and mbf_large. The others of that name are in mobile.py."""

from torch import Tensor, nn

STAGES = {2: (1, 4, 6, 2), 4: (2, 8, 12, 4)}  # scale (mbf, mbf_large) to residual blocks


class Layers(nn.Module):
    """Layers one after the other; `residual` adds what came in. The map's shape is theirs."""

    def __init__(self, *layers: nn.Module, residual: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.residual = residual

    def forward(self, maps: Tensor) -> Tensor:
        x: Tensor = self.layers(maps)
        return maps + x if self.residual else x


class MobileFaceNet(nn.Module):
    """(N, 3, 112, 112) crops to (N, dim) raw embeddings; `scale` is one of STAGES."""

    def __init__(self, scale: int = 2, dim: int = 512) -> None:
        super().__init__()
        narrow, wide = 64 * scale, 128 * scale
        first, second, third, last = STAGES[scale]
        self.layers = nn.ModuleList(
            [
                _conv(3, narrow, kernel=3, stride=2),
                _conv(narrow, narrow, kernel=3, groups=64)
                if first == 1
                else _residuals(narrow, 128, first),
                _depthwise(narrow, narrow, 128, stride=2),
                _residuals(narrow, 128, second),
                _depthwise(narrow, wide, 256, stride=2),
                _residuals(wide, 256, third),
                _depthwise(wide, wide, 512, stride=2),
                _residuals(wide, 256, last),
            ]
        )
        self.conv_sep = _conv(wide, 512)
        self.features = Layers(
            Layers(nn.Conv2d(512, 512, 7, groups=512, bias=False), nn.BatchNorm2d(512)),
            nn.Flatten(),
            nn.Linear(512, dim, bias=False),
            nn.BatchNorm1d(dim),
        )

    def forward(self, crops: Tensor) -> Tensor:
        x = crops
        for layer in self.layers:
            x = layer(x)  # 56x56, then 28x28, 14x14 and 7x7
        x = self.conv_sep(x)  # (N, 512, 7, 7)
        embeddings: Tensor = self.features(x)  # (N, dim)
        return embeddings


def _conv(
    inputs: int, outputs: int, *, kernel: int = 1, stride: int = 1, groups: int = 1
) -> Layers:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
    return Layers(conv, nn.BatchNorm2d(outputs), nn.PReLU(outputs))


def _depthwise(
    inputs: int, outputs: int, middle: int, *, stride: int = 1, residual: bool = False
) -> Layers:
    return Layers(
        _conv(inputs, middle),
        _conv(middle, middle, kernel=3, stride=stride, groups=middle),
        Layers(nn.Conv2d(middle, outputs, 1, bias=False), nn.BatchNorm2d(outputs)),
        residual=residual,
    )


def _residuals(width: int, middle: int, count: int) -> Layers:
    return Layers(*(_depthwise(width, width, middle, residual=True) for _ in range(count)))
