"""Vision transformers for faces, of arcface_torch and CVLface: without a class token."""

from collections import OrderedDict
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


@dataclass(frozen=True, slots=True)
class TransformerLayout:
    """How a transformer is built. No checkpoint says how many heads: they are known by name."""

    patch: int  # pixels a side, of 112; what is left over at the right and below is not seen
    width: int
    depth: int
    heads: int
    ratio: int  # of the perceptron's width to the transformer's

    @property
    def tokens(self) -> int:
        """Patches in a crop."""
        return (112 // self.patch) ** 2


ARCFACE = {
    "t": TransformerLayout(9, 256, 12, 8, 4),
    "s": TransformerLayout(9, 512, 12, 8, 4),
    "b": TransformerLayout(9, 512, 24, 8, 4),
    "l": TransformerLayout(9, 768, 24, 8, 4),
    "h": TransformerLayout(9, 1024, 48, 8, 4),
}
CVLFACE = {
    "small": TransformerLayout(8, 512, 12, 8, 5),
    "base": TransformerLayout(8, 512, 24, 16, 3),
}


class Attention(nn.Module):
    """Every token looks at every other: (N, T, C) to the same shape."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.qkv(tokens).unflatten(2, (3, self.heads, -1))  # (N, T, 3, heads, C / heads)
        query, key, value = x.permute(2, 0, 3, 1, 4).unbind(0)  # (N, heads, T, C / heads)
        x = scaled_dot_product_attention(query, key, value)  # (N, heads, T, C / heads)
        mixed: Tensor = self.proj(x.transpose(1, 2).flatten(2))  # (N, T, C)
        return mixed


class _Block(nn.Module):
    """Attention and a perceptron, each beside a shortcut: (N, T, C) to the same shape."""

    def __init__(self, layout: TransformerLayout) -> None:
        super().__init__()
        width, hidden = layout.width, layout.width * layout.ratio
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.attn = Attention(width, layout.heads)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(width, hidden), act=nn.ReLU6(), fc2=nn.Linear(hidden, width))
        )

    def forward(self, tokens: Tensor) -> Tensor:
        x = tokens + self.attn(self.norm1(tokens))
        total: Tensor = x + self.mlp(self.norm2(x))
        return total


class ViT(nn.Module):
    """(N, 3, 112, 112) crops to (N, dim) raw embeddings.

    `masked` keeps the token that stands for hidden patches in training: nothing else uses it.
    """

    def __init__(self, layout: TransformerLayout, dim: int = 512, *, masked: bool = True) -> None:
        super().__init__()
        width = layout.width
        self.pos_embed = nn.Parameter(torch.zeros(1, layout.tokens, width))
        if masked:
            self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, layout.patch, layout.patch)})
        self.blocks = nn.Sequential(*(_Block(layout) for _ in range(layout.depth)))
        self.norm = nn.LayerNorm(width)
        self.feature = nn.Sequential(
            nn.Linear(layout.tokens * width, width, bias=False),
            nn.BatchNorm1d(width, eps=2e-5),
            nn.Linear(width, dim, bias=False),
            nn.BatchNorm1d(dim, eps=2e-5),
        )

    def forward(self, crops: Tensor) -> Tensor:
        x = self.patch_embed["proj"](crops)  # (N, C, 12, 12) or (N, C, 14, 14)
        x = x.flatten(2).transpose(1, 2) + self.pos_embed  # (N, T, C)
        x = self.norm(self.blocks(x))  # (N, T, C)
        embeddings: Tensor = self.feature(x.flatten(1))  # (N, dim)
        return embeddings
