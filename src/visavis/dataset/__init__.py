"""Pictures by the folder or the zip, and the lists that say which show one person.

Knows the formats that data sets come in. Knows nothing of models, and measures nothing.
"""

from visavis.dataset.bin import bin_bytes, read_bin
from visavis.dataset.cfp import read_cfp
from visavis.dataset.ijb import Ijb, read_ijb
from visavis.dataset.pairs import Pairs, read_pairs
from visavis.dataset.people import People, apply_exclusions, find_people, without
from visavis.dataset.photos import find_photos
from visavis.dataset.sample import sample_pairs
from visavis.dataset.tree import Tree, open_tree
from visavis.dataset.verification import open_pairs
from visavis.dataset.wider import Wider, read_wider

__all__ = [
    "Ijb",
    "Pairs",
    "People",
    "Tree",
    "Wider",
    "apply_exclusions",
    "bin_bytes",
    "find_people",
    "find_photos",
    "open_pairs",
    "open_tree",
    "read_bin",
    "read_cfp",
    "read_ijb",
    "read_pairs",
    "read_wider",
    "sample_pairs",
    "without",
]
