"""Crops to unit embeddings. Knows what embedders want; knows no photos, people or thresholds."""

from visavis.embed.model import ModelEmbedder, at_size, load_embedder, unit

__all__ = ["ModelEmbedder", "at_size", "load_embedder", "unit"]
