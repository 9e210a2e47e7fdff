"""Byte-level byte-pair encoding, as in GPT-2 and RoBERTa: words by a fixed pattern, and merges of their bytes."""

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

from nlp_suite.errors import ConfigError, TextError
from nlp_suite.pretrained.decoder import is_decoder
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.pretrained.tokenizer_json import byte_level_bpe
from nlp_suite.text.tokenizers.base import SPECIAL_TOKENS, UNKNOWN_SURFACE
from nlp_suite.text.tokenizers.preset.model import (
    SPACE,
    TOKENIZER,
    added_tokens,
    causal_special_ids,
    check_template,
    in_order,
    members,
    special_ids,
    start_of_template,
    tokenizer_config,
    tokenizer_json,
    vocabulary_file,
)
from nlp_suite.text.tokenizers.preset.pieces import MODEL, PieceModel

_BOUNDARY = "▁"  # U+2581, none of the 256 letters: parts the words for the op
_SPACE_IN_LINES = r"\t\x0b\x0c \x{85}\p{Z}"
_OTHER = rf"[^{SPACE}\p{{L}}\p{{N}}\x00]"
_SUFFIXES = "'s|'t|'re|'ve|'m|'ll|'d"
_GPT2 = rf"{_SUFFIXES}| ?\p{{L}}+| ?\p{{N}}+| ?{_OTHER}+|[{SPACE}]+"
_QWEN = rf"(?i:{_SUFFIXES})|[^\r\n\p{{L}}\p{{N}}\x00]?\p{{L}}+|\p{{N}}| ?{_OTHER}+[\r\n]*|[{SPACE}]*[\r\n]+|[{SPACE}]+"
_WORDS = {  # what is a word; between words there is nothing
    "gpt2": _GPT2,
    "gpt2_digits": _GPT2,  # and every digit
    "qwen": _QWEN,
    "llama3": _QWEN.replace(r"|\p{N}|", r"|\p{N}{1,3}|"),
}
_PATTERNS = {  # of `Split` in tokenizer.json, with what the words are called here
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
    + digits
    + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+": kind
    for kind, digits in (("qwen", r"\p{N}"), ("llama3", r"\p{N}{1,3}"))
}
_NEUTRAL = {  # settings of a BPE model, and the values with which they change nothing
    "dropout": (None, 0.0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
    "byte_fallback": (None, False),
}


_OLDER: dict[str, dict[str, Any]] = {  # families whose words are known without tokenizer.json
    "roberta": {},
    "bart": {},
    "gpt2": {},
    "qwen2": {"words": "qwen", "normal_form": "NFC"},
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
        words: how a text is cut into words, `gpt2` where there is none.
        normal_form: the Unicode form into which a text is brought before; none where there is none.
        starts: of a causal model, see `starts_prompts`.
        dropped: bytes for which the model has no piece.
    """

    kind = "byte_bpe"
    reads_line_breaks = True
    extra_pieces = 1

    @classmethod
    def of_folder(cls, folder: PretrainedFolder) -> Self:
        content, rules = tokenizer_json(folder), dict[str, Any]()
        if content is not None:
            model = content["model"]
            if strange := [key for key, allowed in _NEUTRAL.items() if model.get(key) not in allowed]:
                what = ", ".join(f"{key} {model[key]!r}" for key in strange)
                raise ConfigError(f"{folder.path}: {TOKENIZER} has BPE with {what}, which is not supported")
            rules = _rules(folder, content)
            vocabulary = model["vocab"]
            merges = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model["merges"]]
        else:
            if folder.model_type not in _OLDER:
                raise ConfigError(
                    f"{folder.path}: how {folder.model_type} cuts a text into words is known by {TOKENIZER} only, which is missing"
                )
            vocabulary = json.loads(vocabulary_file(folder, "vocab.json", "vocabulary.json").read_bytes())
            lines = vocabulary_file(folder, "merges.txt", "merges.txt").read_text("utf-8").split("\n")
            merges = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
            rules = {"add_prefix_space": bool(tokenizer_config(folder).get("add_prefix_space", False))}
            rules |= _OLDER[folder.model_type]
        scores = dict.fromkeys(byte_letters(), 0.0)
        if is_decoder(folder) and not (content and content["model"].get("unk_token")):
            # Bytes without a piece are dropped.
            if dropped := [byte for byte, letter in enumerate(scores) if letter not in vocabulary]:
                rules["dropped"] = dropped
            scores = {letter: 0.0 for letter in scores if letter in vocabulary}
        for rank, pair in enumerate(merges):
            scores.setdefault("".join(pair), -float(rank))
        if unknown := [piece for piece in scores if piece not in vocabulary]:
            raise ConfigError(
                f"{folder.path}: the vocabulary lacks bytes or results of merges: {' '.join(unknown[:5])}"
            )
        tokenizer = cls()
        if is_decoder(folder):
            start = start_of_template(folder, content or {})
            special = causal_special_ids(folder, {**vocabulary, **added_tokens(folder, vocabulary)}, start)
            rules["starts"] = start is not None
        else:
            special = special_ids(folder, vocabulary)
            if content is not None:
                check_template(folder, content, special)
        pieces, scores = in_order(folder, vocabulary), {**scores, _BOUNDARY: 0.0}
        tokenizer.take_pieces(pieces, scores, special, rules, model_type="BPE", extra=[_BOUNDARY], spaces=False)
        if content is not None and content["model"].get("ignore_merges"):
            added = added_tokens(folder, vocabulary)
            words = [piece for piece in vocabulary if piece not in added]
            tokenizer.check_that_words_are_merged(folder, words, scores)
        return tokenizer

    def parts(self, pieces: Sequence[str]) -> dict[str, Any]:
        """See `PretrainedTokenizer.parts`."""
        words = {"type": "ByteLevel", "add_prefix_space": self.rules["add_prefix_space"], "trim_offsets": True}
        return {
            "model": byte_level_bpe(
                {piece: number for number, piece in enumerate(pieces)}, [" ".join(pair) for pair in self._merges()]
            ),
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

    @property
    def lossless(self) -> bool:  # type: ignore[override]
        return not self.rules.get("dropped")

    def check_that_words_are_merged(
        self, folder: PretrainedFolder, pieces: Sequence[str], scores: Mapping[str, float]
    ) -> None:
        """Refuses a vocabulary with pieces that merges do not lead to, where the model takes words that are pieces as such."""
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor()
        processor.LoadFromSerializedProto(self.assets()[MODEL])
        wrong = [
            piece for piece, ids in zip(pieces, processor.encode(list(pieces))) if piece not in scores or len(ids) != 1
        ]
        if wrong:
            raise ConfigError(
                f"{folder.path}: {TOKENIZER} has ignore_merges, and {len(wrong):,} pieces that no merges lead to "
                f"({', '.join(wrong[:5])}), which is not supported"
            )

    def prepare(self, text):
        """The Unicode form of the model: tf.string [B] → tf.string [B]."""
        text = super().prepare(text)
        if "normal_form" not in self.rules:
            return text
        import tensorflow_text

        return tensorflow_text.normalize_utf8(text, self.rules["normal_form"])

    def surfaces(self) -> list[bytes]:
        values = {letter: byte for byte, letter in enumerate(byte_letters())}
        pieces = self.tokens[len(SPECIAL_TOKENS) :]
        texts = [bytes(values[c] for c in p) if set(p) <= values.keys() else p.encode() for p in pieces]
        return [b"", UNKNOWN_SURFACE.encode(), b"", b"", *texts]

    @cached_property
    def shown(self) -> Sequence[str]:
        """Text in place of the letters of its bytes, and `<0xE2>` for bytes that are no whole character."""
        special = len(SPECIAL_TOKENS)
        return [*self.tokens[:special], *(_as_text(surface) for surface in self.surfaces()[special:])]

    def resources(self) -> dict:
        """As of any `PieceModel`, and the code point of each byte's letter."""
        import tensorflow as tf

        points = [ord(letter) for letter in byte_letters()]
        for byte in self.rules.get("dropped", ()):
            points[byte] = 0
        points[0] = ord(_BOUNDARY)
        return {**super().resources(), "letters": tf.constant(points, tf.int32)}  # [256]

    def tokenize(self, text, resources: dict):
        """tf.string [B] → RaggedTensor int32 [B, (T)]; NUL, of which normalised text has none, parts the words."""
        import tensorflow as tf

        replace, words = tf.strings.regex_replace, self.rules.get("words", "gpt2")
        if self.rules["add_prefix_space"]:
            text = replace(text, rf"^([^{SPACE}])", r" \1")
        if words == "gpt2_digits":
            text = replace(text, r"\p{N}", "\x00\\0\x00")
        # Of white space before a word all but the last is a word of its own: `\s+(?!\S)`.
        last = (
            SPACE if words.startswith("gpt2") else _SPACE_IN_LINES
        )  # a line break ends the white space in which it stands
        text = replace(text, rf"([{SPACE}]+)([{last}][^{SPACE}\x00])", "\\1\x00\\2")
        text = replace(text, _WORDS[words], "\\0\x00")
        values = tf.io.decode_raw(tf.strings.reduce_join(text), tf.uint8)  # [total]
        points = tf.gather(resources["letters"], tf.cast(values, tf.int32))
        points = tf.RaggedTensor.from_row_lengths(points, tf.strings.length(text), validate=False)  # [B, (bytes)]
        if self.rules.get("dropped"):
            points = tf.ragged.boolean_mask(points, points > 0)
        ids = resources["sentencepiece"].tokenize(tf.strings.unicode_encode(points, "UTF-8"))
        return tf.ragged.boolean_mask(ids, ids != self.vocabulary_size)

    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] → tf.string [B]."""
        import tensorflow as tf

        text = tf.strings.reduce_join(ids.with_flat_values(tf.gather(resources["surfaces"], ids.flat_values)), axis=-1)
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        return tf.strings.regex_replace(text, "^ ", "") if self.rules["add_prefix_space"] else text


def _as_text(surface: bytes) -> str:
    try:
        return surface.decode("utf-8").replace(" ", "▁")
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in surface)


def _rules(folder: PretrainedFolder, content: Mapping[str, Any]) -> dict[str, Any]:
    """How a tokenizer.json cuts a text into words.

    Raises:
        ConfigError: in another way than those that are known.
    """
    rules: dict[str, Any] = {}
    normalisers = members(content.get("normalizer"), "normalizers")
    for normaliser in normalisers:
        if normaliser["type"] != "NFC":
            raise ConfigError(f"{folder.path}: {TOKENIZER} normalises by {normaliser['type']}, which is not supported")
        rules["normal_form"] = "NFC"
    *before, last = members(content.get("pre_tokenizer"), "pretokenizers") or [{"type": None}]
    rules["add_prefix_space"] = bool(last.get("add_prefix_space"))
    if last["type"] == "ByteLevel" and last.get("use_regex", True):
        if not before:
            return rules
        if before == [{"type": "Digits", "individual_digits": True}]:
            return {**rules, "words": "gpt2_digits"}
    elif last["type"] == "ByteLevel" and len(before) == 1 and before[0]["type"] == "Split":
        split = before[0]
        kind = _PATTERNS.get(split["pattern"].get("Regex"))
        if kind and split["behavior"] == "Isolated" and not split.get("invert"):
            return {**rules, "words": kind}
    raise ConfigError(
        f"{folder.path}: {TOKENIZER} has BPE that cuts a text into other words than those of {', '.join(_WORDS)}, which is "
        "not supported"
    )
