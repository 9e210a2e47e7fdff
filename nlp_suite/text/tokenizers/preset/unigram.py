"""SentencePiece's unigram models, as in XLM-RoBERTa and ALBERT, with the normalisation that they bring."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Self

from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.text.tokenizers.base import SPECIAL_TOKENS, UNKNOWN_SURFACE
from nlp_suite.text.tokenizers.preset.model import (
    SPACE,
    TOKENIZER,
    check_template,
    in_order,
    members,
    special_ids,
    tokenizer_config,
    tokenizer_json,
    vocabulary_file,
)
from nlp_suite.text.tokenizers.preset.pieces import PieceModel, sentencepiece_format

STEPS = ("quotes", "NFKD", "strip_accents", "lowercase")  # in the order in which they are taken
MODEL_FILES = ("sentencepiece.bpe.model", "spiece.model")
_QUOTES = ("``", "''")  # become "
_STEPS: Mapping[str, list[dict[str, Any]]] = {  # how tokenizer.json says them
    "quotes": [{"type": "Replace", "pattern": {"String": quotes}, "content": '"'} for quotes in _QUOTES],
    "NFKD": [{"type": "NFKD"}],
    "strip_accents": [{"type": "StripAccents"}],
    "lowercase": [{"type": "Lowercase"}],
}
_SPACES = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}  # which the op does by itself


class UnigramModel(PieceModel):
    """A unigram language model of sub-words (Kudo 2018), normalised by the model's own character map.

    Texts are cut as SentencePiece itself cuts them. Hugging Face's tokenizers differ where two orders of the same pieces
    are equally likely (`....` and `.`, or `.` and `....`: one in a hundred raw film reviews), do not compose Hangul, and
    take `<s>` written in a text for the special token.

    Rules:
        steps: what is done before that, in this order: `quotes`, `NFKD`, `strip_accents`, `lowercase`.
    """

    kind = "unigram"

    @classmethod
    def of_folder(cls, folder: PretrainedFolder) -> Self:
        content = tokenizer_json(folder)
        scored, steps, charsmap = _of_model_file(folder) if content is None else _of_json(folder, content)
        vocabulary = {piece: number for number, (piece, _) in enumerate(scored)}
        special = special_ids(folder, vocabulary)
        if content is not None:
            check_template(folder, content, special)
        pieces = in_order(folder, vocabulary)
        tokenizer = cls()
        silent = {"<mask>", "[MASK]", *(pieces[i] for i in vars(special).values())}
        scores = {piece: score for piece, score in scored if piece not in silent}
        tokenizer.take_pieces(pieces, scores, special, {"steps": steps}, model_type="UNIGRAM", charsmap=charsmap)
        return tokenizer

    def prepare(self, text):
        """What the model does before its own character map: tf.string [B] → tf.string [B]."""
        import tensorflow as tf
        import tensorflow_text

        replace, steps = tf.strings.regex_replace, self.rules["steps"]
        if "quotes" in steps:
            text = replace(text, "|".join(_QUOTES), '"')
        if "NFKD" in steps:
            text = tensorflow_text.normalize_utf8(text, "NFKD")
        if "strip_accents" in steps:
            text = replace(text, r"\p{M}", "")
        if "lowercase" in steps:
            text = tf.strings.lower(replace(text, "Σ", "σ"), encoding="utf-8")
        return replace(text, f"[{SPACE}]", " ")

    def parts(self, pieces: Sequence[str]) -> dict[str, Any]:
        """See `PretrainedTokenizer.parts`."""
        scores, metaspace = self.scores(), {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
        steps = [part for step in self.rules["steps"] for part in _STEPS[step]]
        if charsmap := self.as_message().normalizer_spec.precompiled_charsmap:
            steps.append({"type": "Precompiled", "precompiled_charsmap": base64.b64encode(charsmap).decode("ascii")})
        return {
            "model": {
                "type": "Unigram",
                "unk_id": self.special.unknown,
                "vocab": [[piece, scores.get(piece, 0.0)] for piece in pieces],
                "byte_fallback": False,
            },
            "normalizer": {"type": "Sequence", "normalizers": [*steps, _SPACES]},
            "pre_tokenizer": {
                "type": "Sequence",
                "pretokenizers": [{"type": "WhitespaceSplit"}, {**metaspace, "split": True}],
            },
            "decoder": {**metaspace, "split": True},
        }

    def surfaces(self) -> list[bytes]:
        pieces = self.tokens[len(SPECIAL_TOKENS) :]
        return [b"", UNKNOWN_SURFACE.encode(), b"", b"", *(piece.replace("▁", " ").encode() for piece in pieces)]

    def tokenize(self, text, resources: dict):
        """tf.string [B] → RaggedTensor int32 [B, (T)]."""
        return resources["sentencepiece"].tokenize(text)

    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] → tf.string [B]."""
        import tensorflow as tf

        text = tf.strings.reduce_join(ids.with_flat_values(tf.gather(resources["surfaces"], ids.flat_values)), axis=-1)
        return tf.strings.regex_replace(text, "^ ", "")


