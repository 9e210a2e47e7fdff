"""The tokenizer of a pretrained model in the files that Hugging Face's libraries read: the way back of `of_folder`."""

import json
from collections.abc import Sequence
from typing import Any

from nlp_suite.config import TextSettings
from nlp_suite.text.tokenizers.preset.model import TOKENIZER, TOKENIZER_CONFIG, PretrainedTokenizer

_ROLES = ("pad_token", "unk_token", "cls_token", "sep_token")  # PAD, UNKNOWN, START, END
_MASKS = ("[MASK]", "<mask>")


def tokenizer_files(
    model: PretrainedTokenizer, settings: TextSettings, special_tokens: Sequence[str], *, segments: bool, pairs: bool
) -> dict[str, bytes]:
    """File name → content: tokenizer.json, tokenizer_config.json, special_tokens_map.json, and vocab.txt of WordPiece.

    Args:
        model: the tokenizer.
        settings: the text section of the config, which says where START and END stand, and what is cut off.
        special_tokens: what PAD, UNKNOWN, START and END are called.
        segments: whether the model reads which text of a pair a token is of.
        pairs: whether one END stands between two texts; else there are two, as in RoBERTa.

    Raises:
        TextError: a kind or a vocabulary that these files cannot express.
    """
    pieces = model.pieces(special_tokens)
    parts, special = model.parts(pieces), model.special
    mask = next((piece for piece in _MASKS if piece in pieces), None)
    names = {**dict(zip(_ROLES, special_tokens, strict=True)), **({"mask_token": mask} if mask else {})}
    numbers = sorted((pieces.index(name), name) for name in names.values())
    flags = {"single_word": False, "rstrip": False, "normalized": False, "special": True}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": number, "content": name, "lstrip": name == "<mask>", **flags} for number, name in numbers
        ],
        "normalizer": parts["normalizer"],
        "pre_tokenizer": parts["pre_tokenizer"],
        "post_processor": _template(settings, special_tokens, (special.start, special.end), pairs),
        "decoder": parts["decoder"],
        "model": parts["model"],
    }
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": settings.max_length,
        "model_input_names": ["input_ids", *(["token_type_ids"] if segments else []), "attention_mask"],
        "padding_side": "right",
        "truncation_side": "left" if settings.truncation == "tail" else "right",
        "clean_up_tokenization_spaces": False,
        "split_special_tokens": True,  # one that is written in a text is ordinary text, as here
        **names,
    }
    if model.kind == "wordpiece":
        normaliser = parts["normalizer"]
        config |= {
            "do_lower_case": normaliser["lowercase"],
            "strip_accents": normaliser["strip_accents"],
            "tokenize_chinese_chars": normaliser["handle_chinese_chars"],
        }
    files = {TOKENIZER: content, TOKENIZER_CONFIG: config, "special_tokens_map.json": names}
    written = {name: json.dumps(value, indent=1, ensure_ascii=False).encode() for name, value in files.items()}
    if model.kind == "wordpiece":
        written["vocab.txt"] = "".join(f"{piece}\n" for piece in pieces).encode()
    return written


def _template(
    settings: TextSettings, special_tokens: Sequence[str], ids: tuple[int, int], pairs: bool
) -> dict[str, Any]:
    """Where START and END stand about one text and about two."""
    start, end = special_tokens[2:]

    def token(name: str, segment: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": segment}}

    first, last = ([token(start, 0)] if settings.add_start else []), ([end] if settings.add_end else [])
    text, text_b = ({"Sequence": {"id": side, "type_id": int(pairs and side == "B")}} for side in "AB")
    between = [token(end, 0)] if pairs else [token(end, 0), token(end, 0)]
    return {
        "type": "TemplateProcessing",
        "single": [*first, text, *(token(name, 0) for name in last)],
        "pair": [*first, text, *between, text_b, *(token(name, int(pairs)) for name in last)],
        "special_tokens": {
            name: {"id": name, "ids": [number], "tokens": [name]} for name, number in zip((start, end), ids)
        },
    }
