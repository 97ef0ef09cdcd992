"""What the insightface package expects of a folder: read from one, and written as one. Needs no
PyTorch.
"""
