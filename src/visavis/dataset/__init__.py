"""Pictures by the folder or the zip, and the lists that say which belong together."""

from visavis.dataset.pairs import Pairs, read_pairs
from visavis.dataset.people import People, apply_exclusions, find_people, without
from visavis.dataset.tree import Tree, find_photos, open_tree

__all__ = [
    "Pairs",
    "People",
    "Tree",
    "apply_exclusions",
    "find_people",
    "find_photos",
    "open_tree",
    "read_pairs",
    "without",
]
