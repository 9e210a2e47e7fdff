"""Parts of tokenizer.json, the file of Hugging Face's tokenizers, as they are written here."""

from collections.abc import Mapping, Sequence
from typing import Any


def byte_level_bpe(vocabulary: Mapping[str, int], merges: Sequence[str]) -> dict[str, Any]:
    """The `model` of byte-level byte-pair encoding, under which nothing is unknown.

    Args:
        vocabulary: piece → id.
        merges: pairs of pieces with a space between, the first merged first.
    """
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": dict(vocabulary),
        "merges": list(merges),
    }
