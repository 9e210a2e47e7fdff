"""Splitting text into words by a regular expression, in the graph; shared by `word` and `wordpiece`."""

from collections import Counter
from collections.abc import Iterable

from nlp_suite.errors import TextError
from nlp_suite.text.tokenizers.base import UNKNOWN_SURFACE, batches

WORD_CHARACTERS = r"[^\s\p{P}\p{S}\p{Han}]+"
WORD_PATTERN = rf"\p{{Han}}|{WORD_CHARACTERS}(?:['’]{WORD_CHARACTERS})*|[\p{{P}}\p{{S}}]"
"""A Han character, a word with inner apostrophes (don't), or one punctuation mark or symbol. RE2 syntax."""
PLAIN_PATTERN = rf"\p{{Han}}|{WORD_CHARACTERS}|[\p{{P}}\p{{S}}]"
"""The same, but every apostrophe is a separate word, as in BERT."""


def split_words(text, pattern: str):
    """Every match of `pattern`: normalised tf.string [B] → RaggedTensor tf.string [B, (words)].

    Core ops only: each match is put between NULs, of which normalised text has none, so that splitting at NUL gives
    matches at odd indices (RegexSplitWithOffsets takes four times as long). The replacement character is always a word,
    so that decoded unknown tokens become unknown again.
    """
    import tensorflow as tf

    marked = tf.strings.regex_replace(text, f"(?:{pattern})|{UNKNOWN_SURFACE}", "\x00\\0\x00")
    pieces = tf.raw_ops.StringSplitV2(input=marked, sep="\x00")  # of each row: gap, word, gap, …, gap
    row, column = tf.unstack(pieces.indices, axis=1)  # [pieces], in order
    is_word = tf.where(tf.cast(column % 2, tf.bool))[:, 0]  # [words]
    # Where each row begins among the words. (`tf.strings.split` takes 30 ops more to find it.)
    splits = tf.raw_ops.LowerBound(
        sorted_inputs=tf.gather(row, is_word)[None],
        values=tf.range(pieces.shape[0] + 1)[None],
        out_type=tf.int64,
    )[0]
    return tf.RaggedTensor.from_row_splits(tf.gather(pieces.values, is_word), splits, validate=False)


def check_pattern(pattern: str) -> None:
    """Raises TextError if `pattern` is not an RE2 expression or matches an empty text."""
    import tensorflow as tf

    try:
        words = split_words(tf.constant(["", "a", "ä b. c"]), pattern).flat_values.numpy()
    except tf.errors.InvalidArgumentError as error:
        reason = error.message.split("error: ")[-1].split(" [Op:")[0]
        raise TextError(
            f"text.tokenizer.pattern {pattern!r} is not a regular expression of RE2: {reason} (allowed: RE2 syntax, "
            f"such as the default {WORD_PATTERN!r}; no look-around, no back references)"
        ) from None
    if b"" in words:
        raise TextError(f"text.tokenizer.pattern {pattern!r} matches the empty text: a word has at least one character")


def count_words(texts: Iterable[bytes], pattern: str) -> Counter[str]:
    """How often each match of `pattern` occurs in normalised texts."""
    import tensorflow as tf

    def count(text):
        words, _, counts = tf.unique_with_counts(split_words(text, pattern).flat_values)
        return words, counts

    count = tf.function(count, autograph=False).get_concrete_function(tf.TensorSpec([None], tf.string))
    totals: Counter[bytes] = Counter()
    with tf.device("CPU:0"):
        for batch in batches(texts):
            words, counts = count(tf.constant(batch))
            for word, number in zip(words.numpy(), counts.numpy().tolist(), strict=True):
                totals[word] += number
    return Counter({word.decode("utf-8"): number for word, number in totals.items()})


def join_words(words, separator: str = " "):
    """RaggedTensor tf.string [B, (words)] → tf.string [B]."""
    import tensorflow as tf

    return tf.strings.reduce_join(words, axis=-1, separator=separator)
