"""Every backbone of the registry keeps the contract, and so does one that is put there; what each has beside it."""

from typing import ClassVar

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.backbones.base import Backbone, BackboneSettings
from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.activations import ACTIVATIONS
from tests.backbones.backbone_checks import (
    VOCABULARY,
    check_dropout,
    check_files,
    check_graph,
    padded_tokens,
    run_backbone_checks,
    steps,
)
from tests.backbones.gradients import numpy

NAMES = [name for name in BACKBONES.names() if name != "preset"]  # which has tests of its own, as it needs KerasHub
REGISTERED = {name: {} for name in NAMES}
REGISTERED |= {
    f"{n}-causal": {**overrides} for n in REGISTERED if (overrides := BACKBONES.settings(n).causal_overrides)
}
CAUSAL = {"bidirectional": False}
VARIANTS = {  # beside the defaults of every one
    "bag-deep": {"ngrams": 3, "ngram_buckets": 64, "hidden": [6], "average": "sqrt", "activation": "tanh"},
    "bag-bayes": {"ngrams": 2, "ngram_buckets": 64, "naive_bayes": True},
    "bag-l2": {"ngrams": 2, "ngram_buckets": 64, "naive_bayes": True, "average": "l2"},
    "bag-words": {"ngrams": 1},
    "cnn-layers": {"filters": 5, "layers": 2},
    "lstm-layers": {"units": 6, "layers": 2, "residual": True, "layer_norm": True},
    "lstm-last": {"units": 4, "layers": 2, "last_units": 6, "layer_norm": True, "residual": True},
    "lstm-awd": {
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
    "gru-residual": {"units": 8, "residual": True, **CAUSAL},
    "rnn-relu": {"units": 6, "layer_norm": True, "activation": "relu", **CAUSAL},
    "transformer-post": {"heads": 2, "feed_forward": 16, "norm": "post", "positions": "learned"},
    "transformer-sinusoidal": {"heads": 2, "feed_forward": 16, "causal": True},
    "transformer-learned": {"feed_forward": 16, "causal": True, "positions": "learned"},
    "transformer-rotary": {"heads": 2, "feed_forward": 16, "positions": "rotary"},
}
LONG = (
    "gru",
    "rnn",
    "lstm-causal",
    "lstm-layers",
    "lstm-last",
    "transformer-sinusoidal",
    "transformer-learned",
)  # 5 s each


def slow_where_long(names):
    """The names, those of long tests marked as slow."""
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in names]


def make(name, **settings):
    keras.utils.set_random_seed(3)
    settings = {"embedding_size": 8, **VARIANTS.get(name, {}), **settings}
    backbone = BACKBONES.get(name.partition("-")[0])(vocabulary_size=VOCABULARY, **settings)
    backbone.build((None, None))
    return backbone


@pytest.mark.parametrize("name", slow_where_long(REGISTERED))
def test_it_keeps_the_contract(name):
    run_backbone_checks(name.partition("-")[0], **REGISTERED[name])


@pytest.mark.parametrize("name", slow_where_long(VARIANTS))
def test_it_keeps_the_contract_with_other_settings(name):
    without = (check_files, check_graph, check_dropout)  # slow, and other settings hardly matter to them
    run_backbone_checks(name.partition("-")[0], without, **VARIANTS[name])


class ConvolutionSettings(BackboneSettings):
    causal_overrides: ClassVar[dict] = {}

    layers: int = 2
    width: int = 3

    @property
    def context_limit(self):
        return 1 + self.layers * (self.width - 1)


@keras.saving.register_keras_serializable("tests")
class CausalConvolution(Backbone):
    """Convolutions over the past: causal, of limited context and without a state to carry."""

    causal = True

    def __init__(self, vocabulary_size, layers=2, width=3, **kwargs):
        super().__init__(vocabulary_size, **kwargs)
        self.settings |= {"layers": layers, "width": width}
        self.context_limit = 1 + layers * (width - 1)
        self.convolutions = [
            keras.layers.Conv1D(self.output_size, width, padding="causal", activation="tanh", dtype=self.dtype_policy)
            for _ in range(layers)
        ]

    @property
    def output_size(self):
        return 6

    def build_encoder(self):
        for i, convolution in enumerate(self.convolutions):
            convolution.build((None, None, self.output_size if i else self.embedding_size))

    def stack(self):
        return [[self.embedding], *([convolution] for convolution in self.convolutions)]

    def encode(self, x, mask, *, state=None, training=False):
        x, mask = self.encoder_input(x, mask, state, training)
        for convolution in self.convolutions:
            x = convolution(x)
        return x, None

    def initial_state(self, batch_size, memory=None):
        sizes = [self.embedding_size, *[self.output_size] * (len(self.convolutions) - 1)]
        return [ops.zeros((batch_size, self.settings["width"] - 1, size), self.compute_dtype) for size in sizes]

    def step(self, x, state):
        after = []
        for convolution, before in zip(self.convolutions, state):
            window = ops.concatenate([before, ops.expand_dims(ops.cast(x, before.dtype), 1)], axis=1)
            after.append(window[:, 1:])
            x = convolution(window)[:, -1]
        return x, after


