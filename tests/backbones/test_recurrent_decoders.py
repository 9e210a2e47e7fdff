"""Recurrent decoders: steps = whole, explicit gradient = autodiff, padding, K hypotheses, mixed precision, config."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.config import ComponentSettings
from nlp_suite.layers import attention_loop
from nlp_suite.registry import ATTENTIONS as REGISTERED
from nlp_suite.registry import DECODERS
from tests.backbones.decoder_checks import (
    ATTENTIONS,
    LOOPS,
    MEMORY,
    UNITS,
    batch,
    forced,
    gradients,
    make,
    numpy,
    tensors,
)

VARIANTS = {
    f"{cell}-{attention}-{loop}": (cell, {"attention": ATTENTIONS[attention], **LOOPS[loop]})
    for cell in ("rnn", "lstm", "gru")
    for attention in ATTENTIONS
    for loop in LOOPS
}
AROUND = {  # what stands around the loop
    "lstm-layers": ("lstm", {"layers": 3, "residual": True, "layer_norm": True, "readout_size": 4}),
    "gru-layers-fed": ("gru", {"layers": 2, "residual": True, "attention": "luong", "readout": "deep"}),
    "gru-layers-above": ("gru", {"layers": 2, "residual": True, "attention": "luong", "input_feeding": False}),
    "gru-bare": ("gru", {"readout": "none", "bridge": "zero"}),
    "lstm-last": ("lstm", {"bridge": "last", "layers": 2, "attention": ATTENTIONS["scaled_dot"], "conditional": True}),
}
LOOPED = [
    *(f"gru-{attention}-{loop}" for attention in ATTENTIONS for loop in ("feeding", "conditional")),
    *(f"{cell}-{attention}-feeding" for cell in ("rnn", "lstm") for attention in ("bahdanau", "scaled_dot")),
    *(f"{cell}-dot-conditional" for cell in ("rnn", "lstm")),
]


def loss_of(decoder, target_mask, mask, features, weights):
    """A scalar of embeddings and encoded source that depends on every feature and every weight."""
    features, weights, mask = tensors(features, weights, mask)

    def loss(x, encoded):
        found = decoder(x, target_mask, decoder.memory(encoded, mask))
        return ops.sum(found[0] * features) + ops.sum(found[1] * weights)

    return loss


@pytest.mark.parametrize("name", [*VARIANTS, *AROUND])
def test_steps_give_what_teacher_forcing_gives_and_weights_sum_to_one(name):
    cell, settings = {**VARIANTS, **AROUND}[name]
    decoder = make(cell, **settings)
    x, target_mask, encoded, mask = batch()
    features, weights = forced(decoder, x, target_mask, encoded, mask)
    assert features.shape == (*x.shape[:2], decoder.output_size)
    assert weights.dtype == "float32"
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert not weights.transpose(0, 2, 1)[~mask].any()
    x, encoded, mask = tensors(x, encoded, mask)
    memory = decoder.memory(encoded, mask)
    state = decoder.initial_state(len(x), memory)
    for t in range(x.shape[1]):
        f, state, w = decoder.step(x[:, t], state, memory)
        np.testing.assert_allclose(numpy(f), features[:, t], atol=1e-5)
        np.testing.assert_allclose(numpy(w), weights[:, t], atol=1e-5)


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


@pytest.mark.parametrize(
    "name",
    [
        *(f"{c}-{a}-{w}" for c, a in (("gru", "bahdanau"), ("lstm", "general"), ("rnn", "concat")) for w in LOOPS),
        *AROUND,
    ],
)
def test_every_weight_has_a_gradient_and_stands_in_one_group(name):
    cell, settings = {**VARIANTS, **AROUND}[name]
    decoder = make(cell, **settings)
    x, target_mask, encoded, mask = batch()
    shape = forced(decoder, x, target_mask, encoded, mask)[0].shape
    factors = np.random.default_rng(2).normal(0, 1, shape).astype("float32")
    found = gradients(loss_of(decoder, target_mask, mask, factors, 0.0), decoder, [x, encoded])
    zero = [place for place, gradient in found.items() if gradient is None or np.abs(gradient).max() < 1e-6]
    assert not zero
    grouped = [v.path for group in decoder.layer_groups() for v in group]
    assert sorted(grouped) == sorted(v.path for v in decoder.trainable_variables)


@pytest.mark.parametrize("name", ["gru-bahdanau-feeding", "lstm-scaled_dot-feeding", "rnn-general-above", "lstm-last"])
def test_padding_and_neighbours_change_nothing(name):
    cell, settings = {**VARIANTS, **AROUND}[name]
    decoder = make(cell, **settings)
    x, target_mask, encoded, mask = batch()
    features, weights = forced(decoder, x, target_mask, encoded, mask)
    pad = ((0, 0), (0, 3))
    wide = [np.pad(a, (*pad, (0, 0)), constant_values=9.0) for a in (x, encoded)]
    f, w = forced(decoder, wide[0], np.pad(target_mask, pad), wide[1], np.pad(mask, pad))
    np.testing.assert_allclose(f[:, :-3], features, atol=1e-6)
    np.testing.assert_allclose(w[:, :-3, :-3], weights, atol=1e-6)
    for i in range(len(x)):
        s, t = mask[i].sum(), target_mask[i].sum()
        row = slice(i, i + 1)
        f, w = forced(decoder, x[row, :t], target_mask[row, :t], encoded[row, :s], mask[row, :s])
        np.testing.assert_allclose(f[0], features[i, :t], atol=2e-6)
        np.testing.assert_allclose(w[0], weights[i, :t, :s], atol=2e-6)


def test_padding_has_no_gradient():
    decoder = make("gru")
    x, target_mask, encoded, mask = batch()

    def loss(x, encoded):
        features, weights = decoder(x, target_mask, decoder.memory(encoded, ops.convert_to_tensor(mask)))
        squares = features**2 + ops.sum(weights**2, -1, keepdims=True)
        return ops.sum(squares * ops.convert_to_tensor(target_mask[..., None].astype("float32")))

    found = gradients(loss, decoder, [x, encoded])
    assert not found[0][~target_mask].any()
    assert not found[1][~mask].any()


@pytest.mark.parametrize(
    "name", ["gru-bahdanau-feeding", "lstm-dot-conditional", "gru-scaled_dot-feeding", "rnn-concat-above"]
)
def test_hypotheses_share_their_sentence(name):
    cell, settings = VARIANTS[name]
    decoder = make(cell, **settings)
    x, _, encoded, mask = batch(rows=6)
    shared = decoder.memory(*tensors(encoded[:2], mask[:2]))
    repeated = decoder.memory(*tensors(np.repeat(encoded[:2], 3, 0), np.repeat(mask[:2], 3, 0)))
    (x,) = tensors(x)
    state, other = decoder.initial_state(6, shared), decoder.initial_state(6, repeated)
    for t in range(3):
        features, state, weights = decoder.step(x[:, t], state, shared)
        f, other, w = decoder.step(x[:, t], other, repeated)
        assert weights.shape == (6, 7)
        np.testing.assert_allclose(numpy(features), numpy(f), atol=1e-6)
        np.testing.assert_allclose(numpy(weights), numpy(w), atol=1e-6)
    assert {leaf.shape[0] for leaf in keras.tree.flatten(state)} == {6}
    assert {leaf.shape[0] for leaf in keras.tree.flatten(shared)} == {2}


@pytest.mark.parametrize("name", ["gru-bahdanau-feeding", "lstm-general-feeding", "gru-scaled_dot-conditional"])
def test_mixed_precision(name):
    cell, settings = VARIANTS[name]
    decoder, exact = make(cell, dtype="mixed_bfloat16", **settings), make(cell, **settings)
    arrays = batch()
    f, w = forced(exact, *arrays)
    x, target_mask, encoded, mask = tensors(*arrays)
    memory = decoder.memory(encoded, mask)
    features, weights = decoder(x, target_mask, memory)
    assert keras.backend.standardize_dtype(features.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    np.testing.assert_allclose(numpy(ops.cast(features, "float32")), f, atol=0.15)
    np.testing.assert_allclose(numpy(weights), w, atol=0.05)
    features, state, _ = decoder.step(x[:, 0], decoder.initial_state(3, memory), memory)
    assert {keras.backend.standardize_dtype(leaf.dtype) for leaf in keras.tree.flatten(state)} == {"bfloat16"}

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


@pytest.mark.parametrize("name", ["gru-concat-feeding", "lstm-last"])
def test_saved_is_loaded(name, tmp_path):
    cell, settings = {**VARIANTS, **AROUND}[name]
    decoder = make(cell, **settings)
    again = type(decoder).from_config(decoder.get_config())
    assert again.get_config() == decoder.get_config()
    again.build_from_config(decoder.get_build_config())
    for v, w in zip(again.variables, decoder.variables, strict=True):
        v.assign(w)
    arrays = batch()
    for a, b in zip(forced(again, *arrays), forced(decoder, *arrays), strict=True):
        np.testing.assert_array_equal(a, b)


def test_settings_make_the_decoder_they_describe():
    settings = DECODERS.settings("lstm").model_validate(
        {"name": "lstm", "attention": {"name": "luong", "score": "dot"}}
    )
    assert isinstance(settings.attention, ComponentSettings)
    decoder = DECODERS.get("lstm")(**settings.arguments())
    assert decoder.get_config()["attention"] == {"name": "luong", "score": "dot", "units": None}
    assert (decoder.where, decoder.output_size) == ("after", settings.units)
    assert DECODERS.get("gru")(embedding_size=7).output_size == 7
    assert set(REGISTERED.names()) == {"bahdanau", "luong", "scaled_dot"}


@pytest.mark.parametrize(
    ("settings", "message"),
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
    heads = DECODERS.get("gru")(units=UNITS, attention={"name": "scaled_dot", "heads": 4})
    with pytest.raises(ValueError, match="4 heads"):
        heads.build(MEMORY)
