"""The network of translation: steps = teacher forcing, its losses by NumPy, gradients everywhere; what a task refuses."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.config import load_experiment
from nlp_suite.data.prepare import prepare
from nlp_suite.errors import ConfigError
from nlp_suite.tasks.translation import TranslationSettings, TranslationTask, model_sample_rate
from nlp_suite.tasks.translation.search import TranslationSearch
from nlp_suite.text.text_layer import END, PAD, START
from nlp_suite.training.run import make_task
from tests.language_models import randomised
from tests.sized import sized
from tests.translation_models import experiment

V, OWN_V = 23, 17
ENCODERS = {
    "gru": {"name": "gru", "embedding_size": 8, "units": 5, "bidirectional": True},
    "transformer": {
        "name": "transformer",
        "embedding_size": 8,
        "heads": 2,
        "feed_forward": 12,
        "layers": 1,
        "dropout": 0.0,
    },
    "cnn": {"name": "cnn", "embedding_size": 8, "filters": 4, "widths": [2, 3]},
}
DECODERS = {
    "gru bahdanau": {"name": "gru", "units": 7, "attention": "bahdanau"},
    "lstm luong, fed": {"name": "lstm", "units": 7, "attention": "luong", "layers": 2},
    "lstm luong": {"name": "lstm", "units": 7, "attention": "luong", "input_feeding": False},
    "transformer": {"name": "transformer", "heads": 2, "feed_forward": 12, "layers": 2, "dropout": 0.0},
}
TIES = {"target": None, "none": OWN_V, "all": None}


def network(decoder, encoder="gru", own=None, scale=0.5, **task):
    """A network with random weights, biases too."""
    chosen = load_experiment(
        {"task": {"name": "translation", "decoder": DECODERS[decoder], **task}, "backbone": ENCODERS[encoder]}
    )
    model = make_task(chosen).model(chosen.backbone, sized(V, target_vocabulary_size=own))
    return randomised(model, 5, scale)


def batch(seed=0, vocabulary=OWN_V):
    """Pairs of unequal lengths; the last row has one token a side and fills up."""
    random = np.random.default_rng(seed)
    read = np.arange(6) < np.array([6, 3, 5, 1])[:, None]
    written = np.arange(7) < np.array([4, 7, 2, 1])[:, None]
    source = random.integers(3, V, (4, 6)) * read
    targets = (random.integers(3, vocabulary, (4, 7)) * written).astype("int32")
    before = np.concatenate([np.full((4, 1), START), targets[:, :-1]], axis=1)
    weights = written * np.array([[1], [1], [1], [0]], "float32")
    arrays = {"source": source, "target_in": before * written, "targets": targets}
    return {**{name: array.astype("int32") for name, array in arrays.items()}, "weights": weights.astype("float32")}


def numpy_of(x):
    return np.array(ops.convert_to_numpy(x))


def read_only(given):
    return {name: given[name] for name in ("source", "target_in")}


def picked(log_probs, targets):
    return -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]  # [B, T]


def mean(values, weights):
    return (values * weights).sum() / weights.sum()


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("decoder", DECODERS)
def test_step_by_step_is_teacher_forced_and_padding_changes_nothing(decoder, encoder):
    model, given = network(decoder, encoder, own=OWN_V), batch()
    counted = given["target_in"] > 0  # [B, T]
    whole = numpy_of(model(read_only(given)))  # [B, T, V]
    np.testing.assert_allclose(np.exp(whole).sum(axis=-1), 1, atol=1e-5)
    memory = model.encode(given["source"])
    state = model.initial_state(4, memory)
    attention = numpy_of(model.forced(memory, given["target_in"])[1])  # [B, T, S]
    for t in range(7):
        log_probs, state, weights = model.step_with_attention(given["target_in"][:, t], state, memory)
        there = counted[:, t]
        np.testing.assert_allclose(numpy_of(log_probs)[there], whole[there, t], atol=1e-5)
        np.testing.assert_allclose(numpy_of(weights)[there], attention[there, t], atol=1e-5)
    nll, right = (numpy_of(x) for x in model.nll_of(memory, given["target_in"], given["targets"]))
    np.testing.assert_allclose(nll[counted], picked(whole, given["targets"])[counted], atol=1e-5)
    np.testing.assert_array_equal(right[counted], (whole.argmax(axis=-1) == given["targets"])[counted])

    wider = {name: np.pad(array, ((0, 2), (0, 4))) for name, array in given.items()}
    wider["source"][4:, 0] = wider["target_in"][4:, 0] = START  # rows of padding still read one token
    np.testing.assert_allclose(numpy_of(model(read_only(wider)))[:4, :7][counted], whole[counted], atol=1e-5)
    for row, (s, t) in enumerate([(6, 4), (3, 7), (5, 2), (1, 1)]):
        alone = {"source": given["source"][row : row + 1, :s], "target_in": given["target_in"][row : row + 1, :t]}
        np.testing.assert_allclose(numpy_of(model(alone))[0], whole[row, :t], atol=1e-5)
    loss = {}
    for name, arrays in (("narrow", given), ("wide", wider)):
        model(arrays, training=True)
        loss[name] = float(model.losses[0])
    assert loss["wide"] == pytest.approx(loss["narrow"], rel=1e-5)


@pytest.mark.parametrize("decoder", DECODERS)
def test_tokens_of_the_future_change_nothing(decoder):
    model, given = network(decoder, "gru"), batch()
    other = given["target_in"].copy()
    other[1, 4:] = 9
    one, two = (numpy_of(model({"source": given["source"], "target_in": read})) for read in (given["target_in"], other))
    np.testing.assert_allclose(one[1, :4], two[1, :4], atol=1e-6)
    assert np.abs(one[1, 4:] - two[1, 4:]).max() > 1e-3


@pytest.mark.parametrize(
    "decoder, tie", [*((name, "target") for name in DECODERS), *(("transformer", tie) for tie in ("all", "none"))]
)
def test_one_step_of_fit_moves_every_weight_and_the_file_gives_it_back(decoder, tie, tmp_path):
    model = network(decoder, "gru", own=TIES[tie], tie_embeddings=tie, scale=0.3, label_smoothing=0.1)
    given, task = batch(), TranslationTask()
    before = [numpy_of(w) for w in model.trainable_weights]
    model.compile(keras.optimizers.SGD(1.0), task.loss(), weighted_metrics=task.metrics([]), jit_compile=False)
    log = model.fit(given, given["targets"], sample_weight=given["weights"], batch_size=4, verbose=0).history
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.abs(numpy_of(weight) - old).max() > 0, f"no gradient: {weight.path}"
    assert log["perplexity"][0] == pytest.approx(np.exp(log["cross_entropy"][0]), rel=1e-5)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(numpy_of(loaded(read_only(given))), numpy_of(model(read_only(given))))
    assert loaded.get_config() == model.get_config()
    again = type(model).from_config(model.get_config())
    again.build()
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]
    listed = sorted(v.path for group in model.layer_groups() for v in group)
    assert listed == sorted(v.path for v in model.trainable_variables)


def test_tied_embeddings_are_one_table():
    models = {tie: network("gru bahdanau", tie_embeddings=tie) for tie in TIES}
    assert models["target"].count_params() - models["all"].count_params() == V * 8
    assert models["none"].count_params() - models["target"].count_params() == V * 8  # features are as wide as E
    given = read_only(batch())
    for tie, model in models.items():
        table = model.backbone.embedding.embeddings
        changed = numpy_of(table)
        unread = V - 1
        given["source"][given["source"] == unread] = 3
        before = numpy_of(model(given))
        changed[unread] += 5  # never read: only the output can know
        table.assign(changed)
        assert (np.abs(numpy_of(model(given)) - before).max() > 0.1) == (tie == "all")


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_a_search_in_a_graph_finds_what_steps_find(layers):
    """TensorFlow's graph optimiser once dropped the loop of a Transformer decoder of one layer."""
    decoder = {**DECODERS["transformer"], "layers": layers}
    chosen = load_experiment({"task": {"name": "translation", "decoder": decoder}, "backbone": ENCODERS["transformer"]})
    model = randomised(make_task(chosen).model(chosen.backbone, sized(V)), 5, 0.5)
    source, most = batch()["source"], np.full(4, 9, "int32")
    options = {"limit": 9, "beam_size": 1, "n_best": 1, "no_repeat_ngram": 0, "use_coverage": False}
    found = TranslationSearch([model]).beam(source, most, 0 * most, 0.0, 0.0, **options)
    memory = model.encode(source)
    state, tokens = model.initial_state(4, memory), [np.full(4, START, "int32")]
    for _ in range(9):
        log_probs, state = model.step(tokens[-1], state, memory)
        tokens.append((3 + numpy_of(log_probs)[:, 3:].argmax(axis=1)).astype("int32"))
    written = np.stack(tokens[1:], axis=1)  # [B, L]
    for row, (length, ids) in enumerate(zip(found["length"][:, 0], found["tokens"][:, 0], strict=True)):
        np.testing.assert_array_equal(ids[:length], written[row, :length])
        assert length == 9 or ids[length - 1] == END
    assert found["tokens"].shape == (4, 1, 9)


