"""Two texts that are read together, as one string: what stores, predictors and lists of texts hold of a pair."""

SEPARATOR = "\x1f"  # the control character "unit separator"; in a line that a user writes, a tab may stand for it


def join_pair(text: str, text_b: str) -> str:
    """A pair as one string; a separator within a text becomes a space.

    Example:
        >>> split_pair(join_pair("a question", "an answer").encode())
        (b'a question', b'an answer')
    """
    return f"{text.replace(SEPARATOR, ' ')}{SEPARATOR}{text_b.replace(SEPARATOR, ' ')}"


def split_pair(pair: bytes) -> tuple[bytes, bytes]:
    """The two texts of a pair: parted by the separator, else by the first tab; the second is empty where there is neither."""
    separator = SEPARATOR.encode() if SEPARATOR.encode() in pair else b"\t"
    text, _, text_b = pair.partition(separator)
    return text, text_b


def shown_pair(text: str) -> str:
    """A text, or a pair as one string, as people read it."""
    return text.replace(SEPARATOR, " | ")
