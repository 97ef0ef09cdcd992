"""IR: the backbone of AdaFace and CVLface. Its first shortcut has no weights, its last
normalisation none either: close to IResNet, and another network.
"""

from torch import Tensor, nn

from visavis.networks.iresnet import SqueezeExcite

STAGES = {  # blocks at 56x56, 28x28, 14x14 and 7x7; the originals' ir_101 has 100 layers
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 14, 3),
    101: (3, 13, 30, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
DEEP = 152  # from here on blocks have a bottleneck and four times the channels


class _Block(nn.Module):
    """Convolutions beside a shortcut: (N, C, H, W) to (N, D, H / stride, W / stride)."""

    def __init__(
        self, inputs: int, outputs: int, *, stride: int, bottleneck: bool, squeeze: bool
    ) -> None:
        super().__init__()
        self.shortcut_layer = (
            nn.MaxPool2d(1, stride)
            if inputs == outputs
            else nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )
        )
        self.res_layer = (_narrow if bottleneck else _plain)(inputs, outputs, stride)
        if squeeze:
            self.res_layer.add_module("se_block", SqueezeExcite(outputs))

    def forward(self, maps: Tensor) -> Tensor:
        total: Tensor = self.res_layer(maps) + self.shortcut_layer(maps)
        return total


class IR(nn.Module):
    """(N, 3, 112, 112) crops to (N, dim) raw embeddings; `depth` is one of STAGES.

    AdaFace's own network answers with the unit embedding and this one's norm.
    """

    def __init__(self, depth: int, dim: int = 512, *, squeeze: bool = False) -> None:
        super().__init__()
        deep = depth >= DEEP
        last = 2048 if deep else 512
        self.input_layer = nn.Sequential(
            nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.PReLU(64)
        )
        self.output_layer = nn.Sequential(
            nn.BatchNorm2d(last),
            nn.Dropout(0.4),
            nn.Flatten(),
            nn.Linear(last * 7 * 7, dim),
            nn.BatchNorm1d(dim, affine=False),
        )
        blocks = []
        inputs = 64
        for stage, count in enumerate(STAGES[depth]):
            outputs = last >> (3 - stage)
            for n in range(count):
                stride = 2 if n == 0 else 1
                block = _Block(inputs, outputs, stride=stride, bottleneck=deep, squeeze=squeeze)
                blocks.append(block)
                inputs = outputs
        self.body = nn.Sequential(*blocks)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.input_layer(crops)  # (N, 64, 112, 112)
        x = self.body(x)  # (N, 512 or 2048, 7, 7)
        embeddings: Tensor = self.output_layer(x)  # (N, dim)
        return embeddings


def _plain(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.PReLU(outputs),
        nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False),
        nn.BatchNorm2d(outputs),
    )


def _narrow(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    middle = outputs // 4
    return nn.Sequential(
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, middle, 1, bias=False),
        nn.BatchNorm2d(middle),
        nn.PReLU(middle),
        nn.Conv2d(middle, middle, 3, 1, 1, bias=False),
        nn.BatchNorm2d(middle),
        nn.PReLU(middle),
        nn.Conv2d(middle, outputs, 1, stride, bias=False),
        nn.BatchNorm2d(outputs),
    )
