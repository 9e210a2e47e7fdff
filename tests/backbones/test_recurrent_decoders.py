"""Recurrent decoders with every attention and loop: steps = whole, explicit gradient = autodiff, dropout, settings."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.config import ComponentSettings
from nlp_suite.layers import attention_loop
from nlp_suite.registry import ATTENTIONS as REGISTERED
from nlp_suite.registry import DECODERS
from tests.backbones import decoder_checks
from tests.backbones.decoder_checks import EMBEDDING, MEMORY, batch, check_steps, forced, tensors
from tests.backbones.gradients import gradients

UNITS = MEMORY  # which the score dot needs
ATTENTIONS = {
    "bahdanau": {"name": "bahdanau", "units": 7},
    "dot": {"name": "luong", "score": "dot"},
    "general": "luong",
    "concat": {"name": "luong", "score": "concat", "units": 4},
    "scaled_dot": {"name": "scaled_dot", "heads": 2},
}
LOOPS = {
    "feeding": {},
    "conditional": {"conditional": True},
    "above": {"input_feeding": False},
}
VARIANTS = {
    f"{cell}-{attention}-{loop}": (cell, {"attention": ATTENTIONS[attention], **LOOPS[loop]})
    for cell in ("rnn", "lstm", "gru")
    for attention in ATTENTIONS
    for loop in LOOPS
}
LOOPED = [
    *(f"gru-{attention}-{loop}" for attention in ATTENTIONS for loop in ("feeding", "conditional")),
    *(f"{cell}-{attention}-feeding" for cell in ("rnn", "lstm") for attention in ("bahdanau", "scaled_dot")),
    *(f"{cell}-dot-conditional" for cell in ("rnn", "lstm")),
]


def settings_of(cell, **settings):
    values = {"name": cell, "embedding_size": EMBEDDING, "units": UNITS, **settings}
    return DECODERS.settings(cell).model_validate(values)


def make(cell, dtype=None, **settings):
    return decoder_checks.make(settings_of(cell, **settings), dtype)


def loss_of(decoder, target_mask, mask, features, weights):
    """A scalar of embeddings and encoded source that depends on every feature and every weight."""
    features, weights, mask = tensors(features, weights, mask)

    def loss(x, encoded):
        outputs, attention = decoder(x, target_mask, decoder.memory(encoded, mask))
        return ops.sum(outputs * features) + ops.sum(attention * weights)

    return loss


@pytest.mark.parametrize("name", VARIANTS)
def test_steps_give_what_teacher_forcing_gives_and_weights_sum_to_one(name):
    cell, settings = VARIANTS[name]
    check_steps(settings_of(cell, **settings))


@pytest.mark.parametrize("name", LOOPED)
def test_explicit_gradient_is_that_of_autodiff(name, monkeypatch):
    cell, settings = VARIANTS[name]
    decoder = make(cell, **settings)
    x, target_mask, encoded, mask = batch(target=5)
    random = np.random.default_rng(5)
    factors = (random.normal(0, 1, y.shape).astype("float32") for y in forced(decoder, x, target_mask, encoded, mask))
    loss = loss_of(decoder, target_mask, mask, *factors)
    explicit = gradients(loss, decoder, [x, encoded])
    plain = []
    monkeypatch.setattr(attention_loop, "custom_gradient", lambda f, args: plain.append(f(*args)[0]) or plain[-1])
    autodiff = gradients(loss, decoder, [x, encoded])
    assert plain
    for place, gradient in autodiff.items():
        size = np.abs(gradient).max()
        np.testing.assert_allclose(explicit[place], gradient, atol=1e-5 * max(1, size), err_msg=str(place))


def test_gradient_in_a_graph_of_unknown_lengths_is_that_of_single_operations():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("graphs of unknown lengths are TensorFlow's")
    decoder = make("gru", **VARIANTS["gru-bahdanau-feeding"][1])
    x, _, encoded, mask = batch()
    loss = loss_of(decoder, None, mask, 1.0, np.arange(7.0, dtype="float32"))
    in_graph = gradients(loss, decoder, [x, encoded], graph=True)
    for place, gradient in gradients(loss, decoder, [x, encoded]).items():
        np.testing.assert_allclose(in_graph[place], gradient, atol=2e-5, err_msg=str(place))


def test_padding_has_no_gradient():
    decoder = make("gru")
    x, target_mask, encoded, mask = batch()

    def loss(x, encoded):
        features, weights = decoder(x, target_mask, decoder.memory(encoded, ops.convert_to_tensor(mask)))
        squares = features**2 + ops.sum(weights**2, -1, keepdims=True)
        return ops.sum(squares * ops.convert_to_tensor(target_mask[..., None].astype("float32")))

    of_target, of_source, *_ = gradients(loss, decoder, [x, encoded]).values()
    assert not of_target[~target_mask].any()
    assert not of_source[~mask].any()


@pytest.mark.parametrize("name", ["gru-bahdanau-feeding", "lstm-general-feeding", "gru-scaled_dot-conditional"])
def test_gradients_in_mixed_precision(name):
    cell, settings = VARIANTS[name]
    decoder, exact = make(cell, dtype="mixed_bfloat16", **settings), make(cell, **settings)
    arrays = batch()
    target_mask, mask = tensors(*arrays[1::2])

    def loss(x, encoded):
        return ops.sum(ops.cast(decoder(x, target_mask, decoder.memory(encoded, mask))[0], "float32"))

    def exact_loss(x, encoded):
        return ops.sum(exact(x, target_mask, exact.memory(encoded, mask))[0])

    rounded, right = gradients(loss, decoder, arrays[::2]), gradients(exact_loss, exact, arrays[::2])
    for a, b in zip(rounded.values(), right.values(), strict=True):
        assert np.abs(a.astype("float32") - b).mean() < 0.05 * np.abs(b).max() + 1e-3


def test_dropout_is_on_in_training_only_and_the_same_at_every_step():
    rates = {"embedding_dropout": 0.5, "context_dropout": 0.5, "dropout": 0.5}
    x, target_mask, encoded, mask = batch()
    plain, dropping = make("gru", readout="none"), make("gru", readout="none", **rates)
    dropping.set_weights(plain.get_weights())
    features, _ = forced(plain, x, target_mask, encoded, mask)
    np.testing.assert_array_equal(forced(dropping, x, target_mask, encoded, mask)[0], features)
    trained, _ = forced(dropping, x, target_mask, encoded, mask, training=True)
    dropped = (trained == 0).all(1)  # [B, U]
    assert 0 < dropped.sum() < dropped.size
    assert ((trained == 0) == dropped[:, None]).all()


def test_settings_make_the_decoder_they_describe():
    settings = DECODERS.settings("lstm").model_validate(
        {"name": "lstm", "attention": {"name": "luong", "score": "dot"}}
    )
    assert isinstance(settings.attention, ComponentSettings)
    decoder = DECODERS.get("lstm")(**settings.arguments())
    assert decoder.get_config()["attention"] == {"name": "luong", "score": "dot", "units": None}
    assert (decoder.attention_place, decoder.output_size) == ("after", settings.units)
    assert DECODERS.get("gru")(embedding_size=7).output_size == 7
    assert set(REGISTERED.names()) == {"bahdanau", "luong", "scaled_dot"}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"attention": "loung"}, "did you mean 'luong'"),
        ({"attention": {"name": "luong", "scores": "dot"}}, "scores"),
        ({"conditional": True, "input_feeding": False}, "input_feeding must be true"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        DECODERS.settings("gru").model_validate({"name": "gru", **settings})


def test_sizes_that_do_not_fit():
    dot = DECODERS.get("gru")(units=UNITS, attention=ATTENTIONS["dot"])
    with pytest.raises(ValueError, match=f"{UNITS} and {MEMORY + 1} features"):
        dot.build(MEMORY + 1)
    heads = DECODERS.get("gru")(units=UNITS, attention={"name": "scaled_dot", "heads": 5})
    with pytest.raises(ValueError, match="5 heads"):
        heads.build(MEMORY)
