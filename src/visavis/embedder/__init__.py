"""Crops to unit embeddings. Knows what embedders want; knows no photos, people or thresholds."""

from visavis.embedder.ensemble import Ensemble, Member, join_parts, split_parts
from visavis.embedder.model import ModelEmbedder, load_embedder, middle, unit

__all__ = [
    "Ensemble",
    "Member",
    "ModelEmbedder",
    "join_parts",
    "load_embedder",
    "middle",
    "split_parts",
    "unit",
]
