"""Counts in words: "1 photo", "2 photos". Knows nothing of what is counted."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number and what it counts, in grammar."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def people_counted(number: int) -> str:
    """ "1 person", "2 people"."""
    return counted(number, "person", "people")
