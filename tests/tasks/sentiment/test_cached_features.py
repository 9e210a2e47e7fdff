"""`training.features: cached`: the training that it would be without, encoded once for all trainings, exact when resumed."""

import io
import re
import shutil
from typing import ClassVar

import keras
import numpy as np
import pytest
from rich.console import Console

from nlp_suite.backbones.transformer import TransformerBackbone
from nlp_suite.config import load_experiment
from nlp_suite.data.prepare import open_source
from nlp_suite.data.store import TokenStore
from nlp_suite.data.vector_cache import VectorCache
from nlp_suite.errors import ConfigError
from nlp_suite.export.load import load
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.backbones import TransformerSettings
from nlp_suite.tasks.sentiment import cached_vectors
from nlp_suite.training.checks import check_training
from nlp_suite.training.cross_validation import cross_validate
from nlp_suite.training.run import make_task
from nlp_suite.training.train import train
from tests.training.test_train import Killed, same, stop_after, weights

QUIET = Console(quiet=True)


class FrozenSettings(TransformerSettings):
    is_frozen: ClassVar[bool] = True


class Frozen(TransformerBackbone):
    """A Transformer that is never trained."""

    def build_encoder(self):
        super().build_encoder()
        for weight in self.weights:
            weight.trainable = False

    def frozen_weights(self):
        return self.weights


@pytest.fixture(autouse=True, scope="module")
def frozen():
    with BACKBONES.temporary():
        cls = keras.saving.register_keras_serializable("tests")(Frozen)
        yield BACKBONES.register(FrozenSettings, "frozen")(cls)


@pytest.fixture(scope="module")
def chosen(tmp_path_factory):
    """The experiment, with overrides; its cache is shared unless another is given."""
    cache = tmp_path_factory.mktemp("cache")

    def choose(*overrides, features="cached", **task):
        values = {
            "task": {"name": "sentiment", "pooling": ["mean", "last"], "dropout": 0.1, "hidden": 5, **task},
            "data": {"source": {"name": "sample", "size": 150, "test": 40}, "cache": str(cache)},
            "text": {"max_length": 30},
            "backbone": {
                "name": "frozen",
                "embedding_size": 8,
                "heads": 2,
                "feed_forward": 12,
                "layers": 1,
                "dropout": 0.0,
            },
            "training": {"epochs": 2, "learning_rate": 0.01, "features": features, "tensorboard": False},
        }
        return load_experiment(values, overrides)

    return choose


@pytest.fixture(scope="module")
def console():
    return Console(file=io.StringIO(), width=1000)


@pytest.fixture(scope="module")
def run(chosen, tmp_path_factory, console):
    return train(chosen(), tmp_path_factory.mktemp("cached") / "run", console=console)


def test_what_was_encoded_is_said_of_each_split(run, console):
    counts = {split: len(run.stores()[split]) for split in ("train", "validation")}
    said = re.findall(
        r"^(\w+): features of (\d+) texts, (\d+) of them encoded now: ", console.file.getvalue(), re.MULTILINE
    )
    assert [(split, int(count)) for split, count, _ in said] == [
        ("training", counts["train"]),
        ("validation", counts["validation"]),
    ]
    assert all(0 < int(made) <= int(count) for _, count, made in said)


@pytest.fixture
def added(monkeypatch):
    """How many vectors are added, batch by batch."""
    counts, add = [], VectorCache.add

    def counted(self, digests, vectors):
        counts.append(len(digests))
        add(self, digests, vectors)

    monkeypatch.setattr(VectorCache, "add", counted)
    return counts


def test_it_is_the_training_without(run, chosen, tmp_path):
    computed = train(chosen(features="computed"), tmp_path / "computed", console=QUIET)
    for ours, theirs in zip(weights(run), weights(computed), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for ours, theirs in zip(run.history, computed.history, strict=True):
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], abs=1e-5)
    temperatures = [r.info["fitted"]["calibration"]["temperature"] for r in (run, computed)]
    assert temperatures[0] == pytest.approx(temperatures[1], abs=1e-3)


def test_the_whole_network_answers_strings_as_the_head_answers_vectors(run):
    model, store = run.model(), run.stores()["test"]
    vectors = cached_vectors.CachedVectors(model, store)
    vectors.open()
    tokens = store.padded(range(len(store)), int(store.lengths.max()))
    logits = keras.ops.convert_to_numpy(model(tokens))
    np.testing.assert_allclose(vectors.logits(), logits, atol=1e-5)
    assert np.ptp(logits) > 0.01
    texts = [store.text(row) for row in range(len(store))]
    with pytest.raises(ValueError, match=r"floats are taken for vectors of 16 numbers.*token ids must be integers"):
        model(tokens.astype("float32"))
    np.testing.assert_allclose(load(run.directory).embed(texts), vectors[np.arange(len(store))], atol=1e-5)


