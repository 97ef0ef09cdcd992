"""Everyone's checkpoints, and our own, to networks with their weights. Knows no ONNX.

Needs PyTorch.
"""

from visavis.extras import need

need("torch", "safetensors", "yaml")