class SeesTheFuture(CausalConvolution):
    def encode(self, x, mask, **kwargs):
        features, state = super().encode(x, mask, **kwargs)
        return features + 0.1 * ops.sum(features, axis=1, keepdims=True), state


class SeesPadding(CausalConvolution):
    causal, context_limit = False, None

    def encode(self, x, mask, **kwargs):
        features, state = super().encode(x, mask, **kwargs)
        return features + ops.mean(features, axis=1, keepdims=True), state


class ForgetsItsLimit(CausalConvolution):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.context_limit += 1


class LosesAWeight(CausalConvolution):
    def stack(self):
        return super().stack()[:-1]


class IgnoresTraining(CausalConvolution):
    def encode(self, x, mask, *, state=None, training=False):
        return super().encode(x, mask, state=state)


@pytest.fixture
def registered():
    """Registers a class as `mine` for the length of a test."""
    with BACKBONES.temporary():
        yield lambda cls: BACKBONES.register(ConvolutionSettings, "mine")(cls)


def test_a_backbone_is_tested_by_being_there(registered):
    registered(CausalConvolution)
    run_backbone_checks("mine")


@pytest.mark.parametrize("cls", [SeesTheFuture, SeesPadding, ForgetsItsLimit, LosesAWeight, IgnoresTraining])
def test_what_breaks_the_contract_is_found(cls, registered):
    registered(keras.saving.register_keras_serializable("tests")(cls))
    with pytest.raises(AssertionError):
        run_backbone_checks("mine")


def test_a_backbone_that_lacks_something_is_refused_and_it_is_named(registered):
    with pytest.raises(TypeError, match=r"backbone 'mine' \(Bare\) does not define: encode, output_size, stack"):
        registered(type("Bare", (Backbone,), {}))


@pytest.mark.parametrize("name", NAMES)
def test_the_settings_know_what_the_network_is(name):
    chosen = BACKBONES.settings(name)(name=name, embedding_size=12)
    network = BACKBONES.get(name)(vocabulary_size=9, **chosen.arguments())
    assert (chosen.output_size, chosen.returns_sequence) == (network.output_size, network.returns_sequence)


def test_the_activations_of_a_config_are_those_of_keras_that_keep_the_number_of_features():
    functions = [name for name in dir(keras.activations) if not name.startswith("_")]
    features, kept = np.ones((2, 4), "float32"), []
    for name in sorted(set(functions) - {"get", "serialize", "deserialize", "threshold"}):  # threshold has no defaults
        kept += [name] if keras.activations.get(name)(ops.convert_to_tensor(features)).shape == (2, 4) else []
    assert kept == sorted(ACTIVATIONS)


def test_what_a_language_model_asks_of_the_settings():
    answers = {}
    for name in BACKBONES.names():
        settings = BACKBONES.settings(name).model_construct(name=name)
        answers[name] = settings.causal_overrides is not None, settings.carries_state, settings.changes_to_be_causal
    one_way, causal = {"bidirectional": False}, {"causal": True}
    assert answers == {
        "bag": (False, False, {}),
        "cnn": (False, False, {}),
        "gru": (True, False, one_way),
        "lstm": (True, False, one_way),
        "preset": (True, False, {}),  # with the architecture of a causal model
        "rnn": (True, False, one_way),
        "transformer": (True, False, causal),
    }
    assert BACKBONES.settings("gru")(name="gru", bidirectional=False).carries_state
    transformer = BACKBONES.settings("transformer")(name="transformer", causal=True, max_length=7)
    assert (transformer.is_causal, transformer.carries_state, transformer.context_limit) == (True, False, 7)
    assert transformer.length_bound and not transformer.model_copy(update={"positions": "rotary"}).length_bound


@pytest.mark.parametrize("key", ["word_dropout", "type_dropout", "naive_bayes", "idf"])
def test_settings_about_tokens_need_a_vocabulary(key):
    with pytest.raises(ConfigError, match=f"backbone.{key} is about tokens"):
        BACKBONES.get("bag")(None, **{key: 0.5})


