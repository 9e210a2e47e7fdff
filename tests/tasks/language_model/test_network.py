"""The network of language modelling: its loss by NumPy, gradients everywhere, steps = sequence; what a task refuses."""

import keras
import numpy as np
import pytest
import yaml
from keras import ops

from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError
from nlp_suite.tasks.language_model import LanguageModelTask
from nlp_suite.tasks.shared.token_metrics import Perplexity, TokenLoss
from nlp_suite.training.run import make_task
from tests.language_models import BACKBONES, RECURRENT, network

VOCABULARY = 40
SOFTMAXES = {
    "tied": {},
    "untied": {"tie_embeddings": False},
    "tied adaptive": {"softmax": "adaptive", "cutoffs": [10, 25]},
    "untied adaptive": {"softmax": "adaptive", "cutoffs": [10, 25], "tie_embeddings": False},
}


def batch(rows=5, length=9, seed=0):
    """Windows with padding, one empty row and a place of context that does not count."""
    random = np.random.default_rng(seed)
    counts = np.array([length, 1, 0, 4, length - 1])[:rows]
    read = np.arange(length) < counts[:, None]
    weights = read.astype("float32")
    weights[0, :2] = 0
    ids = random.integers(1, VOCABULARY, (2, rows, length)) * read
    tokens, targets = ids.astype("int32")
    return {"tokens": tokens, "targets": targets, "weights": weights, "reset": np.ones(rows, bool)}


def numpy_of(x):
    return ops.convert_to_numpy(x)


def picked(log_probs, targets):
    return -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]


@pytest.mark.parametrize(
    "name, softmax", [*((n, "tied") for n in BACKBONES), *(("gru", s) for s in SOFTMAXES if s != "tied")]
)
def test_step_by_step_is_teacher_forced_and_adds_up_to_one(name, softmax):
    model = network(name, **SOFTMAXES[softmax])
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, (3, 5)).astype("int32")
    whole = numpy_of(model(tokens))  # [B, T, V]
    np.testing.assert_allclose(np.exp(whole).sum(axis=-1), 1, atol=1e-5)
    state = model.initial_state(3)
    for t in range(5):
        log_probs, state = model.step(tokens[:, t], state)
        np.testing.assert_allclose(numpy_of(log_probs), whole[:, t], atol=1e-5)
    targets = np.roll(tokens, -1, axis=1)
    np.testing.assert_allclose(numpy_of(model.nll(tokens, targets)), picked(whole, targets), atol=1e-5)
    length = np.array([5, 2, 4], "int32")
    last = numpy_of(model.last_log_probs(np.where(np.arange(5) < length[:, None], tokens, 0), length))
    np.testing.assert_allclose(last, whole[np.arange(3), length - 1], atol=1e-5)


@pytest.mark.parametrize("name", RECURRENT)
def test_nll_with_a_state_goes_on(name):
    model = network(name)
    tokens = np.random.default_rng(0).integers(1, VOCABULARY, (3, 9)).astype("int32")
    targets = np.roll(tokens, -1, axis=1)
    first, state = model.nll(tokens[:, :4], targets[:, :4], model.initial_state(3))
    second, _ = model.nll(tokens[:, 4:], targets[:, 4:], state)
    parts = np.concatenate([numpy_of(first), numpy_of(second)], axis=1)
    np.testing.assert_allclose(parts, numpy_of(model.nll(tokens, targets)), atol=1e-5)


