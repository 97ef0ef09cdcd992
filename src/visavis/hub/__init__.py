"""How packs and other people's models travel: from the web, to and from stores.

Knows addresses, hashes and pins. Runs no model, and fetches nothing that was not asked for.
"""