@pytest.mark.parametrize("name", ["lstm-awd", "gru-residual", "rnn-relu"])
def test_a_carried_state_has_no_dropout_in_it(name):
    rates = {} if name == "lstm-awd" else {"dropout": 0.6, "embedding_dropout": 0.3, "type_dropout": 0.3}
    backbone = make(name, **rates)
    batch = np.random.default_rng(0).integers(1, VOCABULARY, (4, 30)).astype("int32")
    features, state = backbone(batch, state=backbone.initial_state(4), training=True)
    dropped = (numpy(features) == 0).all(axis=1)  # [B, D]: the same features at every step
    assert dropped.any() and not dropped.all()
    if name != "rnn-relu":  # whose ReLU gives zeros itself
        assert (numpy(state[-1][0]) != 0).all()
    again, after = backbone(batch, state=state, training=True)
    fresh, _ = backbone(batch, state=state, training=True)
    assert np.abs(numpy(again) - numpy(fresh)).max() > 1e-3, "every call draws its masks"
    assert [[s.shape for s in layer] for layer in after] == [[s.shape for s in layer] for layer in state]


def test_heads_must_divide_the_features():
    with pytest.raises(ValueError, match="8 features cannot be split into 3 heads"):
        BACKBONES.get("transformer")(VOCABULARY, embedding_size=8, heads=3)(np.ones((1, 2), "int32"))


def test_the_prior_of_a_bag_is_the_log_count_ratio():
    backbone = BACKBONES.get("bag")(vocabulary_size=8, embedding_size=1, ngrams=2, ngram_buckets=64, naive_bayes=True)
    backbone.build((None, None))
    texts = np.array([[4, 5, 0], [4, 4, 6], [4, 7, 0]], "int32")
    backbone.learn_prior([(texts[:2], np.array([0, 1])), (texts[2:], np.array([0]))], classes=2)
    prior = numpy(backbone.priors[0].embeddings)[:, 0]
    # texts with each word, plus one: word 4 is in 2 of class 0 and 1 of class 1, word 5 in 1 and 0, word 6 in 0 and 1
    first, second = np.array([1, 1, 1, 1, 3, 2, 1, 2]), np.array([1, 1, 1, 1, 2, 1, 2, 1])
    ratio = np.log(first / first.sum()) - np.log(second / second.sum())
    np.testing.assert_allclose(prior, np.abs(ratio), rtol=1e-5)
    _, bigrams = (numpy(ids) for ids in backbone.ids(ops.convert_to_tensor(texts)))
    pairs = numpy(backbone.priors[1].embeddings)[:, 0]
    unseen = sorted(set(range(1, 64)) - set(bigrams.ravel().tolist()))
    assert len({float(pairs[i]) for i in unseen}) == 1 and pairs[bigrams[0, 0]] > pairs[unseen[0]]


def test_every_label_of_a_text_is_a_class_against_the_texts_without_it():
    texts = np.array([[4, 5, 0], [4, 4, 6], [4, 7, 0]], "int32")

    def prior(labels, classes):
        backbone = BACKBONES.get("bag")(vocabulary_size=8, embedding_size=1, ngrams=1, naive_bayes=True)
        backbone.build((None, None))
        backbone.learn_prior([(texts[:2], labels[:2]), (texts[2:], labels[2:])], classes)
        return numpy(backbone.priors[0].embeddings)[:, 0]

    both = np.array([[1, 0], [0, 1], [1, 0]])
    np.testing.assert_array_equal(prior(both, 2), prior(np.array([0, 1, 0]), 2))
    with_a_third = prior(np.array([[1, 0, 1], [0, 1, 1], [1, 0, 0]]), 3)
    first, second = (
        np.array([1, 1, 1, 1, 3, 2, 2, 1]),
        np.array([1, 1, 1, 1, 2, 1, 1, 2]),
    )  # of the third: words, plus one
    third = np.abs(np.log(first / first.sum()) - np.log(second / second.sum()))
    np.testing.assert_allclose(with_a_third, np.maximum(prior(both, 2), third), rtol=1e-5)


def test_the_prior_of_a_bag_can_be_the_rarity_of_an_n_gram_whatever_the_labels():
    texts = np.array([[4, 5, 0], [4, 4, 6], [4, 7, 0]], "int32")
    for labels, classes in ((np.array([0, 1, 0]), 2), (np.array([[1, 0, 1], [0, 0, 1], [1, 1, 0]]), 3)):
        backbone = BACKBONES.get("bag")(vocabulary_size=9, embedding_size=1, ngrams=2, ngram_buckets=64, idf=True)
        backbone.build((None, None))
        backbone.learn_prior([(texts[:2], labels[:2]), (texts[2:], labels[2:])], classes)
        words, pairs = (numpy(prior.embeddings)[:, 0] for prior in backbone.priors)
        # word 4 is in all 3 texts, 5, 6 and 7 in one, and what no text has weighs nothing, as padding
        np.testing.assert_allclose(words, [0, 0, 0, 0, 1, *[np.log(2) + 1] * 3, 0], rtol=1e-5)
        seen = np.unique(numpy(backbone.ids(ops.convert_to_tensor(texts))[1]))
        assert set(np.flatnonzero(pairs)) == set(seen[seen > 0])
    with pytest.raises(ValueError, match="naive_bayes and idf both scale n-grams: set one of them"):
        BACKBONES.settings("bag")(name="bag", naive_bayes=True, idf=True)


