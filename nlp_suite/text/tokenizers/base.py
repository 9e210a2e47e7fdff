"""The base class of tokenizers, and the ids that all of them share."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from nlp_suite.errors import TextError

PAD, UNKNOWN, START, END = 0, 1, 2, 3
SPECIAL_TOKENS = ("<pad>", "<unk>", "<s>", "</s>")
UNKNOWN_SURFACE = "\ufffd"  # what an unknown token decodes to; it is in no vocabulary, so it encodes to UNKNOWN again


class Tokenizer(ABC):
    """Normalised text to token ids and back, by TensorFlow ops; learns its vocabulary from a corpus.

    The first four ids are `<pad> <unk> <s> </s>` for every tokenizer. Text never gives one of them, except UNKNOWN for
    what is not in the vocabulary: a literal `<s>` in the input is ordinary text. Start, end, padding and truncation are
    not a tokenizer's business; `nlp_suite.text.graph` adds them.

    A subclass takes its settings as constructor arguments, fills `tokens` in `train` and `restore`, and must not
    import TensorFlow before one of `train`, `resources`, `tokenize`, `detokenize` is called.

    Attributes:
        tokens: the surface form of every id; empty while untrained.
        lossless: whether decoding gives every normalised text back exactly. With any tokenizer, decoded text has the
            ids that it was decoded from.
        learns: whether `train` learns a vocabulary; else it comes with a pretrained model.
        reads_line_breaks: whether a line break is a token like any other, so that a language model reads a text of many
            lines as a whole; else every line ends with END.
        document_start: what a language model reads before a document: END, as behind the one before, or START.
        starts_prompts: whether it reads that before a prompt, too, even if that is not empty.
        max_training_bytes: how much text `train` is given at most, where its library holds all of it; None: any amount.
        reserved: characters that its library keeps for itself, and what text has in their place; some end the process
            or lose text where they reach the library.
    """

    tokens: Sequence[str] = ()
    lossless: bool = False
    learns: ClassVar[bool] = True
    reads_line_breaks: bool = False
    document_start: int = END
    starts_prompts: bool = True
    max_training_bytes: ClassVar[int | None] = None
    reserved: ClassVar[Mapping[str, str]] = {}

    @property
    def always_starts(self) -> bool:
        """Whether all that a pretrained model of this tokenizer was ever given began with START."""
        return self.starts_prompts and self.document_start == START

    @property
    def no_output(self) -> Any:
        """Which ids a language model never writes, since its network has no output for them, bool [V]; None: no such ids."""
        return None

    @property
    def without_piece(self) -> Sequence[int]:
        """Ids that only fill the tables of a pretrained model, in whose softmax they count: no text has them, and none is written."""
        return ()

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, special ones included; 0 while untrained."""
        return len(self.tokens)

    @property
    def shown(self) -> Sequence[str]:
        """What people see of every id: its surface form, a space as U+2581 where a token may begin with one."""
        return self.tokens

    @abstractmethod
    def train(self, texts: Iterable[bytes]) -> None:
        """Learns the vocabulary from normalised UTF-8 texts, none of them empty; iterates once."""

    @abstractmethod
    def assets(self) -> dict[str, bytes]:
        """File name to content: everything that `restore` needs."""

    def companions(self) -> dict[str, bytes]:
        """Files that are kept beside the assets and on which no id depends."""
        return {}

    @abstractmethod
    def restore(self, assets: dict[str, bytes]) -> None:
        """Takes the vocabulary from what `assets` gave, and what else there is from what `companions` gave."""

    def prepare(self, text):
        """Last step of normalisation, without the `reserved` characters: tf.string [B] → tf.string [B]."""
        import tensorflow as tf

        for character, replacement in self.reserved.items():
            text = tf.strings.regex_replace(text, re.escape(character), replacement)
        return text

    def resources(self) -> dict:
        """Tables and other trackable objects, made once and kept by the graph's module, so that they are saved."""
        return {}

    @abstractmethod
    def tokenize(self, text, resources: dict):
        """Normalised tf.string [B] → RaggedTensor int32 [B, (T)]; an empty text gives an empty row."""

    @abstractmethod
    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] without PAD, START and END → tf.string [B]."""


def batches(texts: Iterable[bytes], size: int = 1000, max_bytes: int = 16_000_000) -> Iterator[list[bytes]]:
    """Lists of at most `size` texts and, except for a single longer text, at most `max_bytes` bytes."""
    batch: list[bytes] = []
    total = 0
    for text in texts:
        if batch and (len(batch) == size or total + len(text) > max_bytes):
            yield batch
            batch, total = [], 0
        batch.append(text)
        total += len(text)
    if batch:
        yield batch


def evenly_chosen(texts: Iterable[bytes], max_bytes: int) -> list[bytes]:
    """All texts, or every n-th one, n the smallest power of two with which they have at most `max_bytes` together.

    Reads all and holds those. The first is always among them.
    """
    chosen: list[bytes] = []
    total, step = 0, 1
    for place, text in enumerate(texts):
        if place % step:
            continue
        chosen.append(text)
        total += len(text)
        while total > max_bytes and len(chosen) > 1:
            chosen, step = chosen[::2], 2 * step
            total = sum(map(len, chosen))
    return chosen


def most_frequent(counts: dict[str, int], vocabulary_size: int, min_count: int) -> list[str]:
    """The special tokens, then the most frequent ones by count, ties in code point order; never UNKNOWN_SURFACE.

    Raises:
        TextError: no token occurs `min_count` times.
    """
    counts = {token: count for token, count in counts.items() if token and token != UNKNOWN_SURFACE}
    tokens = sorted((t for t, c in counts.items() if c >= min_count), key=lambda token: (-counts[token], token))
    if not tokens:
        top = max(counts, key=counts.__getitem__, default=None)
        seen = f"the most frequent is {top!r} with {counts[top]}" if top else "the corpus has none at all"
        raise TextError(f"no token occurs min_count={min_count} times in the training texts: {seen}")
    return [*SPECIAL_TOKENS, *tokens[: vocabulary_size - len(SPECIAL_TOKENS)]]


def to_lines(tokens: Sequence[str]) -> bytes:
    """A vocabulary as a text file, one token a line; NUL, which normalised text never has, stands for a line break."""
    return "".join(token.replace("\n", "\x00") + "\n" for token in tokens).encode("utf-8")


def from_lines(content: bytes, name: str) -> list[str]:
    """Reads what `to_lines` wrote; raises TextError for anything else."""
    try:
        tokens = [line.replace("\x00", "\n") for line in content.decode("utf-8").split("\n")[:-1]]
    except UnicodeDecodeError as error:
        raise TextError(f"{name} is damaged: not valid UTF-8 at byte {error.start}") from None
    if tuple(tokens[:4]) != SPECIAL_TOKENS or len(set(tokens[4:])) != len(tokens) - 4:
        raise TextError(f"{name} is damaged: expected {' '.join(SPECIAL_TOKENS)} and then distinct tokens, one a line")
    return tokens