@pytest.mark.parametrize("tie", TIES)
@pytest.mark.parametrize("decoder", ["gru bahdanau", "transformer"])
def test_the_loss_is_the_smoothed_cross_entropy_in_training_and_the_plain_one_elsewhere(decoder, tie):
    smoothing = 0.2
    model = network(decoder, own=TIES[tie], tie_embeddings=tie, label_smoothing=smoothing)
    given = batch()
    log_probs = numpy_of(model(read_only(given)))  # [B, T, V]
    nll, counted = picked(log_probs, given["targets"]), given["weights"] > 0
    smoothed = (1 - smoothing) * nll - smoothing * log_probs.mean(axis=-1)
    for training, expected in ((True, smoothed), (False, nll)):
        answer = numpy_of(model(given, training=training))
        np.testing.assert_allclose(answer[counted], nll[counted], atol=1e-5)
        assert len(model.losses) == 1
        assert float(model.losses[0]) == pytest.approx(mean(expected, given["weights"]), rel=1e-5)
    model.tokens_per_batch = 20.0
    model(given, training=True)
    assert float(model.losses[0]) == pytest.approx((smoothed * given["weights"]).sum() / 20, rel=1e-5)
    model(given, training=False)
    assert float(model.losses[0]) == pytest.approx(mean(nll, given["weights"]), rel=1e-5)


