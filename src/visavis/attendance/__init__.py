"""Attendance: punches that are kept as they came, and days worked out from them anew each time.

Knows rules, punches, corrections, reports and the files of other systems. Does not know pictures,
faces or models: whoever saw somebody says so.
"""
