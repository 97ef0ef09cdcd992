"""Checkpoints to files that others run, proved to answer as the original does, and made smaller.

Knows no pack and no checkpoint's format: visavis.pack and visavis.checkpoints do. Needs PyTorch.
"""

from visavis.extras import need

need("torch", "onnxscript", "safetensors", "yaml")
