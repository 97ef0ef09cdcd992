"""Everyone's checkpoints, and our own, read and written: a network with its weights, its family and
the pixels it wants. Runs nothing that is in a file. Knows no ONNX. Needs PyTorch.
"""

from visavis.extras import need

need("torch", "safetensors", "yaml")
