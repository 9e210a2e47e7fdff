"""The contract of a decoder, checked for any one of the registry: `run_decoder_checks("gru", units=6)`."""

import keras
import numpy as np
from keras import ops

from nlp_suite.registry import DECODERS
from tests.backbones.gradients import gradients, numpy, rounding

EMBEDDING, MEMORY = 8, 12


def run_decoder_checks(name: str, without=(), **settings) -> None:
    """Checks a decoder with the given settings against everything that `Decoder` promises, but for some of `CHECKS`."""
    chosen = DECODERS.settings(name).model_validate({"name": name, "embedding_size": EMBEDDING, **settings})
    assert not chosen.shape_mismatch(EMBEDDING, MEMORY)
    for check in CHECKS:
        if check not in without:
            check(chosen)


def summed(settings) -> int:
    """How many numbers the longest sums of a step are over."""
    return getattr(settings, "units", EMBEDDING)


def make(settings, dtype=None, seed=3, **changes):
    """A built decoder; every weight is moved from where it starts, biases and gains too."""
    keras.utils.set_random_seed(seed)
    decoder = DECODERS.get(settings.name)(**{**settings.arguments(), **changes}, dtype=dtype)
    decoder.build(MEMORY, True)
    noise = np.random.default_rng(seed)
    for weight in decoder.trainable_variables:
        weight.assign(weight + noise.normal(0, 0.1, weight.shape))
    return decoder


def batch(rows=3, source=7, target=6, seed=0, embedding_size=EMBEDDING, memory_size=MEMORY):
    """Embeddings [B, T, E], target mask [B, T], encoded source [B, S, D], source mask [B, S]."""
    random = np.random.default_rng(seed)
    lengths = np.array([source, 1, *random.integers(1, source, rows)])[:rows]
    targets = np.array([target, 2, *random.integers(1, target, rows)])[:rows]
    return (
        random.normal(0, 1, (rows, target, embedding_size)).astype("float32"),
        np.arange(target) < targets[:, None],
        random.normal(0, 1, (rows, source, memory_size)).astype("float32"),
        np.arange(source) < lengths[:, None],
    )


def tensors(*arrays):
    return [ops.convert_to_tensor(a) for a in arrays]


def forced(decoder, x, target_mask, encoded, mask, **kwargs):
    """Features and weights of teacher forcing, as arrays."""
    x, target_mask, encoded, mask = tensors(x, target_mask, encoded, mask)
    features, weights = decoder(x, target_mask, decoder.memory(encoded, mask, **kwargs), **kwargs)
    return numpy(features), numpy(weights)


def steps(decoder, x, memory, length=None):
    """Features [B·K, T, F] and weights [B·K, T, S] of one step after another, and the last state."""
    state = decoder.initial_state(x.shape[0], memory, length)
    features, weights = [], []
    for t in range(x.shape[1]):
        feature, state, weight = decoder.step(x[:, t], state, memory)
        features.append(numpy(feature))
        weights.append(numpy(weight))
    return np.stack(features, 1), np.stack(weights, 1), state


def check_config(settings):
    decoder, arrays = make(settings), batch()
    config = decoder.get_config()
    assert config.keys() >= settings.arguments().keys()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decoder))
    assert again.get_config() == config
    if not again.built:
        again.build(MEMORY, True)
    again.set_weights(decoder.get_weights())
    for one, other in zip(forced(again, *arrays), forced(decoder, *arrays), strict=True):
        np.testing.assert_array_equal(one, other)


def check_steps(settings):
    """Steps are teacher forcing; attention weights sum to 1 and are 0 at padding; `output_size` is true."""
    decoder, arrays = make(settings), batch()
    features, weights = forced(decoder, *arrays)
    x, _, encoded, mask = arrays
    assert features.shape == (*x.shape[:2], decoder.output_size)
    assert weights.shape == (*x.shape[:2], encoded.shape[1])
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert not weights.transpose(0, 2, 1)[~mask].any()
    x, encoded, mask = tensors(x, encoded, mask)
    for length in (None, x.shape[1]):
        stepped, step_weights, _ = steps(decoder, x, decoder.memory(encoded, mask), length)
        np.testing.assert_allclose(stepped, features, atol=1e-5)
        np.testing.assert_allclose(step_weights, weights, atol=1e-5)


