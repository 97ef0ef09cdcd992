"""Results as JSON documents, as words for people and as pictures: one way for every surface.

Knows how a result is shown. Does not know how it came about, nor who shows it; decides nothing.
"""
