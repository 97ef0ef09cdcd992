"""How well similarities tell people apart, and at which threshold: pure numbers. Knows no picture,
network or file.
"""
