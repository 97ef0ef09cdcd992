"""Crops to unit embeddings. Knows what embedders want; knows no photos, people or thresholds."""

from visavis.embed.model import ModelEmbedder, embedder_device, load_embedder, middle, unit

__all__ = ["ModelEmbedder", "embedder_device", "load_embedder", "middle", "unit"]
