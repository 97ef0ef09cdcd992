"""The networks that checkpoints are loaded into, their parameters named as in the originals.

Embedders take (N, 3, H, W) float32 crops, already normalised, and give raw (N, D) embeddings, not
of unit length; detectors give what their decoder reads. Knows nothing of files, colours or
families: visavis.checkpoints does. Needs PyTorch.
"""

from visavis.extras import need

need("torch")
