"""Counted nouns, and words that agree with a number."""


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return "1 image", "2 images"; `plural` is for nouns that take more than an s."""
    return f"{number:,} {agreed(number, noun, plural or noun + 's')}"


def agreed(number: int, one: str, many: str) -> str:
    """Return the words for one, or those for none and several."""
    return one if number == 1 else many