@pytest.mark.parametrize("softmax", SOFTMAXES)
@pytest.mark.parametrize("name", ["lstm", "transformer-rotary"])
def test_the_loss_is_the_cross_entropy_with_both_penalties(name, softmax):
    alpha, beta = 2.0, 3.0
    regular = {"activation_regularization": alpha, "temporal_regularization": beta}
    backbone = {**BACKBONES[name], "dropout": 0.0}
    plain, model = network(backbone, **SOFTMAXES[softmax]), network(backbone, **SOFTMAXES[softmax], **regular)
    given = batch()
    log_probs = numpy_of(plain(given["tokens"]))
    nll, weights = picked(log_probs, given["targets"]), given["weights"]
    expected = (nll * weights).sum() / weights.sum()
    for training in (False, True):
        answer = numpy_of(plain(given, training=training))
        np.testing.assert_allclose(answer[weights > 0], nll[weights > 0], atol=1e-5)
        assert float(plain.losses[0]) == pytest.approx(expected, rel=1e-5)
    features = numpy_of(model.backbone(given["tokens"]))
    activation = ((features**2).mean(axis=-1) * weights).sum() / weights.sum()
    changes = ((features[:, 1:] - features[:, :-1]) ** 2).mean(axis=-1)
    temporal = (changes * weights[:, 1:]).sum() / weights[:, 1:].sum()
    model(given, training=True)
    assert len(model.losses) == 1
    assert float(model.losses[0]) == pytest.approx(expected + alpha * activation + beta * temporal, rel=1e-5)
    model(given, training=False)
    assert float(model.losses[0]) == pytest.approx(expected, rel=1e-5), "penalties are for training"


def test_with_one_divisor_for_all_batches_every_token_weighs_the_same():
    own, fixed = network("lstm"), network("lstm")
    fixed.tokens_per_batch = 36.0
    given = batch(length=9)
    own(given, training=True), fixed(given, training=True)
    assert float(fixed.losses[0]) == pytest.approx(float(own.losses[0]) * given["weights"].sum() / 36.0)
    own(given, training=False), fixed(given, training=False)
    assert float(fixed.losses[0]) == pytest.approx(float(own.losses[0]))


@pytest.mark.parametrize(
    "name, softmax", [*((n, "tied") for n in BACKBONES), *(("gru", s) for s in SOFTMAXES if s != "tied")]
)
def test_one_step_of_fit_moves_every_weight_and_the_file_gives_it_back(name, softmax, tmp_path):
    model = network(name, scale=0.3, **SOFTMAXES[softmax])
    before = [numpy_of(w).copy() for w in model.trainable_weights]
    random = np.random.default_rng(1)
    tokens, targets = random.integers(1, VOCABULARY, (2, 8, 12)).astype("int32")
    given = {"tokens": tokens, "targets": targets, "weights": np.ones((8, 12), "float32"), "reset": np.ones(8, bool)}
    task = LanguageModelTask()
    model.compile(keras.optimizers.SGD(1.0), task.loss(), weighted_metrics=task.metrics([]), jit_compile=False)
    history = model.fit(given, targets, sample_weight=given["weights"], batch_size=8, epochs=1, verbose=0).history
    for weight, old in zip(model.trainable_weights, before):
        assert np.abs(numpy_of(weight) - old).max() > 0, f"no gradient: {weight.path}"
    assert history["perplexity"][0] == pytest.approx(np.exp(history["cross_entropy"][0]), rel=1e-5)
    if "transformer" not in name:  # whose dropout of 0.1 is in it
        assert history["cross_entropy"][0] == pytest.approx(history["loss"][0], rel=1e-5)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(numpy_of(loaded(tokens)), numpy_of(model(tokens)))
    assert loaded.get_config() == model.get_config()
    log_probs, _ = loaded.step(tokens[:, 0], loaded.initial_state(8))
    np.testing.assert_allclose(numpy_of(log_probs), numpy_of(loaded(tokens))[:, 0], atol=1e-5)


