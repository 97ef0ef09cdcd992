"""Networks to files that others run, proved to answer as the original does. Needs PyTorch."""

from visavis.extras import need

need("torch", "onnxscript", "safetensors", "yaml")
