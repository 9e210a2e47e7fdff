"""Sub-words by SentencePiece: byte-pair encoding or unigram, with bytes for what is unknown."""

import io
import re
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.errors import TextError
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.tokenizers.base import (
    END,
    PAD,
    SPECIAL_TOKENS,
    START,
    UNKNOWN,
    UNKNOWN_SURFACE,
    Tokenizer,
)
from nlp_suite.text.tokenizers.sentencepiece_op import sentencepiece_op

_NOT_TRAINABLE = (UNKNOWN_SURFACE.encode(), "▅".encode())  # U+2585: its trainer skips texts that contain it
MAX_WORD_BYTES = 1000  # its BPE trainer aborts the process on words of more than 65,535
_MODEL = "sentencepiece.model"


class SentencePieceSettings(ComponentSettings):
    """Settings of the SentencePiece tokenizer."""

    name: str = "sentencepiece"
    vocabulary_size: int = Field(
        8000, ge=5, description="maximum number of ids, including 4 special ones and 256 bytes"
    )
    model: Literal["bpe", "unigram"] = Field("bpe", description="byte-pair encoding, or the unigram language model")
    byte_fallback: bool = Field(True, description="unknown characters become their UTF-8 bytes, so nothing is lost")
    character_coverage: float = Field(
        0.9995, gt=0, le=1, description="share of the corpus's characters that the vocabulary covers"
    )
    split_digits: bool = Field(False, description="every digit is a separate piece")


