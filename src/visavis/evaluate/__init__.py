"""A data set through models to figures. The numbers themselves are computed in visavis.metrics."""
