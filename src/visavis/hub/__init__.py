"""How packs and models travel: downloads, object stores, pins. Runs no network, and fetches nothing
that was not asked for.
"""