@TOKENIZERS.register(SentencePieceSettings)
class SentencePieceTokenizer(Tokenizer):
    """SentencePiece sub-words (Kudo & Richardson 2018, arXiv:1808.06226): BPE (Sennrich et al. 2016) or unigram.

    The model does not normalise, so with byte fallback `decode(encode(x)) = normalise(x)` exactly.
    SentencePiece writes spaces as U+2581; as it could not tell such a character in the text from a space, an underscore
    takes its place. Pieces are learned from 100 MB of text at most. Text cannot contain control tokens: a literal `<s>` is split like any text. Where
    normalisation keeps runs of spaces (`text.collapse_spaces: false`), there are pieces for them, too.

    Without byte fallback a run of unknown characters becomes one UNKNOWN, decoded as U+FFFD.

    Args:
        vocabulary_size: number of ids, including special ones (4) and bytes (256 with `byte_fallback`); a corpus that
            is too small gives fewer.
        model: `"bpe"` or `"unigram"`.
        byte_fallback: encode unknown characters as bytes.
        character_coverage: share of the corpus's characters that the vocabulary must cover.
        split_digits: make every digit a separate piece.

    Raises:
        TextError: in `train`, if `vocabulary_size` is too small for the characters of the corpus.

    Example:
        >>> tokenizer = SentencePieceTokenizer(vocabulary_size=400)
        >>> tokenizer.train([b"the cat sat", b"the dog sat"])
        >>> tokenizer.tokens[:5]
        ['<pad>', '<unk>', '<s>', '</s>', '<0x00>']
    """

    max_training_bytes: ClassVar[int | None] = 100_000_000  # its trainer needs about ten times as much memory
    reserved: ClassVar[Mapping[str, str]] = {"▁": "_"}  # U+2581, which it takes for a space

    def __init__(
        self,
        vocabulary_size: int = 8000,
        model: str = "bpe",
        byte_fallback: bool = True,
        character_coverage: float = 0.9995,
        split_digits: bool = False,
    ):
        self._size = vocabulary_size
        self._arguments: dict[str, Any] = {
            "model_type": model,
            "byte_fallback": byte_fallback,
            "character_coverage": character_coverage,
            "split_digits": split_digits,
        }
        self._model = b""
        self.lossless = byte_fallback

    def train(self, texts: Iterable[bytes]) -> None:
        """Runs SentencePiece's trainer in memory; the same texts in the same order give the same model."""
        import sentencepiece

        sentences = [trainable for text in texts if (trainable := _trainable(text))]
        if not sentences:
            raise TextError("no training text has anything to learn sub-words from")
        reserved = 4 + 256 * self._arguments["byte_fallback"]
        if self._size <= reserved:
            raise TextError(
                f"text.tokenizer.vocabulary_size {self._size} is too small: special tokens"
                f"{' and bytes' if reserved > 4 else ''} alone take {reserved}; give more or set byte_fallback=false"
            )
        names = ("pad_id", "unk_id", "bos_id", "eos_id", "pad_piece", "unk_piece", "bos_piece", "eos_piece")
        special: dict[str, Any] = dict(zip(names, (PAD, UNKNOWN, START, END, *SPECIAL_TOKENS), strict=True))
        runs: dict[str, Any] = {}
        if any(b"  " in sentence for sentence in sentences):
            runs["allow_whitespace_only_pieces"] = True
        model = io.BytesIO()
        try:
            sentencepiece.SentencePieceTrainer.train(
                sentence_iterator=iter(sentences),
                model_writer=model,
                vocab_size=self._size,
                hard_vocab_limit=False,  # a small corpus gives a smaller vocabulary
                **special,
                unk_surface=UNKNOWN_SURFACE,
                normalization_rule_name="identity",
                add_dummy_prefix=True,  # a word is the same at the start of a text and within
                remove_extra_whitespaces=False,
                max_sentence_length=2**30,  # bytes; longer ones would be left out
                num_threads=16,  # unigram sums in this many parts, so the model depends on it
                minloglevel=2,
                **runs,
                **self._arguments,
            )
        except (RuntimeError, OSError) as error:
            raise TextError(_explain(str(error), self._size)) from None
        self.restore({_MODEL: model.getvalue()})

    def assets(self) -> dict[str, bytes]:
        """`sentencepiece.model`, SentencePiece's own format."""
        return {_MODEL: self._model}

    def restore(self, assets: dict[str, bytes]) -> None:
        """Takes the model from `sentencepiece.model`."""
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(assets[_MODEL])
            tokens = [processor.id_to_piece(i) for i in range(processor.get_piece_size())]
        except (RuntimeError, OSError):
            tokens = []
        if tuple(tokens[:4]) != SPECIAL_TOKENS:
            raise TextError(f"{_MODEL} is damaged: no SentencePiece model that begins with {' '.join(SPECIAL_TOKENS)}")
        self._model, self.tokens = assets[_MODEL], tokens

    def resources(self) -> dict:
        """TF Text's tokenizer, which holds the model as a resource."""
        return {"sentencepiece": sentencepiece_op(self._model)}

    def tokenize(self, text, resources: dict):
        """tf.string [B] → RaggedTensor int32 [B, (T)]."""
        return resources["sentencepiece"].tokenize(text)

    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] → tf.string [B].

        SentencePiece drops a space from every piece until there is some text. UNKNOWN, put before the row, is text, so
        that all spaces are kept; it and the one space that encoding adds are then removed.
        """
        import tensorflow as tf

        text = resources["sentencepiece"].detokenize(tf.concat([tf.fill([ids.nrows(), 1], UNKNOWN), ids], 1))
        return tf.strings.regex_replace(text, f"^{UNKNOWN_SURFACE} ?", "", replace_global=False)


def _trainable(text: bytes) -> bytes:
    """A text without what the trainer cannot take: corrupt characters, its internal marks, words of absurd length.

    Spaces stay as they are; empty if there is nothing else.
    """
    words = []
    for word in text.split(b" "):  # an empty word is one more space
        for mark in _NOT_TRAINABLE:
            word = word.replace(mark, b" ")
        trainable = [part for part in word.split() if len(part) <= MAX_WORD_BYTES]
        if trainable or not word:
            words.append(b" ".join(trainable))
    return b" ".join(words) if any(words) else b""


def _explain(error: str, size: int) -> str:
    """SentencePiece's error in the words of the settings."""
    if needed := re.search(r"smaller than required_chars\. \d+ vs (\d+)", error):
        return (
            f"text.tokenizer.vocabulary_size {size} is too small for the characters of the training texts: give at "
            f"least {needed[1]}, or lower character_coverage"
        )
    return f"SentencePiece cannot train with text.tokenizer.vocabulary_size={size}: {error}"
