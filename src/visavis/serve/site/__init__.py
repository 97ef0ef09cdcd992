"""The web app: pages made on the server, with small plain scripts.

It knows the questions that REST asks, too; nothing else of the service knows the pages.
"""
