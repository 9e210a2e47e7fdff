"""What the tokenizers of pretrained models have in common: special tokens, the order of ids, and how they are stored."""

import json
import re
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from nlp_suite.errors import ConfigError, TextError
from nlp_suite.pretrained.decoder import is_decoder
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.text.tokenizers.base import SPECIAL_TOKENS, START, Tokenizer

NOT_TRAINED = (
    "the tokenizer preset learns nothing from texts: its vocabulary comes with a pretrained model "
    "(backbone: {name: preset, init_from: FOLDER})"
)
RULES = "rules.json"
TOKENIZER, TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"
KERAS_ASSETS = "assets/tokenizer"
SPACE = r"\t-\r \x{85}\p{Z}"  # what Unicode calls white space, within brackets of a regular expression


NAMED_AS_SPECIAL = re.compile(r"<[^<>\s]+>")


@dataclass(frozen=True)
class SpecialIds:
    """The model's ids of what PAD, UNKNOWN, START and END are here; −1 where a causal model has none.

    START and END of a causal model may be one and the same.
    """

    pad: int
    unknown: int
    start: int
    end: int

    def order(self, size: int) -> np.ndarray:
        """The model's id of each of ours, int64 [V]: the special ones first, the others as the model has them.

        Args:
            size: how many ids the model has.
        """
        special = list(asdict(self).values())
        others = np.setdiff1d(np.arange(size), special)  # [V − 4], ascending
        return np.concatenate([special, others]).astype(np.int64)

    def size(self, tokens: int) -> int:
        """How many ids the model has, of which there are so many tokens here."""
        return tokens - len(asdict(self)) + len({number for number in asdict(self).values() if number >= 0})


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
        self.special = special
        self._take_rules(rules)
        self.model_ids = special.order(len(pieces))
        self.tokens = [*SPECIAL_TOKENS, *(pieces[i] for i in self.model_ids[len(SPECIAL_TOKENS) :])]

    def take_back(self, tokens: Sequence[str], rules: Mapping[str, Any]) -> None:
        """The same of a vocabulary in the order of the ids here, and of what `dump_rules` wrote."""
        self.special = SpecialIds(**rules["special"])
        self._take_rules({key: value for key, value in rules.items() if key not in ("kind", "special")})
        self.tokens = tokens
        self.model_ids = self.special.order(self.special.size(len(tokens)))

    def _take_rules(self, rules: Mapping[str, Any]) -> None:
        """Of a causal model the rule `starts` says whether its own tokenizer begins a text with START."""
        self.rules = rules
        if "starts" in rules:
            self.document_start, self.starts_prompts = START, rules["starts"]

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


def stated_tokens(folder: PretrainedFolder) -> dict[str, Any]:
    """What the tokenizer's files say of special tokens: `eos_token` and others, among other settings."""
    return {
        **(folder.json("special_tokens_map.json") if folder.has("special_tokens_map.json") else {}),
        **tokenizer_config(folder),
    }


def special_ids(folder: PretrainedFolder, vocabulary: Mapping[str, int]) -> SpecialIds:
    """Which pieces of a vocabulary are the special tokens: as the tokenizer's files say, else by their usual names.

    Raises:
        ConfigError: the vocabulary has no token for unknown pieces, start or end, or none of padding.
    """
    stated = stated_tokens(folder)
    found: dict[str, int] = {}
    for role, keys, usual in (
        ("pad", ("pad_token",), ("[PAD]", "<pad>")),
        ("unknown", ("unk_token",), ("[UNK]", "<unk>")),
        ("start", ("cls_token", "bos_token"), ("[CLS]", "<s>")),
        ("end", ("sep_token", "eos_token"), ("[SEP]", "</s>")),
    ):
        names = [name for key in keys if (name := content_of(stated.get(key)))] + list(usual)
        named = next((name for name in names if name in vocabulary), None)
        if named is None:
            raise ConfigError(f"{folder.path}: the vocabulary has no {role} token (looked for {', '.join(names)})")
        found[role] = vocabulary[named]
    if len(set(found.values())) < len(found):
        raise ConfigError(f"{folder.path}: special tokens share an id, which is not supported: {found}")
    return SpecialIds(**found)


