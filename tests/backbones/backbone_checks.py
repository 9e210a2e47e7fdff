"""The contract of a backbone, checked for any one of the registry: `run_backbone_checks("lstm", units=6)`."""

import tempfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.registry import BACKBONES
from tests.backbones.gradients import gradients, numpy, rounding

VOCABULARY, WIDTH, ROWS, LENGTH = 50, 8, 4, 7


def run_backbone_checks(name: str, without=(), **settings) -> None:
    """Checks a backbone with the given settings against everything that `Backbone` promises, but for some of `CHECKS`."""
    chosen = BACKBONES.settings(name).model_validate({"name": name, "embedding_size": WIDTH, **settings})
    for check in CHECKS:
        if check not in without:
            check(chosen)


def make(settings, vocabulary_size=VOCABULARY, dtype=None, seed=3, **changes):
    """A built backbone; every weight is moved from where it starts, biases and gains too."""
    keras.utils.set_random_seed(seed)
    backbone = BACKBONES.get(settings.name)(vocabulary_size, **{**settings.arguments(), **changes}, dtype=dtype)
    backbone.build((None, None) if vocabulary_size else (None, None, backbone.embedding_size))
    noise = np.random.default_rng(seed)
    for weight in backbone.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(weight + noise.normal(0, 0.1, weight.shape))
    return backbone


def without_dropout(settings) -> dict:
    """Every rate of dropout, 0; one that follows another by default keeps to that."""
    fields = type(settings).model_fields
    return {key: None if fields[key].default is None else 0.0 for key in settings.arguments() if "drop" in key}


