"""Runs as figures and pages to read.

Knows what evaluate keeps of a run. Does not know data sets or models, and measures nothing.
"""