def test_a_text_of_a_bag_can_have_length_one():
    backbone = make("bag-l2", embedding_size=1)
    for prior in backbone.priors:
        prior.embeddings.assign(np.random.default_rng(0).uniform(0.1, 3, prior.embeddings.shape))
    for table in (backbone.embedding, backbone.table):
        table.embeddings.assign(np.ones(table.embeddings.shape))
    tokens = ops.convert_to_tensor(np.array([[4, 5, 4, 0], [6, 0, 0, 0]], "int32"))
    words, pairs = (numpy(ids) for ids in backbone.ids(tokens))
    weights = [numpy(prior.embeddings)[:, 0] for prior in backbone.priors]
    expected = []
    for word_row, pair_row in zip(words, pairs):
        row = np.concatenate([weights[0][word_row[word_row > 0]], weights[1][pair_row[pair_row > 0]]])
        expected.append(row.sum() / np.sqrt((row**2).sum()))
    np.testing.assert_allclose(numpy(backbone(tokens))[:, 0, 0], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="average: l2 is by the weights of naive_bayes or idf, which are off"):
        BACKBONES.settings("bag")(name="bag", average="l2")


@pytest.mark.parametrize(
    "name, count", [("bag-deep", 2), ("bag-bayes", 1), ("cnn-layers", 3), ("lstm-last", 3), ("transformer-post", 3)]
)
def test_layer_groups_go_layer_by_layer_from_the_bottom(name, count):
    assert len(make(name).layer_groups()) == count


def test_type_dropout_drops_a_word_wherever_it_stands():
    backbone = BACKBONES.get("cnn")(vocabulary_size=30, embedding_size=4, type_dropout=0.5)
    backbone.build((None, None))
    batch = np.random.default_rng(0).integers(1, 30, (20, 15)).astype("int32")
    plain = numpy(backbone.embedding(batch))
    masks = []
    for _ in range(2):
        factor = numpy(backbone.drop_types(plain, batch, training=True)) / plain
        values = [np.unique(factor[batch == token].round(4)) for token in range(1, 30)]
        assert all(len(value) == 1 and value[0] in (0, 2) for value in values)
        masks.append([float(value[0]) for value in values])
    assert 0.2 < np.mean(np.array(masks) == 0) < 0.8 and masks[0] != masks[1]


def test_the_last_layer_has_its_own_size_and_dropout():
    backbone = make("lstm-awd")
    assert backbone.output_size == 8
    assert [layer.units for layer in backbone.recurrent] == [10, 8]
    assert [drop.rate for drop in backbone.drops] == [0.25, 0.4]
    plain = BACKBONES.get("lstm")(VOCABULARY, units=5, layers=2, dropout=0.3)
    assert [drop.rate for drop in plain.drops] == [0.3, 0.3] and plain.output_size == 10
    experiment = load_experiment({"backbone": {"name": "lstm", **VARIANTS["lstm-awd"]}})
    assert load_experiment(experiment.model_dump(mode="json")) == experiment


def test_rotary_steps_beyond_the_limit_equal_a_window_of_it():
    backbone = make("transformer", causal=True, positions="rotary", max_length=4, layers=1)
    batch = np.random.default_rng(0).integers(1, VOCABULARY, (2, 12)).astype("int32")
    window = numpy(backbone(batch[:, -4:]))[:, -1]  # one layer: the window is all that it can know
    np.testing.assert_allclose(steps(backbone, batch)[0][:, -1], window, atol=2e-6)


def test_the_mask_of_a_bag_is_that_of_its_words_and_ngrams():
    backbone, (tokens, lengths) = make("bag-deep"), padded_tokens()
    mask = numpy(backbone.embedding_mask(ops.convert_to_tensor(tokens)))
    np.testing.assert_array_equal(mask.sum(axis=1), [sum(max(0, n - k) for k in range(3)) for n in lengths])


def test_an_activation_that_there_is_not_is_named():
    with pytest.raises(ConfigError, match=r"unknown activation 'tahn': did you mean 'tanh'\? \(allowed: celu, "):
        load_experiment({"backbone": {"name": "lstm", "activation": "tahn"}})
