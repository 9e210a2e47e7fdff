"""Byte-level byte-pair encoding, as in GPT-2 and RoBERTa: words by a fixed pattern, and merges of their bytes."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Self

from nlp_suite.errors import ConfigError, TextError
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.text.tokenizers.base import SPECIAL_TOKENS, UNKNOWN_SURFACE
from nlp_suite.text.tokenizers.preset.model import (
    SPACE,
    TOKENIZER,
    check_template,
    in_order,
    special_ids,
    tokenizer_config,
    tokenizer_json,
    vocabulary_file,
)
from nlp_suite.text.tokenizers.preset.pieces import PieceModel

_BOUNDARY = "▁"  # U+2581, none of the 256 letters: parts the words for the op
_WORDS = rf"'s|'t|'re|'ve|'m|'ll|'d| ?\p{{L}}+| ?\p{{N}}+| ?[^{SPACE}\p{{L}}\p{{N}}\x00]+|[{SPACE}]+"
_NEUTRAL = {  # settings of a BPE model, and the values with which they change nothing
    "dropout": (None, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
}


def byte_letters() -> list[str]:
    """The printable character that stands for each of the 256 bytes (GPT-2's `bytes_to_unicode`)."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) if byte in plain else chr(256 + others.index(byte)) for byte in range(256)]


class ByteBPEModel(PieceModel):
    """Byte-level BPE (Radford et al. 2019; RoBERTa: Liu et al. 2019). Every text has pieces; nothing is unknown.

    The merges of a word run in the SentencePiece op, whose scores are the ranks of the merges, negated.

    Rules:
        add_prefix_space: whether a space is put before a text that begins without one.
    """

    kind = "byte_bpe"
    lossless = True
    extra_pieces = 1

    @classmethod
    def of_folder(cls, folder: PretrainedFolder) -> Self:
        content = tokenizer_json(folder)
        if content is not None:
            model, words = content["model"], content.get("pre_tokenizer") or {}
            strange = [key for key, allowed in _NEUTRAL.items() if model.get(key) not in allowed]
            if (
                strange
                or content.get("normalizer")
                or words.get("type") != "ByteLevel"
                or not words.get("use_regex", True)
            ):
                what = (
                    ", ".join(f"{key} {model[key]!r}" for key in strange)
                    or "another normaliser or other words than GPT-2's"
                )
                raise ConfigError(f"{folder.path}: {TOKENIZER} has BPE with {what}, which is not supported")
            vocabulary, add_prefix_space = model["vocab"], words["add_prefix_space"]
            merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
        else:
            vocabulary = json.loads(vocabulary_file(folder, "vocab.json", "vocabulary.json").read_bytes())
            lines = vocabulary_file(folder, "merges.txt", "merges.txt").read_text("utf-8").split("\n")
            merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
            add_prefix_space = tokenizer_config(folder).get("add_prefix_space", False)
        scores = dict.fromkeys(byte_letters(), 0.0)
        for rank, pair in enumerate(merges):
            scores.setdefault("".join(pair), -float(rank))
        if unknown := [piece for piece in scores if piece not in vocabulary]:
            raise ConfigError(
                f"{folder.path}: the vocabulary lacks bytes or results of merges: {' '.join(unknown[:5])}"
            )
        tokenizer = cls()
        special = special_ids(folder, vocabulary)
        if content is not None:
            check_template(folder, content, special)
        rules = {"add_prefix_space": bool(add_prefix_space)}
        pieces, scores = in_order(folder, vocabulary), {**scores, _BOUNDARY: 0.0}
        tokenizer.take_pieces(pieces, scores, special, rules, model_type="BPE", extra=[_BOUNDARY], spaces=False)
        return tokenizer

    def parts(self, pieces: Sequence[str]) -> dict[str, Any]:
        """See `PretrainedTokenizer.parts`."""
        words = {"type": "ByteLevel", "add_prefix_space": self.rules["add_prefix_space"], "trim_offsets": True}
        return {
            "model": {
                "type": "BPE",
                "dropout": None,
                "unk_token": None,
                "continuing_subword_prefix": None,
                "end_of_word_suffix": None,
                "fuse_unk": False,
                "byte_fallback": False,
                "vocab": {piece: number for number, piece in enumerate(pieces)},
                "merges": [" ".join(pair) for pair in self._merges()],
            },
            "normalizer": None,
            "pre_tokenizer": {**words, "use_regex": True},
            "decoder": {**words, "use_regex": True},
        }

    def _merges(self) -> list[list[str]]:
        """The pair that each piece is merged of, in the order of the merges: the two halves that the earlier ones leave."""
        ranks = {piece: -score for piece, score in self.scores().items() if len(piece) > 1}
        pairs = []
        for piece, rank in sorted(ranks.items(), key=lambda item: item[1]):
            parts = list(piece)
            while len(parts) > 2:
                found = [ranks.get(first + second, rank) for first, second in pairwise(parts)]
                if (lowest := min(found)) >= rank:
                    raise TextError(f"the piece {piece!r} is no merge of two that were merged before it")
                place = found.index(lowest)
                parts[place : place + 2] = ["".join(parts[place : place + 2])]
            pairs.append(parts)
        return pairs

    def surfaces(self) -> list[bytes]:
        values = {letter: byte for byte, letter in enumerate(byte_letters())}
        pieces = self.tokens[len(SPECIAL_TOKENS) :]
        texts = [bytes(values[c] for c in p) if set(p) <= values.keys() else p.encode() for p in pieces]
        return [b"", UNKNOWN_SURFACE.encode(), b"", b"", *texts]

    def resources(self) -> dict:
        """As of any `PieceModel`, and the code point of each byte's letter."""
        import tensorflow as tf

        points = [ord(letter) for letter in byte_letters()]
        points[0] = ord(_BOUNDARY)
        return {**super().resources(), "letters": tf.constant(points, tf.int32)}  # [256]

    def tokenize(self, text, resources: dict):
        """tf.string [B] → RaggedTensor int32 [B, (T)]; NUL, of which normalised text has none, parts the words."""
        import tensorflow as tf

        replace = tf.strings.regex_replace
        if self.rules["add_prefix_space"]:
            text = replace(text, rf"^([^{SPACE}])", r" \1")
        # Of white space before a word all but the last is a word of its own: `\s+(?!\S)`.
        text = replace(text, rf"([{SPACE}]+)([{SPACE}][^{SPACE}])", "\\1\x00\\2")
        text = replace(text, _WORDS, "\\0\x00")
        values = tf.io.decode_raw(tf.strings.reduce_join(text), tf.uint8)  # [total]
        points = tf.gather(resources["letters"], tf.cast(values, tf.int32))
        points = tf.RaggedTensor.from_row_lengths(points, tf.strings.length(text), validate=False)  # [B, (bytes)]
        ids = resources["sentencepiece"].tokenize(tf.strings.unicode_encode(points, "UTF-8"))
        return tf.ragged.boolean_mask(ids, ids != self.vocabulary_size)

    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] → tf.string [B]."""
        import tensorflow as tf

        text = tf.strings.reduce_join(ids.with_flat_values(tf.gather(resources["surfaces"], ids.flat_values)), axis=-1)
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        return tf.strings.regex_replace(text, "^ ", "") if self.rules["add_prefix_space"] else text
