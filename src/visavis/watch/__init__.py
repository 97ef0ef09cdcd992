"""Cameras and videos in, one decision for each person's way through the picture out.

Knows where pictures come from, how a face is followed, and when what was seen of it is enough to
name somebody. Knows no embedder of its own, no attendance and no web page: those take its events.
"""
