"""A person, or a picture of one: an outcome of its own, never mixed into who it is.

Knows two networks that look at a face and its surroundings, what five points say of a head that
turns, and a challenge. Knows no gallery, and no camera. Claims no rate that was not measured: on
other attacks than those of its tests nobody knows how often it errs.
"""
