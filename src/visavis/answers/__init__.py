"""Results as JSON documents, as words for people and as pictures: one way for every surface.

Decides nothing.
"""
