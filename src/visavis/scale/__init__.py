"""Embeddings of as many photos as there are: in shards, on one machine or many.

It knows the flow from a photo to its embeddings. Nothing else knows it.
"""
