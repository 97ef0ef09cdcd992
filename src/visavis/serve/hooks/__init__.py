"""Webhooks: what happened is told to other systems, signed, and nothing is lost on the way.

It knows galleries and decisions; it knows nothing of routes and pages.
"""
