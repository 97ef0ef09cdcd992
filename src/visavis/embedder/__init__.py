"""Crops to unit embeddings. Knows what embedders want; knows no photos, people or thresholds."""

from visavis.embedder.model import ModelEmbedder, load_embedder, middle, unit

__all__ = ["ModelEmbedder", "load_embedder", "middle", "unit"]
