"""InsightFace: packs made of its folders, and packs written as folders that it loads.

Knows its rules (rules.py) and nothing of PyTorch; the insightface package itself is needed for the
proof alone. Knows no command line and no way to download.
"""
