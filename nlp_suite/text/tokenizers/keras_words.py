"""Words between white space, as Keras's TextVectorization and Tokenizer cut them."""

from typing import ClassVar, Literal

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.tokenizers.base import SPECIAL_TOKENS
from nlp_suite.text.tokenizers.word import WordTokenizer

Standardize = Literal[
    "lower_and_strip_punctuation", "lower_and_space_punctuation", "lower", "strip_punctuation", "none"
]
PUNCTUATION = r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~']"""  # that TextVectorization strips (RE2)
FILTERED = r"""[!"#$%&()*+,\-./:;<=>?@\[\\\]^_`{|}~\t\n]"""  # that keras.preprocessing.text.Tokenizer makes spaces


class KerasWordsSettings(ComponentSettings):
    """Settings of the tokenizer at white space."""

    name: str = "keras_words"
    vocabulary_size: int = Field(20_000, ge=5, description="maximum number of ids, including the four special ones")
    min_count: int = Field(1, ge=1, description="rarer words are unknown")
    standardize: Standardize = Field(
        "lower_and_strip_punctuation",
        description="before the split: TextVectorization's standardize, or Tokenizer's, which makes punctuation spaces",
    )


@TOKENIZERS.register(KerasWordsSettings)
class KerasWordsTokenizer(WordTokenizer):
    """What stands between white space once case and punctuation are gone; for models that began in Keras.

    With the vocabulary of a TextVectorization it cuts texts as that layer does; the ids are this package's.

    Args:
        vocabulary_size, min_count: see `WordTokenizer`.
        standardize: what becomes of a text before the split, see `standardized`.
    """

    PATTERN: ClassVar[str] = r"\S+"

    def __init__(
        self,
        vocabulary_size: int = 20_000,
        min_count: int = 1,
        standardize: Standardize = "lower_and_strip_punctuation",
    ):
        super().__init__(vocabulary_size, min_count, self.PATTERN)
        self.standardize = standardize

    def prepare(self, text):
        """See `Tokenizer.prepare`; here it is where case and punctuation go."""
        return standardized(text, self.standardize)

    @classmethod
    def with_words(cls, words, **settings) -> "KerasWordsTokenizer":
        """A tokenizer whose ids from 4 on are those of some words, in their order."""
        tokenizer = cls(**settings)
        tokenizer.tokens = [*SPECIAL_TOKENS, *words]
        return tokenizer


def standardized(text, how: Standardize):
    """A text before it is split at white space: tf.string [B] → tf.string [B].

    Case goes as in the layer of Keras: TextVectorization lowers ASCII letters only, Tokenizer all letters.
    """
    import tensorflow as tf

    if how.startswith("lower"):
        text = tf.strings.lower(text, "utf-8" if how == "lower_and_space_punctuation" else "")
    if how.endswith("strip_punctuation"):
        text = tf.strings.regex_replace(text, PUNCTUATION, "")
    if how == "lower_and_space_punctuation":
        text = tf.strings.regex_replace(text, FILTERED, " ")
    return text
