"""Every backbone: padding changes nothing, batch = one by one, gradients everywhere, saved = loaded, steps = sequence."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.config import load_experiment
from nlp_suite.registry import BACKBONES, TASKS
from tests.sized import sized

VOCABULARY = 50
VARIANTS = {
    "bag": {"name": "bag", "ngrams": 3, "ngram_buckets": 64, "hidden": [6], "average": "sqrt", "activation": "tanh"},
    "bag-bayes": {"name": "bag", "ngrams": 2, "ngram_buckets": 64, "naive_bayes": True},
    "cnn": {"name": "cnn", "filters": 5, "layers": 2},
    "rnn": {"name": "rnn", "units": 6},
    "lstm": {"name": "lstm", "units": 6, "layers": 2, "residual": True, "layer_norm": True},
    "lstm-causal": {"name": "lstm", "units": 6, "bidirectional": False, "layers": 2},
    "lstm-last": {"name": "lstm", "units": 4, "layers": 2, "last_units": 6, "layer_norm": True, "residual": True},
    "lstm-causal-awd": {
        "name": "lstm",
        "units": 10,
        "layers": 2,
        "last_units": 8,
        "bidirectional": False,
        "type_dropout": 0.1,
        "embedding_dropout": 0.4,
        "dropout": 0.25,
        "last_dropout": 0.4,
        "weight_drop": 0.5,
    },
    "gru": {"name": "gru", "units": 6},
    "gru-causal": {"name": "gru", "units": 8, "bidirectional": False, "residual": True},
    "gru-causal-last": {"name": "gru", "units": 5, "layers": 2, "last_units": 8, "bidirectional": False},
    "rnn-causal": {"name": "rnn", "units": 6, "bidirectional": False, "layer_norm": True, "activation": "relu"},
    "transformer": {"name": "transformer", "heads": 2, "feed_forward": 16},
    "transformer-post": {"name": "transformer", "heads": 2, "feed_forward": 16, "norm": "post", "positions": "learned"},
    "transformer-rotary": {"name": "transformer", "heads": 2, "feed_forward": 16, "positions": "rotary"},
    "transformer-causal": {"name": "transformer", "heads": 2, "feed_forward": 16, "causal": True},
    "transformer-causal-rotary": {"name": "transformer", "heads": 2, "causal": True, "positions": "rotary"},
    "transformer-causal-learned": {"name": "transformer", "heads": 4, "causal": True, "positions": "learned"},
}
CAUSAL = [name for name in VARIANTS if "causal" in name]
RECURRENT_CAUSAL = [name for name in CAUSAL if "transformer" not in name]
LABELS = ["bad", "fair", "good"]


def make(name, **task):
    keras.utils.set_random_seed(3)
    experiment = load_experiment(
        {"backbone": {"embedding_size": 8, **VARIANTS[name]}, "task": {"name": "sentiment", **task}}
    )
    task = TASKS.get("sentiment")(**experiment.task.arguments())
    return task, task.model(experiment.backbone, sized(VOCABULARY, LABELS))


def tokens(rows=5, length=11, seed=0):
    random = np.random.default_rng(seed)
    lengths = random.integers(1, length + 1, rows)
    lengths[0] = length
    ids = random.integers(1, VOCABULARY, (rows, length))
    return np.where(np.arange(length) < lengths[:, None], ids, 0).astype("int32"), lengths


@pytest.mark.parametrize("name", VARIANTS)
def test_padding_and_neighbours_change_nothing(name):
    _, model = make(name, pooling=["last", "mean", "max", "attention"])
    batch, lengths = tokens()
    together = ops.convert_to_numpy(model(batch))
    wider = ops.convert_to_numpy(model(np.pad(batch, ((0, 0), (0, 6)))))
    np.testing.assert_allclose(wider, together, atol=2e-6)
    alone = [ops.convert_to_numpy(model(batch[i : i + 1, : lengths[i]]))[0] for i in range(len(batch))]
    np.testing.assert_allclose(alone, together, atol=5e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_trains_reloads_and_every_weight_has_a_gradient(name, tmp_path):
    pooling = ["mean"] if name.startswith("bag") else ["mean", "attention"]  # one vector leaves attention no choice
    task, model = make(name, pooling=pooling, hidden=4)
    batch, _ = tokens(rows=40)
    before = [ops.convert_to_numpy(w) for w in model.trainable_weights]
    model.compile(keras.optimizers.SGD(1.0), task.loss(), weighted_metrics=task.metrics(LABELS), jit_compile=False)
    model.fit(batch, np.arange(40) % 3, batch_size=40, epochs=1, verbose=0)
    for weight, old in zip(model.trainable_weights, before):
        assert np.abs(ops.convert_to_numpy(weight) - old).max() > 0, f"no gradient: {weight.path}"
    answers = ops.convert_to_numpy(model(batch))
    model.save_weights(tmp_path / "w.weights.h5")
    _, fresh = make(name, pooling=pooling, hidden=4)
    fresh.load_weights(tmp_path / "w.weights.h5")
    np.testing.assert_array_equal(ops.convert_to_numpy(fresh(batch)), answers)
    model.save(tmp_path / "m.keras")
    np.testing.assert_array_equal(ops.convert_to_numpy(keras.saving.load_model(tmp_path / "m.keras")(batch)), answers)


@pytest.mark.parametrize("name", VARIANTS)
def test_config_round_trip(name):
    backbone = make(name)[1].backbone
    assert type(backbone).from_config(backbone.get_config()).get_config() == backbone.get_config()


@pytest.mark.parametrize("name", VARIANTS)
def test_inlined_on_symbolic_tensors_it_is_stock_keras_with_the_same_numbers(name):
    _, model = make(name, pooling=["last", "attention"], hidden=4)
    symbolic = keras.Input((None,), dtype="int32")
    plain = keras.Model(symbolic, model.call(symbolic))
    assert {type(layer).__module__.split(".")[0] for layer in plain.layers} == {"keras"}
    batch, _ = tokens()
    inlined, direct = ops.convert_to_numpy(plain(batch)), ops.convert_to_numpy(model(batch))
    np.testing.assert_allclose(inlined, direct, atol=1e-5)  # rounded apart where a backend fuses differently


@pytest.mark.parametrize("name", CAUSAL)
def test_step_by_step_equals_the_sequence_and_the_future_is_unseen(name):
    backbone = make(name)[1].backbone
    batch = np.random.default_rng(0).integers(1, VOCABULARY, (4, 9)).astype("int32")
    whole = ops.convert_to_numpy(backbone(batch))  # [B, T, D]
    state, embedded = backbone.initial_state(4), backbone.embed(batch)
    for t in range(9):
        features, state = backbone.step(embedded[:, t], state)
        np.testing.assert_allclose(ops.convert_to_numpy(features), whole[:, t], atol=2e-6)
    changed = batch.copy()
    changed[:, 5:] = 1
    np.testing.assert_allclose(ops.convert_to_numpy(backbone(changed))[:, :5], whole[:, :5], atol=2e-6)


@pytest.mark.parametrize("name", RECURRENT_CAUSAL)
def test_state_carries_a_sequence_over_two_calls(name):
    backbone = make(name)[1].backbone
    batch = np.random.default_rng(0).integers(1, VOCABULARY, (4, 9)).astype("int32")
    whole = ops.convert_to_numpy(backbone(batch))
    first, state = backbone(batch[:, :4], state=backbone.initial_state(4))
    second, _ = backbone(batch[:, 4:], state=state)
    parts = np.concatenate([ops.convert_to_numpy(first), ops.convert_to_numpy(second)], axis=1)
    np.testing.assert_allclose(parts, whole, atol=2e-6)


@pytest.mark.parametrize("name", ["lstm-causal-awd", "gru-causal", "rnn-causal"])
def test_a_carried_state_has_no_dropout_in_it(name):
    rates = {"dropout": 0.6, "embedding_dropout": 0.3, "type_dropout": 0.3}
    if "lstm" in name:  # which `VARIANTS` give none of its own
        rates = {}
    keras.utils.set_random_seed(3)
    settings = {"embedding_size": 8, **VARIANTS[name], **rates}
    backbone = BACKBONES.get(settings.pop("name"))(vocabulary_size=VOCABULARY, **settings)
    batch = np.random.default_rng(0).integers(1, VOCABULARY, (4, 30)).astype("int32")
    features, state = backbone(batch, state=backbone.initial_state(4), training=True)
    hidden = ops.convert_to_numpy(state[-1][0])
    dropped = (ops.convert_to_numpy(features) == 0).all(axis=1)  # [B, D]: the same features at every step
    assert dropped.any() and not dropped.all()
    if name != "rnn-causal":  # whose ReLU gives zeros of its own
        assert (hidden != 0).all()
    again, after = backbone(batch, state=state, training=True)
    fresh, _ = backbone(batch, state=state, training=True)
    assert np.abs(ops.convert_to_numpy(again) - ops.convert_to_numpy(fresh)).max() > 1e-3, "every call draws its masks"
    assert [[s.shape for s in layer] for layer in after] == [[s.shape for s in layer] for layer in state]


@pytest.mark.parametrize("name", ["lstm", "transformer", "cnn", "bag"])
def test_not_causal_is_said(name):
    with pytest.raises(ValueError, match="not causal"):
        make(name)[1].backbone.initial_state(2)


DROPOUTS = [
    (name, key)
    for name in BACKBONES.names()
    for key in BACKBONES.settings(name).model_fields
    if "drop" in key and "attention" not in key
]


@pytest.mark.parametrize("name, rate", DROPOUTS)
def test_dropout_is_for_training_only(name, rate):
    settings = BACKBONES.settings(name)(name=name, embedding_size=8, **{rate: 0.5})
    backbone = BACKBONES.get(name)(vocabulary_size=VOCABULARY, **settings.arguments())
    batch, _ = tokens()
    still = [ops.convert_to_numpy(backbone(batch, training=False)) for _ in range(2)]
    np.testing.assert_array_equal(*still)
    change = np.abs(ops.convert_to_numpy(backbone(batch, training=True)) - still[0]).max()
    assert change > 0.01 * np.abs(still[0]).max()


def test_heads_must_divide_the_features():
    with pytest.raises(ValueError, match="8 features cannot be split into 3 heads"):
        BACKBONES.get("transformer")(VOCABULARY, embedding_size=8, heads=3)(np.ones((1, 2), "int32"))


def test_the_prior_of_a_bag_is_the_log_count_ratio():
    backbone = BACKBONES.get("bag")(vocabulary_size=8, embedding_size=1, ngrams=2, ngram_buckets=64, naive_bayes=True)
    backbone.build((None, None))
    texts = np.array([[4, 5, 0], [4, 4, 6], [4, 7, 0]], "int32")
    backbone.learn_prior([(texts[:2], np.array([0, 1])), (texts[2:], np.array([0]))], classes=2)
    prior = ops.convert_to_numpy(backbone.priors[0].embeddings)[:, 0]
    # texts with each word, plus one: word 4 is in 2 of class 0 and 1 of class 1, word 5 in 1 and 0, word 6 in 0 and 1
    first, second = np.array([1, 1, 1, 1, 3, 2, 1, 2]), np.array([1, 1, 1, 1, 2, 1, 2, 1])
    ratio = np.log(first / first.sum()) - np.log(second / second.sum())
    np.testing.assert_allclose(prior, np.abs(ratio), rtol=1e-5)
    _, bigrams = (ops.convert_to_numpy(ids) for ids in backbone.ids(ops.convert_to_tensor(texts)))
    pairs = ops.convert_to_numpy(backbone.priors[1].embeddings)[:, 0]
    unseen = sorted(set(range(1, 64)) - set(bigrams.ravel().tolist()))
    assert len({float(pairs[i]) for i in unseen}) == 1 and pairs[bigrams[0, 0]] > pairs[unseen[0]]


@pytest.mark.parametrize("name", VARIANTS)
def test_layer_groups_have_every_trainable_variable_once_from_bottom_to_top(name):
    backbone = make(name)[1].backbone
    groups = backbone.layer_groups()
    listed = [variable.path for group in groups for variable in group]
    assert sorted(listed) == sorted(variable.path for variable in backbone.trainable_variables)
    assert any(variable is backbone.embedding.embeddings for variable in groups[0])
    layers = VARIANTS[name].get("layers", 2 if "transformer" in name else len(VARIANTS[name].get("hidden", [1])))
    assert len(groups) == 1 + (0 if name == "bag-bayes" else layers) and all(groups)
    backbone.embedding.trainable = False
    assert len(backbone.layer_groups()) == len(groups)


def test_type_dropout_drops_a_word_wherever_it_stands():
    backbone = BACKBONES.get("cnn")(vocabulary_size=30, embedding_size=4, type_dropout=0.5)
    backbone.build((None, None))
    batch = np.random.default_rng(0).integers(1, 30, (20, 15)).astype("int32")
    plain = ops.convert_to_numpy(backbone.embedding(batch))
    masks = []
    for _ in range(2):
        backbone.drop_features.call(plain, training=True)  # off, and draws nothing
        factor = ops.convert_to_numpy(backbone.drop_types(plain, batch, training=True)) / plain
        values = [np.unique(factor[batch == token].round(4)) for token in range(1, 30)]
        assert all(len(value) == 1 and value[0] in (0, 2) for value in values)
        masks.append([float(value[0]) for value in values])
    assert 0.2 < np.mean(np.array(masks) == 0) < 0.8 and masks[0] != masks[1]


def test_the_last_layer_has_its_own_size_and_dropout():
    settings = VARIANTS["lstm-causal-awd"]
    backbone = make("lstm-causal-awd")[1].backbone
    assert backbone.output_size == backbone(np.ones((1, 2), "int32")).shape[-1] == 8
    assert [layer.units for layer in backbone.recurrent] == [10, 8]
    assert [drop.rate for drop in backbone.drops] == [0.25, 0.4]
    plain = BACKBONES.get("lstm")(VOCABULARY, units=5, layers=2, dropout=0.3)
    assert [drop.rate for drop in plain.drops] == [0.3, 0.3] and plain.output_size == 10
    experiment = load_experiment({"backbone": settings})
    assert load_experiment(experiment.model_dump(mode="json")) == experiment
    again = type(backbone).from_config(backbone.get_config())
    assert again.get_config() == backbone.get_config() and again.settings["weight_drop"] == 0.5


@pytest.mark.parametrize("name", ["transformer-causal", "transformer-causal-rotary", "transformer-causal-learned"])
def test_steps_go_on_beyond_the_longest_length(name):
    settings = {"embedding_size": 8, **VARIANTS[name], "max_length": 4, "layers": 1}
    backbone = BACKBONES.get(settings.pop("name"))(vocabulary_size=VOCABULARY, **settings)
    batch = np.random.default_rng(0).integers(1, VOCABULARY, (2, 12)).astype("int32")
    backbone.build((None, None))
    embedded, state = backbone.embed(batch), backbone.initial_state(2)
    for t in range(12):
        features, state = backbone.step(embedded[:, t], state)
        assert np.isfinite(ops.convert_to_numpy(features)).all()
        if t == 3:
            whole = ops.convert_to_numpy(backbone(batch[:, :4]))[:, -1]
            np.testing.assert_allclose(ops.convert_to_numpy(features), whole, atol=2e-6)
    if name == "transformer-causal-rotary":  # one layer: the window is all that it can know
        whole = ops.convert_to_numpy(backbone(batch[:, -4:]))[:, -1]
        np.testing.assert_allclose(ops.convert_to_numpy(features), whole, atol=2e-6)
