"""Words found by a regular expression, in a vocabulary with a minimum count."""

from collections.abc import Iterable

from pydantic import Field

from nlp_suite.config import ComponentSettings
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
from nlp_suite.text.tokenizers.words import WORD_PATTERN, check_pattern, count_words, join_words, split_words


class WordSettings(ComponentSettings):
    """Settings of the word tokenizer."""

    name: str = "word"
    vocabulary_size: int = Field(20_000, ge=5, description="maximum number of ids, including the four special ones")
    min_count: int = Field(2, ge=1, description="rarer words are unknown")
    pattern: str = Field(WORD_PATTERN, min_length=1, description="what a word is: a regular expression (RE2)")


@TOKENIZERS.register(WordSettings)
class WordTokenizer(Tokenizer):
    r"""Words found by a regular expression; what is not in the vocabulary becomes UNKNOWN.

    The default pattern keeps words with inner apostrophes whole (`don't`), makes every punctuation mark, symbol and Han
    character a separate token and drops spaces. What `pattern` does not match is dropped.

    Decoding joins the words with spaces and writes U+FFFD for UNKNOWN; encoding that again gives the same ids.

    Args:
        vocabulary_size: maximum number of ids, including special ones.
        min_count: words that occur less often are unknown.
        pattern: an RE2 regular expression that matches a word (Unicode classes such as `\\p{L}`; no look-around).

    Raises:
        TextError: in `train`, for a bad pattern or if no word is frequent enough.

    Example:
        >>> tokenizer = WordTokenizer(vocabulary_size=1000, min_count=1)
        >>> tokenizer.train([b"don't panic .", b"don't"])
        >>> tokenizer.tokens[4:]
        ["don't", '.', 'panic']
    """

    def __init__(self, vocabulary_size: int = 20_000, min_count: int = 2, pattern: str = WORD_PATTERN):
        self._size = vocabulary_size
        self._min_count = min_count
        self._pattern = pattern

    def train(self, texts: Iterable[bytes]) -> None:
        """Counts the words and keeps the most frequent."""
        check_pattern(self._pattern)
        self.tokens = most_frequent(count_words(texts, self._pattern), self._size, self._min_count)

    def assets(self) -> dict[str, bytes]:
        """`vocabulary.txt`, one token a line in the order of the ids."""
        return {"vocabulary.txt": to_lines(self.tokens)}

    def restore(self, assets: dict[str, bytes]) -> None:
        """Takes the vocabulary from `vocabulary.txt`."""
        self.tokens = from_lines(assets["vocabulary.txt"], "vocabulary.txt")

    def resources(self) -> dict:
        """The table word → id and the surface forms."""
        import tensorflow as tf

        first = len(SPECIAL_TOKENS)
        keys, values = tf.constant(self.tokens[first:]), tf.range(first, self.vocabulary_size)
        table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), UNKNOWN)
        surfaces = tf.constant(["", UNKNOWN_SURFACE, "", "", *self.tokens[first:]])  # [V]
        return {"table": table, "surfaces": surfaces}

    def tokenize(self, text, resources: dict):
        """tf.string [B] → RaggedTensor int32 [B, (T)]."""
        words = split_words(text, self._pattern)
        return words.with_flat_values(resources["table"].lookup(words.flat_values))

    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] → tf.string [B], words with a space between them."""
        import tensorflow as tf

        return join_words(ids.with_flat_values(tf.gather(resources["surfaces"], ids.flat_values)))
