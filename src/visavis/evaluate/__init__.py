"""A data set through models to figures. Computes no figure itself, visavis.metrics does; draws and
prints nothing.
"""
