"""A Transformer's weights in the layout of CTranslate2, or a refusal that says what it cannot express."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.text.text_layer import END, START, UNKNOWN, TextLayer

ACTIVATIONS = {"relu": "RELU", "gelu": "GELU", "silu": "SWISH", "swish": "SWISH", "tanh": "Tanh", "sigmoid": "Sigmoid"}
MIN_POSITIONS = 1024  # the longest source that CTranslate2 reads by default


def transformer_spec(model: Any, text: TextLayer, target_text: TextLayer, max_tokens: int) -> Any:
    """The specification of a network, with weights and vocabularies, to be validated, optimised and saved.

    Args:
        model: a built `TranslationModel`.
        text: text layer of the source.
        target_text: that of the target.
        max_tokens: the longest translation.

    Raises:
        ExportError: a part that is no Transformer, or has positions or an activation that CTranslate2 lacks.
    """
    from ctranslate2.specs import transformer_spec as specs

    encoder, decoder = model.backbone, model.decoder
    for part, kind, where in (
        (encoder, "TransformerBackbone", "backbone"),
        (decoder, "TransformerDecoder", "task.decoder"),
    ):
        if type(part).__name__ != kind:
            raise ExportError(f"CTranslate2 cannot express {where} {type(part).__name__}: allowed is transformer")
        _check_settings(part.settings, where)
    made = specs.TransformerSpec(
        specs.TransformerEncoderSpec(*_shape(encoder), pre_norm=encoder.final_norm is not None, **_activation(encoder)),
        specs.TransformerDecoderSpec(*_shape(decoder), pre_norm=decoder.final_norm is not None, **_activation(decoder)),
    )
    names = tokens_of(text), tokens_of(target_text)
    made.register_source_vocabulary(names[0])
    made.register_target_vocabulary(names[1])
    made.config.unk_token, made.config.bos_token = names[1][UNKNOWN], names[1][START]
    made.config.eos_token = names[1][END]
    made.config.decoder_start_token = names[1][START]
    made.config.layer_norm_epsilon = 1e-6
    _encoder(made.encoder, encoder, max(MIN_POSITIONS, text.settings.max_length))
    _decoder(made.decoder, decoder, max(MIN_POSITIONS, max_tokens + 1))
    table = _array((model.target_embedding or encoder.embedding).embeddings)  # [V, E]
    made.decoder.embeddings.weight = table
    made.decoder.projection.weight = _array(model.softmax.kernel) if not model.softmax.tied else table
    made.decoder.projection.bias = _array(model.softmax.bias)
    return made


def _check_settings(settings: Mapping[str, Any], where: str) -> None:
    if settings["positions"] not in ("sinusoidal", "learned"):
        raise ExportError(
            f"CTranslate2 cannot express {where}.positions {settings['positions']!r}: allowed are sinusoidal, learned"
        )
    if settings["activation"] not in ACTIVATIONS:
        raise ExportError(
            f"CTranslate2 cannot express {where}.activation {settings['activation']!r}: allowed are "
            + ", ".join(ACTIVATIONS)
        )
    if settings.get("causal"):
        raise ExportError(f"CTranslate2 cannot express {where}.causal true: its encoders see the whole source")


def _shape(part: Any) -> tuple[int, int]:
    return part.settings["layers"], part.settings["heads"]


def _activation(part: Any) -> dict[str, Any]:
    from ctranslate2.specs.common_spec import Activation

    return {"activation": Activation[ACTIVATIONS[part.settings["activation"]]]}


def tokens_of(text: TextLayer) -> list[str]:
    """Surface forms, all different: one that looks like a special token gets a backslash before it."""
    names = []
    taken = set(surfaces := text.id_to_token(range(text.vocabulary_size)))
    for token_id, surface in enumerate(surfaces):
        while token_id > END and surface in surfaces[: END + 1]:
            surface = next(name for n in range(1, token_id) if (name := "\\" * n + surface) not in taken)
            taken.add(surface)
        names.append(surface)
    return names


def _encoder(spec: Any, backbone: Any, positions: int) -> None:
    spec.embeddings[0].weight = _array(backbone.embedding.embeddings)
    spec.position_encodings.encodings = _positions(backbone.positions, positions)
    for layer, block in zip(spec.layer, backbone.blocks, strict=True):
        _block(layer, block)
    if backbone.final_norm is not None:
        _norm(spec.layer_norm, backbone.final_norm)


def _decoder(spec: Any, decoder: Any, positions: int) -> None:
    spec.position_encodings.encodings = _positions(decoder.positions, positions)
    for layer, block in zip(spec.layer, decoder.blocks, strict=True):
        _block(layer, block)
        query, fused, projection = layer.attention.linear
        _linear(query, block.cross.query)
        _linear(fused, block.cross.fused)
        _linear(projection, block.cross.projection)
        _norm(layer.attention.layer_norm, block.cross_norm)
    if decoder.final_norm is not None:
        _norm(spec.layer_norm, decoder.final_norm)


def _block(spec: Any, block: Any) -> None:
    """Self-attention (queries, keys and values one below the other, as ours) and the feed-forward network."""
    _linear(spec.self_attention.linear[0], block.attention.fused)
    _linear(spec.self_attention.linear[1], block.attention.projection)
    _norm(spec.self_attention.layer_norm, block.attention_norm)
    _linear(spec.ffn.linear_0, block.expand)
    _linear(spec.ffn.linear_1, block.contract)
    _norm(spec.ffn.layer_norm, block.feed_forward_norm)


def _positions(layer: Any, count: int) -> np.ndarray:
    """Position vectors float32 `[count, E]`; CTranslate2's sinusoids begin at 1 and have other frequencies."""
    zeros = np.zeros((1, count, layer.size), "float32")
    return np.ascontiguousarray(_array(layer(zeros, np.arange(count, dtype="int32")[None]))[0], "float32")


def _linear(spec: Any, dense: Any) -> None:
    spec.weight, spec.bias = np.ascontiguousarray(_array(dense.kernel).T), _array(dense.bias)


def _norm(spec: Any, norm: Any) -> None:
    spec.gamma, spec.beta = _array(norm.gamma), _array(norm.beta)


def _array(values: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(values), "float32")
