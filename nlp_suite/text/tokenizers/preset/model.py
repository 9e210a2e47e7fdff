"""What the tokenizers of pretrained models have in common: special tokens, the order of ids, and how they are stored."""

import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from nlp_suite.errors import ConfigError, TextError
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.text.tokenizers.base import SPECIAL_TOKENS, Tokenizer

NOT_TRAINED = (
    "the tokenizer preset learns nothing from texts: its vocabulary comes with a pretrained model "
    "(backbone: {name: preset, init_from: FOLDER})"
)
RULES = "rules.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
KERAS_ASSETS = "assets/tokenizer"
SPACE = r"\t-\r \x{85}\p{Z}"  # what Unicode calls white space, within brackets of a regular expression


@dataclass(frozen=True)
class SpecialIds:
    """The model's ids of what PAD, UNKNOWN, START and END are here."""

    pad: int
    unknown: int
    start: int
    end: int

    def order(self, size: int) -> np.ndarray:
        """The model's id of each of ours, int64 [V]: the special ones first, the others as the model has them."""
        special = list(asdict(self).values())
        others = np.setdiff1d(np.arange(size), special)  # [V − 4], ascending
        return np.concatenate([special, others]).astype(np.int64)


class PretrainedTokenizer(Tokenizer):
    """The tokenizer of a pretrained model, of one kind of model; `tokenize` takes what `prepare` has normalised.

    Attributes:
        kind: what it is called in rules.json.
        special: see `SpecialIds`.
        model_ids: see `SpecialIds.order`.
        rules: what else decides the ids, as JSON takes it.
    """

    kind: ClassVar[str]
    special: SpecialIds
    model_ids: np.ndarray
    rules: Mapping[str, Any]

    @classmethod
    @abstractmethod
    def of_folder(cls, folder: PretrainedFolder) -> Self:
        """Reads the tokenizer's files of a folder. Raises ConfigError, naming what cannot be done as the model has it."""

    def take(self, pieces: Sequence[str], special: SpecialIds, rules: Mapping[str, Any]) -> None:
        """Becomes the tokenizer of a vocabulary in the model's order."""
        self.special, self.rules = special, rules
        self.model_ids = special.order(len(pieces))
        self.tokens = [*SPECIAL_TOKENS, *(pieces[i] for i in self.model_ids[len(SPECIAL_TOKENS) :])]

    def take_back(self, tokens: Sequence[str], rules: Mapping[str, Any]) -> None:
        """The same of a vocabulary in the order of the ids here, and of what `dump_rules` wrote."""
        self.special = SpecialIds(**rules["special"])
        self.rules = {key: value for key, value in rules.items() if key not in ("kind", "special")}
        self.tokens = tokens
        self.model_ids = self.special.order(len(tokens))

    def train(self, texts: Iterable[bytes]) -> None:
        """Refused: a vocabulary that the model does not know would be of no use. Raises TextError."""
        raise TextError(NOT_TRAINED)

    def pieces(self, special_tokens: Sequence[str]) -> list[str]:
        """The vocabulary by the model's ids.

        Args:
            special_tokens: what PAD, UNKNOWN, START and END are called there.

        Raises:
            TextError: two ids with one name.
        """
        pieces = [*special_tokens, *self.tokens[len(SPECIAL_TOKENS) :]]
        if len(set(pieces)) < len(pieces):
            twice = next(piece for piece in pieces if pieces.count(piece) > 1)
            raise TextError(f"the vocabulary has {twice!r} both as a piece and as a special token")
        ordered = [""] * len(pieces)
        for number, piece in zip(self.model_ids, pieces, strict=True):
            ordered[number] = piece
        return ordered

    def parts(self, pieces: Sequence[str]) -> dict[str, Any]:
        """`model`, `normalizer`, `pre_tokenizer` and `decoder` of tokenizer.json, of which `of_folder` makes this tokenizer.

        Args:
            pieces: see `pieces`.
        """
        raise TextError(f"a tokenizer of the kind {self.kind} cannot be written in Hugging Face's layout")


def dump_rules(tokenizer: PretrainedTokenizer) -> bytes:
    """The content of `rules.json`."""
    rules = {"kind": tokenizer.kind, "special": asdict(tokenizer.special), **tokenizer.rules}
    return json.dumps(rules, indent=1, sort_keys=True).encode("utf-8")


def read_rules(assets: Mapping[str, bytes]) -> dict[str, Any]:
    """The JSON object `rules.json` among a tokenizer's assets."""
    try:
        rules = dict(json.loads(assets[RULES]))
        SpecialIds(**rules["special"])
        rules["kind"]
    except (ValueError, TypeError, KeyError) as error:
        raise TextError(f"{RULES} is damaged: {error!r}") from None
    return rules


