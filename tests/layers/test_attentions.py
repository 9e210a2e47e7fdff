"""Attentions, and whole decoders on top of them, against their equations in NumPy; masks, configuration, errors."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.errors import ConfigError, UnknownNameError
from nlp_suite.registry import ATTENTIONS, DECODERS

Q, D, E = 12, 12, 4  # features of a query (units of a decoder), of a memory, of an embedding
EQUATIONS = {  # what `attend` knows
    "bahdanau of 5": ("bahdanau", {"units": 5}),
    "dot": ("luong", {"score": "dot"}),
    "general": ("luong", {"score": "general"}),
    "concat": ("luong", {"score": "concat", "units": 4}),
    "3 heads": ("scaled_dot", {"heads": 3}),
}
VARIANTS = {**{name: (name, {}) for name in ATTENTIONS.names()}, **EQUATIONS}  # a new one is tested by being there


def shaken(layer):
    """The layer with all its weights moved from where they start."""
    noise = np.random.default_rng(1)
    for v in layer.trainable_variables:
        v.assign(v + noise.normal(0, 0.3, v.shape))
    return layer


def make(name):
    keras.utils.set_random_seed(2)
    kind, settings = VARIANTS[name]
    attention = ATTENTIONS.get(kind)(**settings)
    attention.build(Q, D)
    return shaken(attention)


def value(variable):
    return ops.convert_to_numpy(variable).astype("float64")


def numpy(tensors):
    return [ops.convert_to_numpy(tensor) for tensor in tensors]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(scores):
    e = np.exp(scores - scores.max())
    return e / e.sum()


def arrays(features=Q, rows=3, target=4, source=5):
    random = np.random.default_rng(0)
    mask = np.arange(source) < np.array([source, 1, 3])[:rows, None]
    query, memory = random.normal(0, 1, (rows, target, features)), random.normal(0, 1, (rows, source, D))
    return query.astype("float32"), memory.astype("float32"), mask


def attend(attention, query, memory):
    """Context [D] and weights [S] of a query [Q] over a memory [S, D] without padding, written from the papers."""
    kind = type(attention).__name__ + getattr(attention, "kind", "")
    if kind == "ScaledDotAttention":
        q, k = query @ value(attention.query_kernel), memory @ value(attention.key_projection.kernel)
        v, size = memory @ value(attention.value_projection.kernel), Q // attention.heads
        heads = [slice(h * size, (h + 1) * size) for h in range(attention.heads)]
        weights = [softmax(k[:, h] @ q[h] / np.sqrt(size)) for h in heads]
        return np.concatenate([w @ v[:, h] for w, h in zip(weights, heads, strict=True)]), np.mean(weights, 0)
    if kind == "LuongAttentiondot":
        scores = memory @ query
    elif kind == "LuongAttentiongeneral":
        scores = memory @ value(attention.key_projection.kernel) @ query
    else:
        hidden = query @ value(attention.query_kernel) + memory @ value(attention.key_projection.kernel)
        if kind == "BahdanauAttention":
            hidden = hidden + value(attention.key_projection.bias)
        scores = np.tanh(hidden) @ value(attention.v)[:, 0]
    weights = softmax(scores)
    return weights @ memory, weights


@pytest.mark.parametrize("name", VARIANTS)
def test_weights_sum_to_one_and_padding_changes_nothing(name):
    attention = make(name)
    query, memory, mask = arrays()
    context, weights = numpy(attention(query, attention.prepare(memory, ops.convert_to_tensor(mask))))
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
    assert context.shape == (3, 4, attention.context_size) and not weights.transpose(0, 2, 1)[~mask].any()
    for row, length in enumerate(mask.sum(1)):
        one = slice(row, row + 1)
        prepared = attention.prepare(memory[one, :length], ops.ones((1, length), "bool"))
        assert {leaf.shape[0] for leaf in keras.tree.flatten(prepared)} == {1}
        alone_context, alone_weights = numpy(attention(query[one], prepared))
        np.testing.assert_allclose(alone_context, context[one], atol=1e-6)
        np.testing.assert_allclose(alone_weights, weights[one, :, :length], atol=1e-6)


@pytest.mark.parametrize("name", EQUATIONS)
def test_attention_is_its_equation(name):
    attention = make(name)
    query, memory, mask = arrays()
    context, weights = numpy(attention(query, attention.prepare(memory, ops.convert_to_tensor(mask))))
    assert weights.dtype == "float32"
    assert weights.shape == (3, 4, 5)
    for b, length in enumerate(mask.sum(1)):
        for t in range(4):
            c, w = attend(attention, query[b, t].astype("float64"), memory[b, :length].astype("float64"))
            np.testing.assert_allclose(context[b, t], c, atol=1e-5)
            np.testing.assert_allclose(weights[b, t, :length], w, atol=1e-6)
            assert not weights[b, t, length:].any()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_a_row_without_tokens_gives_numbers(name, dtype):
    kind, settings = VARIANTS[name]
    attention = ATTENTIONS.get(kind)(**settings, dtype=dtype)
    attention.build(Q, D)
    query, memory, mask = arrays()
    mask[1] = False
    context, weights = attention(query, attention.prepare(memory, ops.convert_to_tensor(mask)))
    assert keras.backend.standardize_dtype(weights.dtype) == "float32"
    assert np.isfinite(ops.convert_to_numpy(ops.cast(context, "float32"))).all()
    np.testing.assert_allclose(ops.convert_to_numpy(weights)[1], 1 / 5, atol=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_config_round_trip(name):
    attention = make(name)
    again = type(attention).from_config(attention.get_config())
    again.build_from_config(attention.get_build_config())
    assert again.get_config() == attention.get_config()
    assert [v.shape for v in again.weights] == [v.shape for v in attention.weights]


def test_errors_name_what_was_given():
    with pytest.raises(UnknownNameError, match="'genral': did you mean 'general'.*dot, general, concat"):
        ATTENTIONS.get("luong")(score="genral")
    with pytest.raises(ConfigError, match="6 and 8 features"):
        ATTENTIONS.get("luong")(score="dot").build(6, 8)
    with pytest.raises(ConfigError, match="9 features of the memory cannot be split into 4 heads"):
        ATTENTIONS.get("scaled_dot")(heads=4).build(8, 9)


def gru(cell, x, h):
    """Cho et al. (2014) with the reset gate after the product, as in cuDNN; gates z, r, h as in Keras."""
    kernel, recurrent, bias = map(value, (cell.kernel, cell.recurrent_kernel, cell.bias))
    a, b = np.split(x @ kernel + bias[0], 3), np.split(h @ recurrent + bias[1], 3)
    z, r = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
    return z * h + (1 - z) * np.tanh(a[2] + r * b[2])


def lstm(cell, x, h, c):
    i, f, g, o = np.split(x @ value(cell.kernel) + h @ value(cell.recurrent_kernel) + value(cell.bias), 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def affine_tanh(dense, x):
    return np.tanh(x @ value(dense.kernel) + (value(dense.bias) if dense.use_bias else 0))


def bahdanau_decoder(d, x, memory):
    """Bahdanau et al. (2015), A.2.2, a GRU: c_t from s_{t-1}; s_t from y, c_t; features tanh(W [s; c; y])."""
    s, features, weights = affine_tanh(d.bridge, memory.mean(0)), [], []
    for y in x:
        c, w = attend(d.attention, s, memory)
        s = gru(d.recurrent[0].cell, np.concatenate([y, c]), s)
        features.append(affine_tanh(d.deep, np.concatenate([s, c, y])))
        weights.append(w)
    return features, weights


def luong_decoder(d, x, memory):
    """Luong et al. (2015), §3.1 and §3.3, an LSTM: features and input of the next step tanh(W [c; h])."""
    half = D // 2
    h, c = np.split(affine_tanh(d.bridge, np.concatenate([memory[-1, :half], memory[0, half:]])), 2)
    attentional, features, weights = np.zeros(Q), [], []
    for y in x:
        h, c = lstm(d.recurrent[0].cell, np.concatenate([y, attentional]), h, c)
        context, w = attend(d.attention, h, memory)
        attentional = affine_tanh(d.attentional, np.concatenate([context, h]))
        features.append(attentional)
        weights.append(w)
    return features, weights


def nematus_decoder(d, x, memory):
    """The conditional GRU of Sennrich et al. (2017), equations 2 to 9."""
    s, features, weights = np.zeros(Q), [], []
    for y in x:
        proposal = gru(d.recurrent[0].cell, y, s)
        c, w = attend(d.attention, proposal, memory)
        s = gru(d.second.cell, c, proposal)
        features.append(affine_tanh(d.deep, np.concatenate([s, c, y])))
        weights.append(w)
    return features, weights


def plain_luong_decoder(d, x, memory):
    """Luong et al. (2015), §3.1 without input feeding: the context does not enter the GRU."""
    h, features, weights = affine_tanh(d.bridge, memory.mean(0)), [], []
    for y in x:
        h = gru(d.recurrent[0].cell, y, h)
        c, w = attend(d.attention, h, memory)
        features.append(affine_tanh(d.attentional, np.concatenate([c, h])))
        weights.append(w)
    return features, weights


@pytest.mark.parametrize(
    "cell, settings, oracle",
    [
        ("gru", {"attention": "bahdanau"}, bahdanau_decoder),
        ("gru", {"attention": "bahdanau", "conditional": True, "bridge": "zero"}, nematus_decoder),
        ("lstm", {"attention": "luong", "bridge": "last"}, luong_decoder),
        ("lstm", {"attention": {"name": "scaled_dot", "heads": 2}, "bridge": "last"}, luong_decoder),
        ("gru", {"attention": {"name": "luong", "score": "concat"}, "input_feeding": False}, plain_luong_decoder),
    ],
)
def test_decoder_is_its_equations(cell, settings, oracle):
    decoder = DECODERS.get(cell)(embedding_size=E, units=Q, **settings)
    decoder.build(D, bidirectional_memory=True)
    shaken(decoder)
    x, memory, mask = arrays(E)
    features, weights = numpy(decoder(x, np.ones(x.shape[:2], bool), decoder.memory(memory, mask)))
    for b, length in enumerate(mask.sum(1)):
        f, w = oracle(decoder, x[b].astype("float64"), memory[b, :length].astype("float64"))
        np.testing.assert_allclose(features[b], f, atol=2e-6)
        np.testing.assert_allclose(weights[b, :, :length], w, atol=2e-6)