@pytest.mark.parametrize("name", BACKBONES)
def test_padding_and_neighbours_change_nothing(name):
    model, given = network(name), batch()
    together = numpy_of(model(given, training=False))
    loss = float(model.losses[0])
    wider = {k: v if k == "reset" else np.pad(v, ((0, 2), (0, 6))) for k, v in given.items()}
    wider["reset"] = np.ones(7, bool)
    padded = numpy_of(model(wider, training=False))
    counted = given["weights"] > 0
    np.testing.assert_allclose(padded[:5, :9][counted], together[counted], atol=2e-5)
    assert float(model.losses[0]) == pytest.approx(loss, rel=1e-5) and np.isfinite(loss)
    for row in (0, 3, 4):
        alone = numpy_of(model({k: v[row : row + 1] for k, v in given.items()}, training=False))
        np.testing.assert_allclose(alone[0][counted[row]], together[row][counted[row]], atol=2e-5)


def test_a_batch_without_a_token_has_loss_0():
    model, given = network("lstm"), batch()
    empty = {k: np.zeros_like(v) for k, v in given.items()}
    for training in (False, True):
        model(empty, training=training)
        assert float(model.losses[0]) == 0


@pytest.mark.parametrize("name", ["lstm", "transformer-learned"])
def test_dropout_is_for_training_only(name):
    rates = {"dropout": 0.4, "embedding_dropout": 0.4, "word_dropout": 0.2, "type_dropout": 0.3}
    backbone = {**BACKBONES[name], **rates, **({"weight_drop": 0.3} if name == "lstm" else {"attention_dropout": 0.3})}
    still, model = network({**BACKBONES[name], "dropout": 0.0}), network(backbone, dropout=0.5)
    given = batch()
    counted = given["weights"] > 0
    expected = numpy_of(still(given, training=False))[counted]
    np.testing.assert_allclose(numpy_of(model(given, training=False))[counted], expected, atol=1e-6)
    np.testing.assert_allclose(
        numpy_of(model(given["tokens"], training=False)), numpy_of(still(given["tokens"])), atol=1e-6
    )
    drawn = [numpy_of(model(given, training=True))[counted] for _ in range(2)]
    assert np.abs(drawn[0] - expected).max() > 1e-2 and np.abs(drawn[0] - drawn[1]).max() > 1e-2


def test_tied_embeddings_are_one_table():
    tied, untied = network("gru"), network("gru", tie_embeddings=False)
    assert untied.count_params() - tied.count_params() == VOCABULARY * 8  # E = D = 8
    before = numpy_of(tied(np.ones((1, 1), "int32")))
    table = tied.backbone.embedding.embeddings
    changed = numpy_of(table).copy()
    changed[30] += 5  # never read here: only the output can know
    table.assign(changed)
    assert np.abs(numpy_of(tied(np.ones((1, 1), "int32"))) - before).max() > 0.1


def test_layer_groups_have_every_trainable_variable_once():
    for softmax in SOFTMAXES.values():
        model = network("lstm", **softmax)
        listed = sorted(v.path for group in model.layer_groups() for v in group)
        assert listed == sorted(v.path for v in model.trainable_variables)
    frozen = network("lstm")
    frozen.backbone.embedding.trainable = False
    assert len(frozen.layer_groups()) == len(model.layer_groups()) and not frozen.layer_groups()[0]


def test_metrics_sum_and_count_over_tokens():
    loss, perplexity = TokenLoss(), Perplexity()
    parts = [([[1.0, 2.0], [3.0, 50.0]], [[1, 1], [1, 0]]), ([[6.0, 9.0]], [[1, 0]])]
    for nll, weights in parts:
        for metric in (loss, perplexity):
            metric.update_state(None, np.array(nll), np.array(weights))
    assert float(loss.result()) == pytest.approx(3.0) and float(perplexity.result()) == pytest.approx(np.exp(3.0))
    loss.update_state(None, np.array([[np.nan, np.inf]]), np.zeros((1, 2)))
    assert float(loss.result()) == pytest.approx(3.0), "what does not count is not looked at"


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "transformer"])
def test_a_backbone_is_made_causal_by_itself(name):
    chosen = load_experiment({"task": "language_model", "backbone": name})
    make_task(chosen).check(chosen)
    assert chosen.backbone.causal if name == "transformer" else not chosen.backbone.bidirectional


