"""Crops to unit embeddings. Knows what embedders want; knows no photos, people or thresholds."""

from visavis.compare import join_parts, split_parts
from visavis.embedder.choice import Models, choose_models, named_packs
from visavis.embedder.ensemble import Ensemble, Member
from visavis.embedder.model import (
    ModelEmbedder,
    at_size,
    embedder_device,
    load_embedder,
    refuse_cut,
    unit,
)

__all__ = [
    "Ensemble",
    "Member",
    "ModelEmbedder",
    "Models",
    "at_size",
    "choose_models",
    "embedder_device",
    "join_parts",
    "load_embedder",
    "named_packs",
    "refuse_cut",
    "split_parts",
    "unit",
]