def check_padding(settings):
    """Neither padding, of source and target, nor neighbours, nor the future change anything."""
    decoder, arrays = make(settings), batch()
    x, target_mask, encoded, mask = arrays
    features, weights = forced(decoder, *arrays)
    pad = ((0, 0), (0, 3))
    wide_x, wide = (np.pad(a, (*pad, (0, 0)), constant_values=9.0) for a in (x, encoded))
    wide[:, : encoded.shape[1]][~mask] = -50.0
    f, w = forced(decoder, wide_x, np.pad(target_mask, pad), wide, np.pad(mask, pad))
    np.testing.assert_allclose(f[:, :-3], features, atol=1e-6 * rounding(summed(settings)))
    np.testing.assert_allclose(w[:, :-3, :-3], weights, atol=1e-6 * rounding(summed(settings)))
    later = x.copy()
    later[:, 3:] = batch(seed=1)[0][:, 3:]
    f, _ = forced(decoder, later, target_mask, encoded, mask)
    np.testing.assert_allclose(f[:, :3], features[:, :3], atol=1e-5, err_msg="it sees the future")
    assert np.abs(f[:, 3:] - features[:, 3:]).max() > 1e-2
    for i in range(len(x)):
        s, t, row = mask[i].sum(), target_mask[i].sum(), slice(i, i + 1)
        f, w = forced(decoder, x[row, :t], target_mask[row, :t], encoded[row, :s], mask[row, :s])
        np.testing.assert_allclose(f[0], features[i, :t], atol=2e-6 * rounding(summed(settings)))
        np.testing.assert_allclose(w[0], weights[i, :t, :s], atol=2e-6 * rounding(summed(settings)))


def check_hypotheses(settings):
    """K hypotheses share the memory of their sentence as if it were repeated."""
    decoder = make(settings)
    x, _, encoded, mask = batch(rows=6)
    shared = decoder.memory(*tensors(encoded[:2], mask[:2]))
    repeated = decoder.memory(*tensors(np.repeat(encoded[:2], 3, 0), np.repeat(mask[:2], 3, 0)))
    (x,) = tensors(x[:, :3])
    one, other = steps(decoder, x, shared), steps(decoder, x, repeated)
    for values, expected in zip(one[:2], other[:2], strict=True):
        np.testing.assert_allclose(values, expected, atol=1e-6 * rounding(summed(settings)))
    assert {leaf.shape[0] for leaf in keras.tree.flatten(one[2])} == {6}
    assert {leaf.shape[0] for leaf in keras.tree.flatten(shared)} == {2}


def check_gradients(settings):
    """Every weight has a gradient in training and is in one group; so have target and source."""
    rates = {key: 0.0 for key in settings.arguments() if "drop" in key}
    decoder = make(settings, **rates)
    x, target_mask, encoded, mask = batch()

    def loss(x, encoded):
        features, _ = decoder(x, target_mask, decoder.memory(encoded, ops.convert_to_tensor(mask), True), training=True)
        factors = np.random.default_rng(2).normal(size=features.shape).astype("float32")
        return ops.sum(features * ops.convert_to_tensor(factors))

    for place, gradient in gradients(loss, decoder, [x, encoded]).items():
        assert gradient is not None and np.abs(gradient).max() > 1e-6, f"no gradient: {place}"
    groups = decoder.layer_groups()
    grouped = [v.path for group in groups for v in group]
    assert sorted(grouped) == sorted(v.path for v in decoder.trainable_variables)
    assert len(groups) >= settings.layers if "layers" in settings.arguments() else groups


def check_dropout(settings):
    off = {key: 0.0 for key in settings.arguments() if "drop" in key}
    arrays = batch()
    plain = make(settings, **off)
    still, _ = forced(plain, *arrays)
    for key in off:
        decoder = make(settings, **{**off, key: 0.5})
        decoder.set_weights(plain.get_weights())
        np.testing.assert_array_equal(forced(decoder, *arrays)[0], still, err_msg=key)
        assert np.abs(forced(decoder, *arrays, training=True)[0] - still).max() > 1e-3, f"{key} does nothing"


def check_mixed_precision(settings):
    decoder, exact = make(settings, dtype="mixed_bfloat16"), make(settings)
    arrays = batch()
    right = forced(exact, *arrays)
    x, target_mask, encoded, mask = tensors(*arrays)
    x, encoded = (ops.cast(a, decoder.compute_dtype) for a in (x, encoded))
    memory = decoder.memory(encoded, mask)
    features, weights = decoder(x, target_mask, memory)
    assert keras.backend.standardize_dtype(features.dtype) == "bfloat16"
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    stepped, step_weights, state = steps(decoder, x, memory)
    for rounded in ((numpy(features), numpy(weights)), (stepped, step_weights)):
        for values, expected in zip(rounded, right, strict=True):
            assert np.abs(values - expected).mean() < 0.03 * np.abs(expected).max()
    floats = [leaf for leaf in keras.tree.flatten(state) if keras.backend.is_float_dtype(leaf.dtype)]
    assert {keras.backend.standardize_dtype(leaf.dtype) for leaf in floats} == {"bfloat16"}


CHECKS = [check for name, check in list(globals().items()) if name.startswith("check_")]
