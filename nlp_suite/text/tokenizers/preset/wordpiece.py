"""BERT's words and WordPiece, as `BertNormalizer`, `BertPreTokenizer` and `WordPiece` of Hugging Face's tokenizers do it."""

from collections.abc import Sequence
from typing import Any, Self

from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.text.tokenizers.base import SPECIAL_TOKENS, UNKNOWN, UNKNOWN_SURFACE, from_lines, to_lines
from nlp_suite.text.tokenizers.preset.model import (
    RULES,
    SPACE,
    TOKENIZER,
    PretrainedTokenizer,
    check_template,
    dump_rules,
    in_order,
    read_rules,
    special_ids,
    tokenizer_config,
    tokenizer_json,
    vocabulary_file,
)
from nlp_suite.text.tokenizers.words import join_words, split_words

_FILE = "vocabulary.txt"
_DROPPED = r"[^\P{C}\t\n\r]|\x{FFFD}"  # control, format, private-use and surrogate characters
_HAN = (
    r"\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2B81F}"
    r"\x{2B920}-\x{2CEAF}\x{2F800}-\x{2FA1F}"
)
_MARK = r"\p{P}$+<=>^`|~"  # punctuation, and the symbols of ASCII
_WORDS = rf"[{_MARK}]|[^{_MARK}{SPACE}]+"


class WordPieceModel(PretrainedTokenizer):
    """The tokenizer of BERT and its like (Devlin et al. 2019), cased or not.

    Ids are those of Hugging Face's tokenizers, but for some characters that Unicode got after its version 8, of which
    their tables do not know yet that they are marks or punctuation.

    Rules:
        clean: control characters are dropped, white space becomes spaces.
        han: every Han character is a word.
        strip_accents: combining marks are dropped.
        lowercase: letters become lower case.
        prefix: how a piece begins that continues a word.
        max_characters: longer words are unknown.
    """

    kind = "wordpiece"

    @classmethod
    def of_folder(cls, folder: PretrainedFolder) -> Self:
        content, config = tokenizer_json(folder), tokenizer_config(folder)
        rules: dict[str, Any] = {"prefix": "##", "max_characters": 100}
        if content is None:
            lines = vocabulary_file(folder, "vocab.txt", "vocabulary.txt").read_text("utf-8").split("\n")
            vocabulary = {line: number for number, line in enumerate(lines) if line or number < len(lines) - 1}
            clean, han = True, config.get("tokenize_chinese_chars", True)
            lowercase, accents = config.get("do_lower_case", True), config.get("strip_accents")
        else:
            model, normaliser = content["model"], content.get("normalizer") or {}
            if normaliser.get("type") != "BertNormalizer" or content["pre_tokenizer"]["type"] != "BertPreTokenizer":
                raise ConfigError(
                    f"{folder.path}: {TOKENIZER} has WordPiece without BERT's normaliser and words, which is not supported"
                )
            vocabulary = model["vocab"]
            rules = {"prefix": model["continuing_subword_prefix"], "max_characters": model["max_input_chars_per_word"]}
            clean, han = normaliser["clean_text"], normaliser["handle_chinese_chars"]
            lowercase, accents = normaliser["lowercase"], normaliser["strip_accents"]
        rules |= {"clean": clean, "han": han, "lowercase": lowercase}
        rules["strip_accents"] = lowercase if accents is None else accents
        tokenizer, special = cls(), special_ids(folder, vocabulary)
        if content is not None:
            check_template(folder, content, special)
        tokenizer.take(in_order(folder, vocabulary), special, rules)
        return tokenizer

    def assets(self) -> dict[str, bytes]:
        """`vocabulary.txt`, one piece a line in the order of the ids here, and `rules.json`."""
        return {_FILE: to_lines(self.tokens), RULES: dump_rules(self)}

    def restore(self, assets: dict[str, bytes]) -> None:
        """Takes back what `assets` gave."""
        self.take_back(from_lines(assets[_FILE], _FILE), read_rules(assets))

    def parts(self, pieces: Sequence[str]) -> dict[str, Any]:
        """See `PretrainedTokenizer.parts`."""
        rules = self.rules
        return {
            "model": {
                "type": "WordPiece",
                "unk_token": pieces[self.special.unknown],
                "continuing_subword_prefix": rules["prefix"],
                "max_input_chars_per_word": rules["max_characters"],
                "vocab": {piece: number for number, piece in enumerate(pieces)},
            },
            "normalizer": {
                "type": "BertNormalizer",
                "clean_text": rules["clean"],
                "handle_chinese_chars": rules["han"],
                "strip_accents": rules["strip_accents"],
                "lowercase": rules["lowercase"],
            },
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "decoder": {"type": "WordPiece", "prefix": rules["prefix"], "cleanup": True},
        }

    def prepare(self, text):
        """BERT's normalisation: tf.string [B] → tf.string [B]."""
        import tensorflow as tf
        import tensorflow_text

        replace = tf.strings.regex_replace
        if self.rules["clean"]:
            text = replace(text, _DROPPED, "")
            text = replace(text, f"[{SPACE}]", " ")
        else:
            text = replace(text, "\x11", UNKNOWN_SURFACE)  # which TF Text takes for the end of a word
        if self.rules["han"]:
            text = replace(text, f"[{_HAN}]", r" \0 ")
        if self.rules["strip_accents"]:
            text = replace(tensorflow_text.normalize_utf8(text, "NFD"), r"\p{Mn}", "")
        if self.rules["lowercase"]:
            text = replace(text, "Σ", "σ")  # of which ICU makes ς at the end of a word
            text = tf.strings.lower(text, encoding="utf-8")
        return text

    def resources(self) -> dict:
        """TF Text's tokenizer, and the surface forms."""
        import tensorflow as tf
        import tensorflow_text

        prefix, pieces = self.rules["prefix"], self.tokens[len(SPECIAL_TOKENS) :]
        special = [f" {token}" for token in SPECIAL_TOKENS]  # no word has a space; the model may have a piece <s>
        tokenizer = tensorflow_text.FastWordpieceTokenizer(
            vocab=[*special, *pieces],
            suffix_indicator=prefix,
            max_bytes_per_word=4 * self.rules["max_characters"],
            token_out_type=tf.int32,
            unknown_token=special[UNKNOWN],
            no_pretokenization=True,
        )
        is_inner = [piece.startswith(prefix) and len(piece) > len(prefix) for piece in pieces]
        marked = [f"\x00{p.removeprefix(prefix)}" if inner else p for p, inner in zip(pieces, is_inner, strict=True)]
        return {"wordpiece": tokenizer, "surfaces": tf.constant(["", UNKNOWN_SURFACE, "", "", *marked])}

    def tokenize(self, text, resources: dict):
        """tf.string [B] → RaggedTensor int32 [B, (T)]."""
        import tensorflow as tf

        words = split_words(text, _WORDS)  # [B, (words)]
        is_long = tf.strings.length(words.flat_values, unit="UTF8_CHAR") > self.rules["max_characters"]
        words = words.with_flat_values(tf.where(is_long, UNKNOWN_SURFACE, words.flat_values))
        return resources["wordpiece"].tokenize(words).merge_dims(1, 2)

    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] → tf.string [B]: pieces joined to words, words with a space between them."""
        import tensorflow as tf

        pieces = ids.with_flat_values(tf.gather(resources["surfaces"], ids.flat_values))
        return tf.strings.regex_replace(join_words(pieces), " ?\x00", "")