def causal_special_ids(
    folder: PretrainedFolder,
    vocabulary: Mapping[str, int],
    starts: int | None,
    end: int = -1,
    pad: int = -1,
    unknown: int = -1,
) -> SpecialIds:
    """The special tokens of a causal model.

    END is what ends a text, as the tokenizer's files or config.json say. START is what the tokenizer begins a text with;
    where it does so with nothing, what parts documents in training: `<|endoftext|>`, else the stated beginning, else END.

    Args:
        folder: of the model.
        vocabulary: with the tokens that were added to it.
        starts: the id with which the tokenizer begins a text, if it does.
        end: the id of what ends a text, where nothing else says so; −1: unknown.
        pad, unknown: those of the model's own file, where nothing else says so; −1: none.

    Raises:
        ConfigError: nothing says what ends a text.
    """
    stated = stated_tokens(folder)

    def known(key: str) -> int | None:
        return vocabulary.get(content_of(stated.get(key)) or "")

    named, given = known("eos_token"), folder.config.get("eos_token_id")
    if named is None:
        given = given[0] if isinstance(given, list) and given else given
        named = given if isinstance(given, int) else end
        if named < 0:
            raise ConfigError(
                f"{folder.path}: nothing says which token ends a text: eos_token in {TOKENIZER_CONFIG}, or eos_token_id in "
                "config.json"
            )
    end = named
    start = next((i for i in (starts, vocabulary.get("<|endoftext|>"), known("bos_token")) if i is not None), end)
    taken, found = {start, end}, {}
    for role, stated_id, of_file in (("pad", known("pad_token"), pad), ("unknown", known("unk_token"), unknown)):
        number = of_file if stated_id is None else stated_id  # a piece that is called <unk> need not be it: Qwen2
        found[role] = -1 if number in taken else number
        taken.add(found[role])
    return SpecialIds(found["pad"], found["unknown"], start, end)


def start_of_template(folder: PretrainedFolder, content: Mapping[str, Any]) -> int | None:
    """The id with which a causal model's tokenizer.json begins a text; None: it does so with nothing.

    Raises:
        ConfigError: it puts anything else around a text.
    """
    single: list[Any] = ["text"]
    for processor in members(content.get("post_processor"), "processors"):
        if processor["type"] == "TemplateProcessing":
            single = _single(processor)
        elif processor["type"] != "ByteLevel":
            raise ConfigError(
                f"{folder.path}: {TOKENIZER} has a post-processor {processor['type']}, which is not supported"
            )
    if single != ["text"] and single[1:] != ["text"]:
        raise ConfigError(
            f"{folder.path}: {TOKENIZER} puts more than a token before a text, which is not supported: {single}"
        )
    return None if single == ["text"] else single[0]


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
        single = _single(processor)
    elif processor.get("type") in ("BertProcessing", "RobertaProcessing"):
        single = [processor["cls"][1], "text", processor["sep"][1]]
    if single != [special.start, "text", special.end]:
        raise ConfigError(
            f"{folder.path}: {TOKENIZER} does not put a text between the start and the end token: {single}"
        )


def added_tokens(folder: PretrainedFolder, vocabulary: Mapping[str, int]) -> dict[str, int]:
    """The tokens that were added to a vocabulary, which are special: in a text they are ordinary text.

    Of a causal model, `<tool_call>` and the like are special, too, whatever the file says.

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
    if is_decoder(folder):
        words = [word for word in words if not NAMED_AS_SPECIAL.fullmatch(word)]
    if words:
        raise ConfigError(f"{folder.path}: words added to the vocabulary are not supported: {', '.join(words[:5])}")
    return added


def no_piece(number: int) -> str:
    """The name of an id of the model that has no piece."""
    return f"[no piece {number}]"


def in_order(folder: PretrainedFolder, vocabulary: Mapping[str, int]) -> list[str]:
    """The pieces of a vocabulary and its added special tokens by their ids; an id without one has a name that no text gives.

    Of a causal model there are as many as it has outputs.

    Raises:
        ConfigError: see `added_tokens`.
    """
    ids = {**vocabulary, **added_tokens(folder, vocabulary)}
    size = max(ids.values()) + 1
    if is_decoder(folder):
        size = max(size, int(folder.config["vocab_size"]))
    pieces = [no_piece(number) for number in range(size)]
    for piece, number in ids.items():
        pieces[number] = piece
    return pieces


def _single(processor: Mapping[str, Any]) -> list[Any]:
    """What a template makes of a text: ids, and `"text"` in its place."""
    ids = {name: token["ids"] for name, token in processor["special_tokens"].items()}
    parts = [ids[part["SpecialToken"]["id"]] if "SpecialToken" in part else ["text"] for part in processor["single"]]
    return [number for part in parts for number in part]


def members(value: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    """The members of a `Sequence`; a single object as its only member."""
    if value is None:
        return []
    return list(value[key]) if value["type"] == "Sequence" else [value]


def content_of(token: Any) -> str | None:
    """The text of a special token, which is given as such or as an object with `content`."""
    return token.get("content") if isinstance(token, dict) else token
