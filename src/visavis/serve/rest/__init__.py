"""REST: the routes under /v1 and the shapes of their answers. It knows nothing of pages."""
