"""Unicode characters, the most frequent ones of the corpus."""

from collections import Counter
from collections.abc import Iterable

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.errors import TextError
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.tokenizers.base import (
    SPECIAL_TOKENS,
    UNKNOWN,
    UNKNOWN_SURFACE,
    Tokenizer,
    from_lines,
    most_frequent,
    to_lines,
)

_FILE = "characters.txt"


class CharacterSettings(ComponentSettings):
    """Settings of the character tokenizer."""

    name: str = "character"
    vocabulary_size: int = Field(1000, ge=5, description="maximum number of ids, including the four special ones")
    min_count: int = Field(1, ge=1, description="rarer characters are unknown")


@TOKENIZERS.register(CharacterSettings)
class CharacterTokenizer(Tokenizer):
    """Unicode code points, the most frequent ones of the corpus; others become UNKNOWN, decoded as U+FFFD.

    Args:
        vocabulary_size: maximum number of ids, including special ones.
        min_count: characters that occur less often are unknown.

    Raises:
        TextError: in `train`, if no character is frequent enough.

    Example:
        >>> tokenizer = CharacterTokenizer()
        >>> tokenizer.train([b"abba b"])
        >>> tokenizer.tokens[4:]
        ['b', 'a', ' ']
    """

    def __init__(self, vocabulary_size: int = 1000, min_count: int = 1):
        self._size = vocabulary_size
        self._min_count = min_count

    def train(self, texts: Iterable[bytes]) -> None:
        """Counts the characters and keeps the most frequent."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(text.decode("utf-8"))
        self.tokens = most_frequent(counts, self._size, self._min_count)

    def assets(self) -> dict[str, bytes]:
        """`characters.txt`, one character a line in the order of the ids."""
        return {_FILE: to_lines(self.tokens)}

    def restore(self, assets: dict[str, bytes]) -> None:
        """Takes the vocabulary from `characters.txt`."""
        tokens = from_lines(assets[_FILE], _FILE)
        if wrong := [token for token in tokens[len(SPECIAL_TOKENS) :] if len(token) != 1]:
            raise TextError(f"{_FILE} is damaged: {wrong[0]!r} is not one character")
        self.tokens = tokens

    def resources(self) -> dict:
        """Code point → id, up to the highest known one and one more for all above it; and id → character."""
        import numpy as np
        import tensorflow as tf

        code_points = [ord(character) for character in self.tokens[len(SPECIAL_TOKENS) :]]
        ids = np.full(max(code_points) + 2, UNKNOWN, np.int32)
        ids[code_points] = np.arange(len(SPECIAL_TOKENS), self.vocabulary_size)
        surfaces = ["", UNKNOWN_SURFACE, "", "", *self.tokens[len(SPECIAL_TOKENS) :]]
        return {"ids": tf.constant(ids), "surfaces": tf.constant(surfaces)}

    def tokenize(self, text, resources: dict):
        """tf.string [B] → RaggedTensor int32 [B, (T)]."""
        import tensorflow as tf

        code_points = tf.strings.unicode_decode(text, "UTF-8")  # [B, (T)]
        last = tf.size(resources["ids"]) - 1
        return code_points.with_flat_values(tf.gather(resources["ids"], tf.minimum(code_points.flat_values, last)))

    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] → tf.string [B]."""
        import tensorflow as tf

        characters = ids.with_flat_values(tf.gather(resources["surfaces"], ids.flat_values))
        return tf.strings.reduce_join(characters, axis=-1)