def padded_tokens(rows=ROWS, length=LENGTH, seed=0):
    """Token ids `[B, T]`, right-padded, the first row full, and their lengths."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, length + 1, rows)
    lengths[0] = length
    ids = random.integers(1, VOCABULARY, (rows, length))
    return np.where(np.arange(length) < lengths[:, None], ids, 0).astype("int32"), lengths


def numbers(width=WIDTH, seed=0):
    """Features `[B, T, E]` and their mask `[B, T]`."""
    tokens, _ = padded_tokens()
    return np.random.default_rng(seed).normal(size=(*tokens.shape, width)).astype("float32"), tokens != 0


def embedded(backbone, tokens):
    """What `encode` reads of token ids, and its mask."""
    tokens = ops.convert_to_tensor(tokens)
    return backbone.embed(tokens), backbone.embedding_mask(tokens)


def counted(backbone, features, mask):
    """The features of the places that count, `[N, D]`."""
    return numpy(features)[numpy(backbone.output_mask(ops.convert_to_tensor(mask)))]


def check_declarations(settings):
    backbone, (tokens, _) = make(settings), padded_tokens()
    features = backbone(tokens)
    places = LENGTH if backbone.returns_sequence else numpy(backbone.output_mask(tokens != 0)).shape[1]
    assert features.shape == (ROWS, places, backbone.output_size)
    assert backbone.compute_output_spec(keras.KerasTensor((None, None), "int32")).shape[-1] == backbone.output_size
    assert settings.is_causal is backbone.causal and settings.carries_state is backbone.carries_state
    assert settings.context_limit == backbone.context_limit
    assert backbone.context_limit is None or (backbone.causal and backbone.context_limit > 0)
    assert backbone.causal or not backbone.carries_state, "a state that continues a sequence knows the past only"
    assert not (backbone.bidirectional and (backbone.causal or backbone.output_size % 2))
    if settings.context_key and backbone.causal:
        assert settings.with_context_limit(7).context_limit == 7
    else:
        assert settings.with_context_limit(7).context_limit == settings.context_limit


def check_config(settings):
    backbone, (tokens, _) = make(settings), padded_tokens()
    config = backbone.get_config()
    assert {key: config[key] for key in settings.arguments()} == settings.arguments()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(backbone))
    assert again.get_config() == config
    again.build((None, None))
    assert [w.shape for w in again.weights] == [w.shape for w in backbone.weights]
    again.set_weights(backbone.get_weights())
    np.testing.assert_array_equal(numpy(again(tokens)), numpy(backbone(tokens)))


def check_files(settings):
    tokens, _ = padded_tokens()
    models = []
    for seed in (3, 4):
        symbolic = keras.Input((None,), dtype="int32")
        models.append(keras.Model(symbolic, make(settings, seed=seed)(symbolic)))
    model, other = models
    features = numpy(model(tokens))
    assert np.abs(numpy(other(tokens)) - features).max() > 0
    with tempfile.TemporaryDirectory() as folder:
        model.save_weights(Path(folder) / "m.weights.h5")
        other.load_weights(Path(folder) / "m.weights.h5")
        model.save(Path(folder) / "m.keras")
        loaded = keras.saving.load_model(Path(folder) / "m.keras")
    for same in (other, loaded):
        np.testing.assert_array_equal(numpy(same(tokens)), features)


def check_padding(settings):
    backbone, (tokens, lengths) = make(settings), padded_tokens()
    together = numpy(backbone(tokens))
    wide = np.pad(tokens, ((0, 0), (0, 6)))
    np.testing.assert_allclose(
        counted(backbone, backbone(wide), wide != 0),
        counted(backbone, together, tokens != 0),
        atol=2e-6 * rounding(backbone.output_size),
    )
    for row, length in enumerate(lengths):
        alone = tokens[row : row + 1, :length]
        features = counted(backbone, backbone(alone), alone != 0)
        np.testing.assert_allclose(features, together[row, : len(features)], atol=5e-6 * rounding(backbone.output_size))
    assert numpy(backbone.output_mask(tokens != 0)).any(axis=1).all()


def check_encode(settings):
    backbone, (tokens, _) = make(settings), padded_tokens()
    features, _ = backbone.encode(*embedded(backbone, tokens))
    np.testing.assert_allclose(numpy(features), numpy(backbone(tokens)), atol=1e-5)
    width = (
        {} if "architecture" in settings.arguments() else {"embedding_size": 2 * WIDTH}
    )  # a pretrained one has its own
    for encoder in (backbone, make(settings, None, **width, **token_settings_off(settings))):
        x, mask = numbers(encoder.embedding_size)
        features, _ = encoder.encode(x, mask)
        assert features.shape[-1] == encoder.output_size
        for changed in (np.where(mask[..., None], x, 7.0), np.where(mask[..., None], x, -50.0)):
            other, _ = encoder.encode(changed, mask)
            np.testing.assert_allclose(
                counted(encoder, other, mask), counted(encoder, features, mask), atol=1e-5, err_msg="padding is seen"
            )
        other, _ = encoder.encode(numbers(encoder.embedding_size, seed=1)[0], mask)
        assert np.abs(numpy(other) - numpy(features)).max() > 1e-3
    assert encoder.embedding is None and encoder.get_config()["vocabulary_size"] is None
    with pytest.raises(ValueError, match="no vocabulary"):
        encoder.embed(tokens)


def token_settings_off(settings) -> dict:
    """Settings that need token ids, off."""
    return {
        key: type(settings).model_fields[key].default
        for key in settings.arguments()
        if key in ("word_dropout", "type_dropout", "naive_bayes")
    }


def check_gradients(settings):
    backbone, (tokens, _) = make(settings, **without_dropout(settings)), padded_tokens(rows=40)
    x, mask = numbers()
    encoder = make(settings, None, **{**without_dropout(settings), **token_settings_off(settings)})

    def loss(features):
        factors = np.random.default_rng(2).normal(size=features.shape).astype("float32")
        return ops.sum(features * ops.convert_to_tensor(factors))

    for layer, function in (
        (backbone, lambda: loss(backbone(tokens, training=True))),
        (encoder, lambda: loss(encoder.encode(x, mask, training=True)[0])),
    ):
        for path, gradient in gradients(function, layer).items() if layer.trainable_variables else ():
            if path.endswith("key/bias"):  # it moves all scores of a query alike, so the softmax does not see it
                continue
            assert gradient is not None and np.abs(gradient).max() > 1e-6, f"no gradient: {path}"
        grouped = [variable.path for group in layer.layer_groups() for variable in group]
        assert sorted(grouped) == sorted(variable.path for variable in layer.trainable_variables)
    groups = backbone.layer_groups()
    assert all(groups) and any(variable is backbone.embedding.embeddings for variable in groups[0])
    backbone.embedding.trainable = False
    assert len(backbone.layer_groups()) == len(groups)


def check_dropout(settings):
    off = without_dropout(settings)
    tokens, _ = padded_tokens(rows=10)
    plain = make(settings, **off)
    still = numpy(plain(tokens))
    for key in off:
        backbone = make(settings, **{**off, key: 0.5})
        backbone.set_weights(plain.get_weights())
        np.testing.assert_array_equal(numpy(backbone(tokens, training=False)), still, err_msg=key)
        if key in ("word_dropout", "type_dropout", "embedding_dropout"):
            dropped = backbone(tokens, training=True)
        else:  # with no Keras call around it that says whether it is training
            dropped, _ = backbone.encode(*embedded(backbone, tokens), training=True)
        assert np.abs(numpy(dropped) - still).max() > 0.01 * np.abs(still).max(), f"{key} does nothing"


def check_steps(settings):
    backbone = make(settings)
    if not backbone.causal:
        with pytest.raises(ValueError, match="not causal"):
            backbone.initial_state(ROWS)
        return
    length = min(LENGTH, backbone.context_limit or LENGTH)
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, (ROWS, length)).astype("int32")
    whole = numpy(backbone(tokens))  # [B, T, D]
    stepped, state = steps(backbone, tokens)
    np.testing.assert_allclose(stepped, whole, atol=2e-6 * rounding(backbone.output_size))
    assert {leaf.shape[0] for leaf in keras.tree.flatten(state)} == {ROWS}
    earlier = length // 2
    changed = tokens.copy()
    changed[:, earlier:] = changed[:, earlier:] % (VOCABULARY - 1) + 1
    other = numpy(backbone(changed))
    np.testing.assert_allclose(
        other[:, :earlier], whole[:, :earlier], atol=2e-6 * rounding(backbone.output_size), err_msg="it sees the future"
    )
    assert np.abs(other[:, earlier:] - whole[:, earlier:]).max() > 1e-3


def steps(backbone, tokens):
    """Features `[B, T, D]` of one step after another, and the last state."""
    x, state, features = backbone.embed(ops.convert_to_tensor(tokens)), backbone.initial_state(len(tokens)), []
    for t in range(tokens.shape[1]):
        feature, state = backbone.step(x[:, t], state)
        features.append(numpy(feature))
    return np.stack(features, axis=1), state


def check_state(settings):
    backbone = make(settings)
    x, mask = numbers()
    whole, state = backbone.encode(x, mask)
    if not backbone.carries_state:
        assert state is None
        with pytest.raises(ValueError, match="carries no state"):
            backbone.encode(x, mask, state=[x])
        return
    first, middle = backbone.encode(x[:, :4], mask[:, :4])
    second, last = backbone.encode(x[:, 4:], mask[:, 4:], state=middle)
    halves = np.concatenate([numpy(first), numpy(second)], axis=1)
    np.testing.assert_allclose(halves[mask], numpy(whole)[mask], atol=2e-6 * rounding(backbone.output_size))
    tokens, _ = padded_tokens()
    from_start, after = backbone(tokens, state=backbone.initial_state(ROWS))
    np.testing.assert_allclose(numpy(from_start), numpy(backbone(tokens)), atol=1e-5)
    keras.tree.assert_same_structure(after, last)
    flat = [keras.tree.flatten(tree) for tree in (last, state)]
    for one, other in zip(*flat, strict=True):
        np.testing.assert_allclose(numpy(one), numpy(other), atol=1e-5, err_msg="padding is in the state")


def check_context_limit(settings):
    settings = settings.with_context_limit(4)
    if settings.context_limit is None:
        return
    one_layer = (
        {"layers": 1} if "layers" in settings.arguments() else {}
    )  # a higher layer looks further, through others
    backbone = make(settings, **one_layer)
    limit = backbone.context_limit
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, (ROWS, 3 * limit)).astype("int32")
    features = steps(backbone, tokens)[0]
    assert np.isfinite(features).all()
    for place, is_seen in ((-limit - 1, False), (-limit, True)):
        changed = tokens.copy()
        changed[:, place] = changed[:, place] % (VOCABULARY - 1) + 1
        difference = np.abs(steps(backbone, changed)[0][:, -1] - features[:, -1]).max()
        assert (difference > 1e-5) == is_seen, f"context_limit {limit}, but the token at {place}: {difference}"


def check_mixed_precision(settings):
    backbone, exact = make(settings, dtype="mixed_bfloat16"), make(settings)
    x, mask = numbers()
    tokens, _ = padded_tokens()
    for rounded, right in (
        (backbone(tokens), exact(tokens)),
        (backbone.encode(x, mask)[0], exact.encode(x, mask)[0]),
    ):
        assert keras.backend.standardize_dtype(rounded.dtype) == "bfloat16"
        assert_close_in_the_mean(numpy(rounded), numpy(right))
    assert {w.dtype for w in backbone.trainable_weights} == {"float32"}
    if backbone.causal:
        stepped, state = steps(backbone, tokens[:1])
        limit = backbone.context_limit or LENGTH
        assert_close_in_the_mean(stepped[:, :limit], numpy(exact(tokens[:1]))[:, :limit])
        floats = [leaf for leaf in keras.tree.flatten(state) if keras.backend.is_float_dtype(leaf.dtype)]
        assert {keras.backend.standardize_dtype(leaf.dtype) for leaf in floats} == {"bfloat16"}


def assert_close_in_the_mean(rounded, right):
    assert np.abs(rounded - right).mean() < 0.02 * np.abs(right).max()


def check_symbolic(settings):
    """`call` on symbolic tensors leaves nothing but stock Keras, with the same numbers."""
    backbone, (tokens, _) = make(settings), padded_tokens()
    symbolic = keras.Input((None,), dtype="int32")
    plain = keras.Model(symbolic, backbone.call(symbolic))
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    np.testing.assert_allclose(
        numpy(plain(tokens)), numpy(backbone(tokens)), atol=1e-5
    )  # a backend may fuse differently


def check_graph(settings):
    """In a TensorFlow graph of unknown sizes it has the same numbers, and no op that a stock server lacks."""
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    backbone, (tokens, _) = make(settings), padded_tokens()
    graph = tf.function(backbone, input_signature=[tf.TensorSpec([None, None], tf.int32)]).get_concrete_function()
    definition = graph.graph.as_graph_def()
    used = {n.op for n in definition.node} | {n.op for f in definition.library.function for n in f.node_def}
    assert not [op for op in used if op.startswith("Xla") or "PyFunc" in op]
    np.testing.assert_allclose(numpy(graph(tf.constant(tokens))), numpy(backbone(tokens)), atol=1e-5)


CHECKS = [check for name, check in list(globals().items()) if name.startswith("check_")]
