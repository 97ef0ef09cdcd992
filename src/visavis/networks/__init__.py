"""The backbones that checkpoints are loaded into, their parameters named as in the originals.

Each takes (N, 3, H, W) float32 crops, already normalised, and gives raw (N, D) embeddings, not of
unit length. They know nothing of files, colours or families: that is visavis.checkpoints'.
They need PyTorch.
"""

from visavis.extras import need

need("torch")
