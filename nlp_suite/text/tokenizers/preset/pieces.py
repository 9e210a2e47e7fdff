"""Vocabularies as models of the SentencePiece op, in the order of the ids here."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from nlp_suite.errors import TextError
from nlp_suite.text.tokenizers.base import END, PAD, SPECIAL_TOKENS, START, UNKNOWN
from nlp_suite.text.tokenizers.preset.model import RULES, PretrainedTokenizer, SpecialIds, dump_rules, read_rules
from nlp_suite.text.tokenizers.sentencepiece_op import sentencepiece_op

MODEL = "sentencepiece.model"
_OURS = " (special)"  # behind the name of one of ours where the model has a piece of that name: Qwen2 </s>, Gemma <s>


class PieceModel(PretrainedTokenizer):
    """A tokenizer of a pretrained model that the SentencePiece op carries out."""

    extra_pieces = 0  # at the end of the op's vocabulary, which are no ids of the tokenizer
    _model: bytes

    def take_pieces(
        self,
        pieces: Sequence[str],
        scores: Mapping[str, float],
        special: SpecialIds,
        rules: Mapping[str, Any],
        *,
        model_type: Literal["BPE", "UNIGRAM"],
        extra: Sequence[str] = (),
        charsmap: bytes = b"",
        spaces: bool = True,
        prefix: bool | None = None,
        kinds: Mapping[str, int] | None = None,
    ) -> None:
        """Becomes the tokenizer of a vocabulary in the model's order.

        Args:
            pieces: by the model's ids.
            scores: of those that a text can give, as the op compares them.
            special: which of them are special.
            rules: see `PretrainedTokenizer.rules`.
            model_type: by merges in the order of the scores, or the likeliest pieces.
            extra: more pieces, behind those of the vocabulary.
            charsmap: the op's own normalisation.
            spaces: whether U+2581 stands for a space, also before a text, and runs of spaces are one.
            prefix: whether a space is put before a text whose other spaces are kept as they are; None: as `spaces` says.
            kinds: of pieces that stand for a byte or are cut out of a text before any other, as SentencePiece counts them.
        """
        self.take(pieces, special, rules)
        texts = [*self.tokens[len(SPECIAL_TOKENS) :], *extra]
        model = _model(texts, scores, model_type, kinds or {})
        normalizer = model.normalizer_spec
        normalizer.name = "of the model" if charsmap else "identity"
        normalizer.precompiled_charsmap = charsmap
        normalizer.add_dummy_prefix = normalizer.remove_extra_whitespaces = normalizer.escape_whitespaces = spaces
        if prefix is not None:
            normalizer.add_dummy_prefix, normalizer.remove_extra_whitespaces = prefix, False
        self._model = model.SerializeToString(deterministic=True)

    def assets(self) -> dict[str, bytes]:
        """`sentencepiece.model`, the vocabulary in the order of the ids here, and `rules.json`."""
        return {MODEL: self._model, RULES: dump_rules(self)}

    def restore(self, assets: dict[str, bytes]) -> None:
        """Takes back what `assets` gave."""
        import sentencepiece

        processor = sentencepiece.SentencePieceProcessor()
        try:
            processor.LoadFromSerializedProto(assets[MODEL])
            tokens = [processor.id_to_piece(i) for i in range(processor.get_piece_size() - self.extra_pieces)]
        except (RuntimeError, OSError):
            tokens = []
        if tuple(token.removesuffix(_OURS) for token in tokens[:4]) != SPECIAL_TOKENS:
            raise TextError(f"{MODEL} is damaged: no SentencePiece model that begins with {' '.join(SPECIAL_TOKENS)}")
        tokens[:4] = SPECIAL_TOKENS
        self._model = assets[MODEL]
        self.take_back(tokens, read_rules(assets))

    def resources(self) -> dict:
        """TF Text's tokenizer, which holds the model as a resource, and the surface forms."""
        import tensorflow as tf

        return {"sentencepiece": sentencepiece_op(self._model), "surfaces": tf.constant(self.surfaces())}

    def scores(self) -> dict[str, float]:
        """The scores of the pieces that a text can give, those behind the vocabulary among them."""
        model = self.as_message()
        normal = model.SentencePiece.NORMAL
        return {piece.piece: piece.score for piece in model.pieces if piece.type == normal}

    def as_message(self) -> Any:
        """The op's model, read."""
        model = sentencepiece_format().ModelProto()
        model.ParseFromString(self._model)
        return model

    def surfaces(self) -> list[bytes]:
        """What each id stands for in a text; nothing for PAD, START and END."""
        raise NotImplementedError


def _model(texts: Sequence[str], scores: Mapping[str, float], model_type: str, special: Mapping[str, int]) -> Any:
    """A model whose ids are the special ones and those of the texts, without normalisation."""
    proto = sentencepiece_format()
    model, kinds = proto.ModelProto(), proto.ModelProto.SentencePiece
    taken = set(texts)
    ours = [text + _OURS if text in taken else text for text in SPECIAL_TOKENS]
    for number, text in enumerate(ours):
        model.pieces.add(piece=text, score=0.0, type=kinds.UNKNOWN if number == UNKNOWN else kinds.CONTROL)
    for text in texts:
        kind = special.get(text, kinds.NORMAL if text in scores else kinds.CONTROL)
        model.pieces.add(piece=text, score=scores.get(text, 0.0), type=kind)
    trainer = model.trainer_spec
    trainer.model_type = proto.TrainerSpec.ModelType.Value(model_type)
    trainer.pad_id, trainer.unk_id, trainer.bos_id, trainer.eos_id = PAD, UNKNOWN, START, END
    trainer.pad_piece, trainer.unk_piece, trainer.bos_piece, trainer.eos_piece = ours
    trainer.vocab_size = len(model.pieces)
    if kinds.BYTE in special.values():
        trainer.byte_fallback = True
    return model


def sentencepiece_format() -> Any:
    """The messages of which a SentencePiece model consists."""
    from sentencepiece import sentencepiece_model_pb2

    return sentencepiece_model_pb2