def test_a_batch_without_a_token_has_loss_0():
    model, given = network("gru bahdanau"), batch()
    given["weights"][:] = 0
    for training in (False, True):
        model(given, training=training)
        assert float(model.losses[0]) == 0


@pytest.mark.parametrize("decoder", DECODERS)
def test_dropout_is_for_training_only(decoder):
    still, model, given = network(decoder), network(decoder, dropout=0.5), batch()
    counted = given["weights"] > 0
    expected = numpy_of(still(given))[counted]
    np.testing.assert_allclose(numpy_of(model(given, training=False))[counted], expected, atol=1e-6)
    drawn = [numpy_of(model(given, training=True))[counted] for _ in range(2)]
    assert np.abs(drawn[0] - expected).max() > 1e-2 and np.abs(drawn[0] - drawn[1]).max() > 1e-2


@pytest.mark.parametrize("decoder", DECODERS)
def test_scheduled_sampling_reads_the_reference_or_its_own_words(decoder):
    model, given = network(decoder, label_smoothing=0.1), batch()

    def loss(**more):
        model({**given, **more}, training=True)
        return float(model.losses[0])

    plain = loss()
    assert loss(teacher_forcing_prob=np.ones(4, "float32")) == pytest.approx(plain, rel=1e-6)
    written = numpy_of(model(read_only(given))).argmax(axis=-1)  # [B, T]
    own = np.concatenate([given["target_in"][:, :1], written[:, :-1]], axis=1)
    own = np.where((given["target_in"] > 0) & (own != PAD), own, given["target_in"]).astype("int32")
    assert (own != given["target_in"]).sum() > 5 and (own[:, 0] == START).all()
    alone = loss(target_in=own)
    assert (
        loss(teacher_forcing_prob=np.zeros(4, "float32")) == pytest.approx(alone, rel=1e-5)
        and abs(alone - plain) > 1e-3
    )
    rows = np.array([1, 0, 1, 0], "float32")  # each row has its own probability
    mixed = np.where(rows[:, None] > 0, given["target_in"], own)
    assert loss(teacher_forcing_prob=rows) == pytest.approx(loss(target_in=mixed), rel=1e-5)
    half = np.full(4, 0.5, "float32")
    assert len({loss(teacher_forcing_prob=half) for _ in range(6)}) > 1
    model({**given, "teacher_forcing_prob": np.zeros(4, "float32")}, training=False)
    counted = numpy_of(model(given, training=False))
    assert float(model.losses[0]) == pytest.approx(mean(counted, given["weights"]), rel=1e-5), "training only"