def _of_json(folder: PretrainedFolder, content: Mapping[str, Any]) -> tuple[list[tuple[str, float]], list[str], bytes]:
    """Pieces with scores in the model's order, the steps of normalisation, and the character map."""
    steps: list[str] = []
    charsmap = b""
    for normaliser in members(content.get("normalizer"), "normalizers"):
        step = _step(normaliser)
        if step is None:
            raise ConfigError(f"{folder.path}: {TOKENIZER} normalises by {normaliser}, which is not supported")
        if step == "charsmap":
            charsmap = base64.b64decode(normaliser["precompiled_charsmap"])
        elif step:
            steps.append(step)
    steps = list(dict.fromkeys(steps))
    if steps != sorted(steps, key=STEPS.index):
        raise ConfigError(
            f"{folder.path}: {TOKENIZER} normalises in the order {', '.join(steps)}, which is not supported"
        )
    words = members(content.get("pre_tokenizer"), "pretokenizers")
    if [part["type"] for part in words] != ["WhitespaceSplit", "Metaspace"] or not _has_prefix(words[1]):
        raise ConfigError(f"{folder.path}: {TOKENIZER} does not cut words at white space with a U+2581 before each")
    model = content["model"]
    if model.get("byte_fallback"):
        raise ConfigError(f"{folder.path}: {TOKENIZER} has byte_fallback, which is not supported")
    return [(piece, score) for piece, score in model["vocab"]], steps, charsmap


def _step(normaliser: Mapping[str, Any]) -> str | None:
    """What one of the normalisers is called in the rules; empty for one that the op does by itself, None if unknown."""
    if normaliser == _SPACES:
        return ""
    if (
        normaliser["type"] == "Replace"
        and normaliser["content"] == '"'
        and normaliser["pattern"].get("String") in _QUOTES
    ):
        return "quotes"
    names = {"NFKD": "NFKD", "StripAccents": "strip_accents", "Lowercase": "lowercase", "Precompiled": "charsmap"}
    return names.get(normaliser["type"])


def _has_prefix(metaspace: Mapping[str, Any]) -> bool:
    return metaspace.get("prepend_scheme", "always") == "always" and metaspace.get("add_prefix_space", True)


def _of_model_file(folder: PretrainedFolder) -> tuple[list[tuple[str, float]], list[str], bytes]:
    """The same of SentencePiece's own file, in the order and with the normalisation of the model's family."""
    from google.protobuf.message import DecodeError

    proto = sentencepiece_format()
    name = next((name for name in MODEL_FILES if folder.has(name)), MODEL_FILES[0])
    file, model = vocabulary_file(folder, name, "vocabulary.spm"), proto.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
    except DecodeError as error:
        raise ConfigError(f"{file} is damaged: {error}") from None
    if model.trainer_spec.model_type != proto.TrainerSpec.UNIGRAM:
        raise ConfigError(f"{file}: only unigram models are supported, not SentencePiece's BPE")
    scored, steps = [(piece.piece, piece.score) for piece in model.pieces], []
    if folder.model_type == "xlm-roberta":
        scored = [(name, 0.0) for name in ("<s>", "<pad>", "</s>", "<unk>")] + scored[3:] + [("<mask>", 0.0)]
    elif folder.model_type == "albert":
        config = tokenizer_config(folder)
        steps = ["quotes"]
        steps += [] if config.get("keep_accents", False) else ["NFKD", "strip_accents"]
        steps += ["lowercase"] if config.get("do_lower_case", True) else []
        # A comma after a digit is a piece of its own.
        scored = [(p, s - 100 if len(p) > 1 and p[-1] == "," and p[-2].isdigit() else s) for p, s in scored]
    else:
        raise ConfigError(
            f"{folder.path}: how {folder.model_type} uses {name} is known by {TOKENIZER} only, which is missing "
            "(write it with transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER))"
        )
    return scored, steps, model.normalizer_spec.precompiled_charsmap
