"""Runs as figures and pages to read. Measures nothing itself."""
