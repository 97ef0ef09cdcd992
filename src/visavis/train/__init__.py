"""From a folder of people to a pack: margins, heads, recipes, data and the loop.

Knows how a network learns. Knows nothing of options, terminals or galleries. Needs PyTorch.
"""

from visavis.extras import need

need("torch", "safetensors", extras="train")