def special_ids(folder: PretrainedFolder, vocabulary: Mapping[str, int]) -> SpecialIds:
    """Which pieces of a vocabulary are the special tokens: as the tokenizer's files say, else by their usual names.

    Raises:
        ConfigError: the vocabulary has no token for unknown pieces, start or end, or none of padding.
    """
    stated = {
        **(folder.json("special_tokens_map.json") if folder.has("special_tokens_map.json") else {}),
        **tokenizer_config(folder),
    }
    found: dict[str, int] = {}
    for role, keys, usual in (
        ("pad", ("pad_token",), ("[PAD]", "<pad>")),
        ("unknown", ("unk_token",), ("[UNK]", "<unk>")),
        ("start", ("cls_token", "bos_token"), ("[CLS]", "<s>")),
        ("end", ("sep_token", "eos_token"), ("[SEP]", "</s>")),
    ):
        names = [name for key in keys if (name := _content(stated.get(key)))] + list(usual)
        named = next((name for name in names if name in vocabulary), None)
        if named is None:
            raise ConfigError(f"{folder.path}: the vocabulary has no {role} token (looked for {', '.join(names)})")
        found[role] = vocabulary[named]
    if len(set(found.values())) < len(found):
        raise ConfigError(f"{folder.path}: special tokens share an id, which is not supported: {found}")
    return SpecialIds(**found)


def tokenizer_json(folder: PretrainedFolder) -> dict[str, Any] | None:
    """The whole tokenizer in one file, as Hugging Face's tokenizers write it; None where there is none."""
    has_one = folder.layout == "huggingface" and folder.has(TOKENIZER)
    return folder.json(TOKENIZER) if has_one else None


def tokenizer_config(folder: PretrainedFolder) -> dict[str, Any]:
    """What tokenizer_config.json says, or KerasHub's settings by the same keys; nothing where there are none."""
    if folder.layout == "kerashub":
        settings = folder.json(TOKENIZER)["config"]
        keys = {"lowercase": "do_lower_case", "add_prefix_space": "add_prefix_space"}
        return {theirs: settings[ours] for ours, theirs in keys.items() if ours in settings}
    return folder.json(TOKENIZER_CONFIG) if folder.has(TOKENIZER_CONFIG) else {}


def vocabulary_file(folder: PretrainedFolder, name: str, keras_name: str) -> Path:
    """A file of the vocabulary, by its name in Hugging Face's and in KerasHub's layout."""
    return folder.file(name if folder.layout == "huggingface" else f"{KERAS_ASSETS}/{keras_name}")


def check_template(folder: PretrainedFolder, content: Mapping[str, Any], special: SpecialIds) -> None:
    """Refuses a tokenizer.json by which a text does not stand between the start and the end token."""
    processor = content.get("post_processor") or {}
    single: list[Any] = [special.start, "text", special.end]
    if processor.get("type") == "TemplateProcessing":
        ids = {name: token["ids"] for name, token in processor["special_tokens"].items()}
        parts = [
            ids[part["SpecialToken"]["id"]] if "SpecialToken" in part else ["text"] for part in processor["single"]
        ]
        single = [number for part in parts for number in part]
    elif processor.get("type") in ("BertProcessing", "RobertaProcessing"):
        single = [processor["cls"][1], "text", processor["sep"][1]]
    if single != [special.start, "text", special.end]:
        raise ConfigError(
            f"{folder.path}: {TOKENIZER} does not put a text between the start and the end token: {single}"
        )


def in_order(folder: PretrainedFolder, vocabulary: Mapping[str, int]) -> list[str]:
    """The pieces of a vocabulary and its added special tokens by their ids; an id without one has a name that no text gives.

    Raises:
        ConfigError: tokens were added that are ordinary words, which would be cut out of a text before anything else.
    """
    content = tokenizer_json(folder)
    if content is not None:
        tokens = content.get("added_tokens", ())
        added = {token["content"]: token["id"] for token in tokens}
        words = [token["content"] for token in tokens if not token["special"]]
    else:
        added = folder.json("added_tokens.json") if folder.has("added_tokens.json") else {}
        words = sorted(set(added) - set(vocabulary))
    if words:
        raise ConfigError(f"{folder.path}: words added to the vocabulary are not supported: {', '.join(words[:5])}")
    ids = {**vocabulary, **added}
    pieces = [f"[no piece {number}]" for number in range(max(ids.values()) + 1)]
    for piece, number in ids.items():
        pieces[number] = piece
    return pieces


def _content(token: Any) -> str | None:
    """The text of a special token, which is given as such or as an object with `content`."""
    return token.get("content") if isinstance(token, dict) else token