LONG = {"name": "transformer", "positions": "sinusoidal"}


@pytest.mark.parametrize(
    "values, message",
    [
        (
            {"backbone": "cnn"},
            r"backbone 'cnn' is not causal; a language model takes: gru, lstm, preset, rnn, transformer",
        ),
        (
            {"backbone": "bag"},
            r"backbone 'bag' is not causal; a language model takes: gru, lstm, preset, rnn, transformer",
        ),
        (
            {"backbone": {"name": "lstm", "bidirectional": True}},
            "must not see the future: set backbone.bidirectional: false",
        ),
        ({"backbone": {"name": "transformer", "causal": False}}, "must not see the future: set backbone.causal: true"),
        (
            {"task": {"batching": "stream"}, "backbone": "transformer"},
            "a transformer carries no state; use windows or documents",
        ),
        ({"backbone": LONG}, r"sinusoidal positions end with task.window 35, but .* 1024 \+ .* 256 go beyond"),
        (
            {"task": {"window": 64}, "backbone": {"name": "transformer", "max_length": 512}},
            "backbone.max_length: 512; a language model sees task.window 64 tokens: leave backbone.max_length out, or",
        ),
        ({"task": {"random_window": True}, "backbone": "transformer"}, "random_window: a transformer reads no streams"),
        ({"task": {"softmax": "adaptive"}, "training": {"xla": True}}, "an adaptive softmax cannot be compiled"),
        ({"task": {"softmax": "adaptive", "cutoffs": [5, 3]}}, r"cutoffs \[5, 3\]: give rising numbers above 0"),
        ({"task": {"softmax": "adaptive", "cutoffs": []}}, r"cutoffs \[\]: give rising numbers above 0"),
        (
            {"training": {"init_from": "a"}, "backbone": {"name": "lstm", "init_from": "b"}},
            "both say where to start: give one of them",
        ),
        (
            {"training": {"class_weights": "balanced"}},
            "'language_model' does not use training.class_weights; tasks that do: sentiment",
        ),
        ({"task": {"cutoffs": [10]}}, r"cutoffs \[10\] need softmax: adaptive"),
        ({"task": {"window": 10, "evaluation_context": 10}}, "evaluation_context 10 must be smaller than window 10"),
        (
            {"task": {"batching": "windows", "random_window": True}},
            "random_window is for batching: stream, not windows",
        ),
    ],
)
def test_what_does_not_suit_is_named(values, message):
    values = {**values, "task": {"name": "language_model", **values.get("task", {})}}
    with pytest.raises(ConfigError, match=message):
        chosen = load_experiment(values)
        make_task(chosen).check(chosen)


def test_the_config_of_a_run_trains_again_though_it_names_every_key():
    for backbone in ("transformer", {"name": "transformer", "max_length": 64}):
        chosen = load_experiment({"task": {"name": "language_model", "window": 64}, "backbone": backbone})
        again = load_experiment(yaml.safe_load(chosen.to_yaml()))
        assert again.backbone.max_length in (512, 64) and again == chosen
        for each in (chosen, again):
            make_task(each).check(each)
    wrong = load_experiment(yaml.safe_load(chosen.to_yaml()), ["backbone.max_length=65"])
    with pytest.raises(ConfigError, match="backbone.max_length: 65; .*task.window 64"):
        make_task(wrong).check(wrong)


@pytest.mark.parametrize("cutoffs, vocabulary", [(None, 900), ([50], 50), ([10, 5], 50)])
def test_cutoffs_must_suit_the_vocabulary(cutoffs, vocabulary):
    with pytest.raises(ValueError, match="cutoffs"):
        network("gru", vocabulary_size=vocabulary, softmax="adaptive", cutoffs=cutoffs)


def test_cutoffs_follow_the_vocabulary_by_default():
    model = network({"name": "rnn", "embedding_size": 2, "units": 2}, vocabulary_size=3000, softmax="adaptive")
    assert model.settings["cutoffs"] == [2000]
