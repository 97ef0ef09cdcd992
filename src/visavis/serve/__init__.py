"""The service: the same questions over HTTP, and pages for people.

Knows HTTP, keys, limits and queues. Knows no face, no threshold and no rule of enrolment: it reads
a request, calls the library once, and shows the answer as `answers` has it. Photos are decoded in
processes that may open nothing, and are never written to a disk.
"""
