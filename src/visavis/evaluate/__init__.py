"""A data set through models to figures.

Knows data sets, models and protocols. Does not know how a figure is computed (visavis.metrics does)
or shown.
"""
