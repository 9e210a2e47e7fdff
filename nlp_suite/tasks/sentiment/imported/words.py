"""From texts to the ids that someone else's model was trained on: her vocabulary, and her rule for what it lacks and how rows are filled."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from nlp_suite.errors import ExportError, UsageError
from nlp_suite.text.tokenizers.keras_words import Standardize, standardized

_TOKENIZER_FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'  # that keras.preprocessing.text.Tokenizer turns into spaces
STANDARDIZE = get_args(Standardize)


@dataclass(frozen=True)
class IdRule:
    """How a text became the ids of a row.

    Attributes:
        vocabulary: a file: a word a line (its id is the number of the line, from 0), a JSON mapping from words to ids, or what
            `keras.preprocessing.text.Tokenizer.to_json` wrote.
        padding: the side of a short text that is filled: `"left"` (Keras calls it pre) or `"right"` (post).
        truncation: the part of a long text that is kept: `"head"` or `"tail"` (Keras's truncating="pre" keeps the tail).
        unknown: the id of a word that the vocabulary lacks, or `"drop"`; default: as the Tokenizer's JSON says.
        max_length: ids of a row; default: the model's, where it has a fixed length.
        pad_id: the id that fills.
        id_offset: added to every id of the vocabulary (Keras's `index_from`).
        num_words: ids from this one on, offset included, are unknown (Keras's `num_words`).
        start_id: an id before every text.
        standardize: what becomes of a text before it is split at white space.
    """

    vocabulary: str | Path
    padding: Literal["left", "right"]
    truncation: Literal["head", "tail"]
    unknown: int | Literal["drop"] | None = None
    max_length: int | None = None
    pad_id: int = 0
    id_offset: int = 0
    num_words: int | None = None
    start_id: int | None = None
    standardize: Standardize | None = None


@dataclass(frozen=True)
class Vocabulary:
    """A vocabulary as it was read: word → id, and what its file says of the rule."""

    ids: Mapping[str, int]
    unknown: int | Literal["drop"] | None = None
    num_words: int | None = None
    standardize: Standardize = "lower_and_strip_punctuation"


class Words:
    """The rule with its vocabulary, as ops of TensorFlow.

    Args:
        rule: as it was given.
        length: fixed length of the model's rows; None where it has none.

    Attributes:
        length: ids T of a row.
        highest: the highest id that a row can have.

    Raises:
        UsageError: something that the rule must say and does not, or that does not go together.
        ExportError: a vocabulary that cannot be read.
    """

    def __init__(self, rule: IdRule, length: int | None):
        vocabulary = read_vocabulary(Path(rule.vocabulary))
        unknown = vocabulary.unknown if rule.unknown is None else rule.unknown
        num_words = vocabulary.num_words if rule.num_words is None else rule.num_words
        if unknown is None:
            raise UsageError(
                "--unknown is needed: the id of words that the vocabulary lacks, or drop if they were left out"
            )
        if length and rule.max_length not in (None, length):
            raise UsageError(f"--max-length {rule.max_length}: the model's rows have {length} ids; leave it out")
        self.length = length or rule.max_length or 0
        if self.length < 1:
            raise UsageError("--max-length is needed: how many ids a row had in training (the model takes any number)")
        self.rule, self.unknown = rule, unknown
        self.standardize = rule.standardize or vocabulary.standardize
        kept = ((word, number + rule.id_offset) for word, number in vocabulary.ids.items())
        self.ids = {word: i for word, i in kept if num_words is None or i < num_words}
        if not self.ids:
            raise ExportError(f"{str(rule.vocabulary)!r}: no word has an id below --num-words {num_words}")
        given = [rule.pad_id, *(i for i in (rule.start_id, unknown) if isinstance(i, int))]
        self.highest = max([*self.ids.values(), *given])
        if (lowest := min([*self.ids.values(), *given])) < 0:
            raise ExportError(f"{str(rule.vocabulary)!r}: ids are numbers from 0, and the lowest is {lowest}")

    def table(self) -> Any:
        """The lookup table, which the graph's module must hold."""
        import tensorflow as tf

        words, ids = list(self.ids), list(self.ids.values())
        entries = tf.lookup.KeyValueTensorInitializer(tf.constant(words), tf.constant(ids, tf.int64))
        return tf.lookup.StaticHashTable(entries, -1 if self.unknown == "drop" else self.unknown)

    def rows(self, text: Any, table: Any) -> tuple[Any, Any]:
        """Ids int32 `[B, T]` of texts string `[B]`, and whether they had more, bool `[B]`."""
        import tensorflow as tf

        words = tf.strings.split(standardized(text, self.standardize))  # [B, (W)]
        ids = words.with_flat_values(table.lookup(words.flat_values))
        if self.unknown == "drop":
            ids = tf.ragged.boolean_mask(ids, ids >= 0)
        if self.rule.start_id is not None:
            start = tf.fill([tf.shape(text)[0], 1], tf.constant(self.rule.start_id, tf.int64))
            ids = tf.concat([tf.RaggedTensor.from_tensor(start), ids], axis=1)
        lengths = ids.row_lengths()  # [B]
        kept = ids[:, : self.length] if self.rule.truncation == "head" else ids[:, -self.length :]
        if self.rule.padding == "left":
            filled = tf.reverse(self._filled(tf.reverse(kept, [1])), [1])
        else:
            filled = self._filled(kept)
        return tf.cast(filled, tf.int32), lengths > self.length

    def _filled(self, ids: Any) -> Any:
        return ids.to_tensor(default_value=self.rule.pad_id, shape=[None, self.length])


def read_vocabulary(path: Path) -> Vocabulary:
    """Reads a vocabulary, see `IdRule`.

    Raises:
        ExportError: no such file, no UTF-8, ids that are no numbers, or a word twice.
    """
    try:
        content = path.read_text("utf-8")
    except OSError as error:
        raise ExportError(f"--vocabulary {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ExportError(f"--vocabulary {str(path)!r} is not UTF-8: {error}") from None
    if content.lstrip()[:1] == "{":
        return _from_json(path, content)
    words = content.removesuffix("\n").split("\n")
    seen: dict[str, int] = {}
    for number, word in enumerate(word.removesuffix("\r") for word in words):
        if word in seen:
            raise ExportError(f"--vocabulary {str(path)!r}: {word!r} stands in lines {seen[word] + 1} and {number + 1}")
        seen[word] = number
    return Vocabulary(seen)


def _from_json(path: Path, content: str) -> Vocabulary:
    try:
        values = json.loads(content)
        config = values.get("config", {}) if values.get("class_name") == "Tokenizer" else {}
        ids = json.loads(config["word_index"]) if config else values
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"--vocabulary {str(path)!r} is no JSON of a vocabulary: {error}") from None
    if wrong := next((word for word, i in ids.items() if type(i) is not int), None):
        raise ExportError(f"--vocabulary {str(path)!r}: the id of {wrong!r} is {ids[wrong]!r}, no whole number")
    if not config:
        return Vocabulary(ids)
    if config.get("char_level") or config.get("split", " ") != " ":
        raise ExportError(f"--vocabulary {str(path)!r}: this Tokenizer does not split texts into words at spaces")
    filters = config.get("filters", _TOKENIZER_FILTERS)
    if filters not in (_TOKENIZER_FILTERS, "") or (filters and not config.get("lower", True)):
        raise ExportError(
            f"--vocabulary {str(path)!r}: this Tokenizer filters {filters!r} with lower {config.get('lower')}; allowed: its "
            "defaults, or no filters"
        )
    lower: Standardize = "lower" if config.get("lower", True) else "none"
    standardize: Standardize = "lower_and_space_punctuation" if filters else lower
    out_of_vocabulary = config.get("oov_token")
    unknown: Any = "drop" if out_of_vocabulary is None else ids.get(out_of_vocabulary)
    return Vocabulary(ids, unknown, config.get("num_words"), standardize)


def check_fits(words: Words, rows: int | None, called: Sequence[str]) -> list[str]:
    """What does not fit between a vocabulary and the model's embedding.

    Args:
        words: the vocabulary.
        rows: of the embedding; None where it is not known.
        called: the model and the vocabulary, for messages.

    Returns:
        Sentences on what may be wrong.

    Raises:
        ExportError: ids that the embedding lacks.
    """
    if rows is None:
        return []
    if words.highest >= rows:
        raise ExportError(
            f"the vocabulary does not fit the embedding: {called[1]} has ids to {words.highest:,}, and {called[0]} has rows for 0 to "
            f"{rows - 1:,}; give its own vocabulary, or --num-words {rows} if it was trained on the most frequent words only"
        )
    if words.highest < rows - 2:  # a row more than there are words is usual
        return [
            f"the embedding has {rows:,} rows, and the highest id is {words.highest:,}: if the model answers nonsense, see --id-offset"
        ]
    return []