def test_other_trainings_find_what_was_made(run, chosen, added):
    other = make_task(chosen("task.hidden=0", "task.dropout=0.5")).model(run.experiment.backbone, run.assets)
    for weight, value in zip(other.backbone.weights, run.model().backbone.weights, strict=True):
        weight.assign(value)
    for store in map(run.stores().get, ("train", "validation")):
        vectors = cached_vectors.CachedVectors(other, store)
        vectors.open()
        assert vectors.made == 0 and added == []
    digest = cached_vectors.model_digest(other)
    other.backbone.weights[-1].assign_add([1e-6] * 8)
    pooled = make_task(chosen(pooling=["last", "mean"])).model(run.experiment.backbone, run.assets)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        halved = make_task(chosen()).model(run.experiment.backbone, run.assets)
    finally:
        keras.config.set_dtype_policy("float32")
    for weight, value in zip(halved.backbone.weights, run.model().backbone.weights, strict=True):
        weight.assign(value)
    assert len({digest, *map(cached_vectors.model_digest, (other, pooled, halved))}) == 4


def test_killed_while_it_encodes_it_goes_on_to_the_same_bits(run, tmp_path, added, monkeypatch):
    monkeypatch.setattr(cached_vectors, "BATCH_TOKENS", 256)
    model, stores = (
        run.model(),
        [shutil.copytree(run.stores()["train"].directory, tmp_path / n / "a" / "b") for n in "xy"],
    )
    whole, killed = (cached_vectors.CachedVectors(model, TokenStore(store)) for store in stores)
    whole.open()
    add, left = VectorCache.add, [len(added) // 2]

    def dies(self, digests, vectors):
        add(self, digests, vectors)
        left[0] -= 1
        if left[0] < 0:
            with open(self.path, "r+b") as file:
                file.truncate(self.path.stat().st_size - 7)  # in the middle of a record
            raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(VectorCache, "add", dies)
        killed.open()
    added.clear()
    killed.open()
    rows = np.arange(len(TokenStore(stores[0])))
    assert 0 < sum(added) < len(rows) - 20
    np.testing.assert_array_equal(killed[rows], whole[rows])


@pytest.mark.slow
def test_the_folds_of_a_cross_validation_share_it(chosen, tmp_path, added):
    experiment = chosen(f"data.cache={tmp_path}/cache", "training.epochs=1", "text.tokenizer=byte")
    cross_validate(experiment, tmp_path / "folds", folds=2)
    read = {example["text"].lower()[:30] for example in open_source(experiment).examples("train")}  # its first 30 bytes
    assert sum(added) == len(read)


def test_a_run_that_was_stopped_ends_with_the_same_weights(run, chosen, tmp_path, monkeypatch):
    experiment, add = chosen(f"data.cache={tmp_path}/cache"), VectorCache.add

    def dies(self, digests, vectors):
        add(self, digests, vectors)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):  # while it encodes, before the first step
        patch.setattr(VectorCache, "add", dies)
        train(experiment, tmp_path / "run", console=QUIET)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, 1)
        train(experiment, tmp_path / "run", console=QUIET)
    resumed = train(experiment, tmp_path / "run", console=QUIET)
    assert same(weights(resumed), weights(run)) and same(weights(resumed, "best"), weights(run, "best"))


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["ordinal", "regression", "multi_label"])
def test_every_problem_has_it(chosen, tmp_path, problem):
    rows = [(f"a {word} film of {i} hours", i % 3) for i, word in enumerate(["good", "dull", "fine", "bad"] * 12)]
    lines = [f"{text}\t{label if problem != 'multi_label' else ['x', 'y', 'x|y'][label]}" for text, label in rows]
    (tmp_path / "rows.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    source = f"data.source={{name: files, train: {tmp_path}/rows.tsv, test: {tmp_path}/rows.tsv}}"
    both = [
        train(chosen(source, "training.epochs=1", features=name, problem=problem), tmp_path / name, console=QUIET)
        for name in ("cached", "computed")
    ]
    for ours, theirs in zip(*map(weights, both), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    "overrides, message",
    [
        (["backbone={name: lstm}"], r"for a backbone that training does not change.* set backbone.freeze: all \(backbone preset\)"),
        (["task.pooling=[mean, attention]"], r"task.pooling attention has weights that are trained.*: take first, last, mean or"),
        (["backbone.word_dropout=0.1"], r"backbone.word_dropout 0.1 makes other features of a text at every step"),
        (["backbone.embedding_dropout=0.1"], r"backbone.embedding_dropout 0.1 makes"),
    ],
)  # fmt: skip
def test_what_changes_from_step_to_step_is_refused(chosen, tmp_path, overrides, message):
    with pytest.raises(ConfigError, match=message):
        check_training(chosen(*overrides), tmp_path / "run")


def test_a_task_without_vectors_of_texts_refuses_it():
    with pytest.raises(ConfigError, match=r"'language_model' does not use training.features; tasks that do: sentiment"):
        load_experiment({"task": "language_model", "training": {"features": "cached"}})