@pytest.mark.parametrize("decoder", ["gru bahdanau", "transformer"])
def test_an_own_word_that_is_padding_is_not_read(decoder):
    """Early in training PAD may be the most probable word; read, it would be a hole in the target."""
    model, given = network(decoder), batch()
    bias = numpy_of(model.softmax.bias)
    bias[PAD] = 50.0
    model.softmax.bias.assign(bias)
    model(given, training=True)
    plain = float(model.losses[0])
    model({**given, "teacher_forcing_prob": np.zeros(4, "float32")}, training=True)
    assert float(model.losses[0]) == pytest.approx(plain, rel=1e-6)


@pytest.mark.parametrize(
    "kind, middle", [("linear", 0.5), ("exponential", 0.9), ("inverse_sigmoid", 0.5), ("none", 0.0)]
)
def test_the_share_of_own_words_grows(kind, middle):
    sizes = {"sampling_share": 0.4, "sampling_from": 100, "sampling_steps": 1000}
    settings = TranslationSettings(name="translation", scheduled_sampling=kind, **sizes)
    assert model_sample_rate(settings, 0) == model_sample_rate(settings, 100) == 0
    assert model_sample_rate(settings, 600) == pytest.approx(0.4 * middle)
    end = {"none": 0.0}.get(kind, 0.4)
    assert model_sample_rate(settings, 1100) == model_sample_rate(settings, 10**6) == pytest.approx(end, rel=0.011)
    shares = [model_sample_rate(settings, step) for step in range(0, 1300, 10)]
    assert shares == sorted(shares)


def test_batches_say_how_much_of_the_reference_is_read(tmp_path):
    growing = {"scheduled_sampling": "linear", "sampling_share": 0.5, "sampling_steps": 10}
    for task, expected in (({}, None), (growing, [1.0, 0.75, 0.5])):
        chosen = experiment(tmp_path, **task)
        prepared = prepare(chosen)
        made = make_task(chosen)
        model = make_task(chosen).model(chosen.backbone, prepared.assets)
        training, held_out = made.training_batches(model, prepared.stores, [], chosen.training)
        given = [training.batch(n)[0].get("teacher_forcing_prob") for n in (0, 5, 40)]
        assert [None if each is None else float(each[0]) for each in given] == (expected or [None] * 3)
        assert "teacher_forcing_prob" not in held_out.batch(0)[0]


@pytest.mark.parametrize(
    "decoder", [pytest.param(name, marks=[pytest.mark.slow] * name.startswith("lstm")) for name in DECODERS]
)
def test_mixed_precision_trains_and_is_close(decoder):
    given = batch()
    exact = numpy_of(network(decoder)(given))
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = network(decoder)
        answer = numpy_of(model(given))
        counted = given["weights"] > 0
        assert answer.dtype == "float32"
        np.testing.assert_allclose(answer[counted], exact[counted], atol=0.3)
        task = TranslationTask()
        model.compile("sgd", task.loss(), weighted_metrics=task.metrics([]), jit_compile=False)
        given["teacher_forcing_prob"] = np.full(4, 0.5, "float32")
        log = model.fit(given, given["targets"], sample_weight=given["weights"], batch_size=4, verbose=0).history
        assert np.isfinite(log["loss"][0])
        memory = model.encode(given["source"])
        log_probs, _ = model.step(given["target_in"][:, 0], model.initial_state(4, memory), memory)
        assert log_probs.dtype == "float32"
    finally:
        keras.config.set_dtype_policy(before)


WIDE = {"name": "gru", "embedding_size": 12}
SMALL = {"backbone": ENCODERS["gru"]}  # 10 features


