"""SentencePiece's byte-pair encoding with bytes for what is not in the vocabulary, as in Llama 2 and Gemma."""

from typing import Self

from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.folder import PretrainedFolder
from nlp_suite.text.tokenizers.base import SPECIAL_TOKENS, UNKNOWN_SURFACE
from nlp_suite.text.tokenizers.preset.model import (
    causal_special_ids,
    no_piece,
    stated_tokens,
    tokenizer_config,
)
from nlp_suite.text.tokenizers.preset.pieces import PieceModel, sentencepiece_format

MODEL_FILE = "tokenizer.model"


class PieceBPEModel(PieceModel):
    """SentencePiece's BPE of a causal model, cut as SentencePiece cuts it. Nothing is unknown; spaces are kept.

    Rules:
        prefix: whether a space is put before a text.
        starts: see `starts_prompts`.
    """

    kind = "piece_bpe"
    lossless = True
    reads_line_breaks = True

    @classmethod
    def of_folder(cls, folder: PretrainedFolder) -> Self:
        from google.protobuf.message import DecodeError

        proto, file = sentencepiece_format(), folder.file(MODEL_FILE)
        model = proto.ModelProto()
        try:
            model.ParseFromString(file.read_bytes())
        except DecodeError as error:
            raise ConfigError(f"{file} is damaged: {error}") from None
        trainer, normaliser = model.trainer_spec, model.normalizer_spec
        if trainer.model_type != proto.TrainerSpec.BPE or not trainer.byte_fallback:
            raise ConfigError(f"{file}: for a causal model only BPE with byte_fallback is supported")
        if normaliser.precompiled_charsmap or normaliser.remove_extra_whitespaces or not normaliser.escape_whitespaces:
            raise ConfigError(f"{file}: it changes the characters or spaces of a text, which is not supported")
        config, types = tokenizer_config(folder), proto.ModelProto.SentencePiece
        if config.get("add_eos_token"):
            raise ConfigError(f"{folder.path}: add_eos_token puts a token behind every text, which is not supported")
        pieces = [piece.piece for piece in model.pieces]
        vocabulary = {piece: number for number, piece in enumerate(pieces)}
        starts = config.get("add_bos_token", True)
        bos = _id_of(folder, vocabulary, "bos_token", trainer.bos_id)
        special = causal_special_ids(
            folder, vocabulary, bos if starts else None, trainer.eos_id, pad=trainer.pad_id, unknown=trainer.unk_id
        )
        size = int(folder.config["vocab_size"])
        pieces += map(no_piece, range(len(pieces), size))
        tokenizer = cls()
        tokenizer.take_pieces(
            pieces,
            {piece.piece: piece.score for piece in model.pieces if piece.type in (types.NORMAL, types.USER_DEFINED)},
            special,
            {"starts": bool(starts), "prefix": normaliser.add_dummy_prefix},
            model_type="BPE",
            prefix=normaliser.add_dummy_prefix,
            kinds={piece.piece: piece.type for piece in model.pieces if piece.type in (types.USER_DEFINED, types.BYTE)},
        )
        return tokenizer

    def surfaces(self) -> list[bytes]:
        pieces, byte = self.tokens[len(SPECIAL_TOKENS) :], {f"<0x{number:02X}>": number for number in range(256)}
        texts = [bytes([byte[piece]]) if piece in byte else piece.replace("▁", " ").encode() for piece in pieces]
        return [b"", UNKNOWN_SURFACE.encode(), b"", b"", *texts]

    def tokenize(self, text, resources: dict):
        """tf.string [B] → RaggedTensor int32 [B, (T)]."""
        return resources["sentencepiece"].tokenize(text)

    def detokenize(self, ids, resources: dict):
        """RaggedTensor int32 [B, (T)] → tf.string [B]."""
        import tensorflow as tf

        text = tf.strings.reduce_join(ids.with_flat_values(tf.gather(resources["surfaces"], ids.flat_values)), axis=-1)
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        return tf.strings.regex_replace(text, "^ ", "") if self.rules["prefix"] else text


def _id_of(folder: PretrainedFolder, vocabulary: dict[str, int], key: str, default: int) -> int:
    """The id of a special token as the tokenizer's files say, else as the model file does."""
    stated = stated_tokens(folder).get(key)
    name = stated.get("content") if isinstance(stated, dict) else stated
    return vocabulary.get(str(name), default)