@pytest.mark.parametrize(
    "values, message",
    [
        (
            {"backbone": "bag"},
            "backbone 'bag' has no features for the single tokens .* allowed: cnn, gru, lstm, preset, rnn, tr",
        ),
        ({"task": {"tie_embeddings": "all"}, "target_text": {}}, "all needs one vocabulary .* leave target_text out"),
        (
            {"task": {"tie_embeddings": "all", "decoder": WIDE}, "backbone": ENCODERS["gru"]},
            "equal sizes: backbone.embedding_size is 8, task.decoder.embedding_size 12",
        ),
        ({"task": {"beam_size": 5000}}, "task: beam_size: .* less than or equal to 1024"),
        ({"task": {"n_best": 5, "beam_size": 4}}, "n_best 5 is more than beam_size 4"),
        ({"task": {"min_length": 13, "max_tokens": 12}}, "task: min_length 13 is more than max_tokens 12"),
        ({"task": {"no_repeat_ngram": 101}}, "no_repeat_ngram 101 is more than max_tokens 100"),
        ({"text": {"add_start": True}}, "text.add_start is true and .*: set text.add_start: false"),
        ({"text": {"max_length": 60}}, "text.max_length 60 cuts pairs that task.max_tokens 100 lets in"),
        ({"target_text": {"max_length": 50}, "text": {"max_length": 200}}, "target_text.max_length 50 cuts pairs that"),
        (
            {"training": {"class_weights": "balanced"}},
            "'translation' does not use training.class_weights; tasks that do: sentiment",
        ),
        ({"task": {"decoder": "grru"}}, "'grru': did you mean 'gru'"),
        (
            {"task": {"decoder": {"name": "gru", "conditional": True, "input_feeding": False}}},
            "input_feeding must be true",
        ),
        (
            {"task": {"decoder": {"units": 8, "attention": {"name": "scaled_dot", "heads": 3}}}, **SMALL},
            "^task.decoder.attention.heads 3 .* decoder's 8 units and the backbone's 10 features; allowed: 1, 2$",
        ),
        (
            {"task": {"decoder": {"units": 8, "attention": {"name": "luong", "score": "dot"}}}, **SMALL},
            "^task.decoder.attention.score dot .* 8 units .* 10 features.* allowed: general, concat, or 10 units",
        ),
        (
            {"task": {"decoder": {"name": "transformer", "heads": 3}}, **SMALL},
            r"^task.decoder.heads 3 .* 8 features of a target embedding \(embedding_size\); allowed: 1, 2, 4, 8$",
        ),
        (
            {"task": {"decoder": {"name": "transformer", "heads": 8, "positions": "rotary"}}, **SMALL},
            "^task.decoder.positions rotary needs an even number of features of a head, not 1; allowed: learned",
        ),
        (
            {"task": {"decoder": {"name": "transformer", "heads": 1, "embedding_size": 7}}, **SMALL},
            "^task.decoder.positions sinusoidal needs an even number of features of a target embedding, not 7",
        ),
        ({"task": {"max_ratio": 1.0}}, "max_ratio"),
        ({"task": {"label_smoothing": 1.0}}, "label_smoothing"),
        ({"task": {"sampling_share": 0.0}}, "sampling_share"),
    ],
)
def test_what_does_not_suit_is_named(values, message):
    values = {**values, "task": {"name": "translation", **values.get("task", {})}}
    with pytest.raises(ConfigError, match=message):
        chosen = load_experiment(values)
        make_task(chosen).check(chosen)


@pytest.mark.parametrize("decoder", [*DECODERS.values(), {"attention": {"name": "luong", "score": "dot"}, "units": 10}])
@pytest.mark.parametrize("encoder", [{**ENCODERS["gru"], "units": 5}, ENCODERS["transformer"]])
def test_what_the_check_lets_through_can_be_built(decoder, encoder):
    """Sizes that layers refuse are refused with the config, and no others."""
    chosen = load_experiment({"task": {"name": "translation", "decoder": decoder}, "backbone": encoder})
    try:
        make_task(chosen).check(chosen)
    except ConfigError:
        with pytest.raises(ValueError, match="needs queries and memory of the same size, got 10 and 8"):
            make_task(chosen).model(chosen.backbone, sized(V))
    else:
        make_task(chosen).model(chosen.backbone, sized(V))


def test_a_filter_that_leaves_no_pair_is_named(tmp_path):
    chosen = experiment(tmp_path, max_tokens=3)
    prepared = prepare(chosen)
    model = make_task(chosen).model(chosen.backbone, prepared.assets)
    with pytest.raises(ConfigError, match="no training pair is left: 4 source too long; see task.max_tokens and task"):
        make_task(chosen).training_batches(model, prepared.stores, [], chosen.training)
