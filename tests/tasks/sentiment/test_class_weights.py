"""Class weights: the optimum that training reaches does not depend on how rows are put into batches."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from nlp_suite.config import load_experiment
from nlp_suite.task import Assets
from nlp_suite.tasks.sentiment import SentimentTask
from nlp_suite.tasks.sentiment.metrics import class_weights
from nlp_suite.training.feed import feed
from nlp_suite.training.optimizer import make_optimizer

LABELS = ["common", "rare"]
IDS = np.repeat([0, 1], [18, 2])
WEIGHTS = {"common": 1.0, "rare": 100.0}
OPTIMUM = 0.1 * 100 / (0.1 * 100 + 0.9)  # of p(rare), where texts do not differ


class Store:
    """Texts that do not differ but in their length, which is 1 or 2 tokens."""

    labels = IDS
    lengths = np.tile([1, 2, 2, 1, 1], 4)

    def __len__(self):
        return len(self.labels)

    def padded(self, rows, length):
        return (np.arange(length) < self.lengths[rows][:, None]).astype("int32")


def training(rate=1.0, **settings):
    values = {"optimizer": "sgd", "learning_rate": rate, "class_weights": WEIGHTS, "seed": 3, **settings}
    return load_experiment({"training": values, "backbone": {"name": "bag", "embedding_size": 1}}).training


def compiled(settings, stores=None):
    """A model whose logits are those of a classifier that sees nothing but its bias, and its batches."""
    task, backbone = SentimentTask(), load_experiment({"backbone": {"name": "bag", "embedding_size": 1}}).backbone
    model = task.model(backbone, Assets(SimpleNamespace(vocabulary_size=4), None, LABELS))
    model.backbone.trainable = False
    model.classifier.kernel.assign([[0.0, 0.0]])
    model.classifier.kernel.trainable = False
    stores = stores or {"train": Store(), "validation": Store()}
    batches, held_out = task.training_batches(model, stores, LABELS, settings)
    optimizer, _ = make_optimizer(settings, 100)
    model.compile(optimizer, task.loss(), weighted_metrics=task.metrics(LABELS), jit_compile=False)
    return model, batches, held_out


def fit(model, batches, epochs):
    steps = epochs * batches.steps_per_epoch
    return model.fit(feed(batches.batch), steps_per_epoch=steps, verbose=0, shuffle=False).history


def rare(model):
    logits = keras.ops.softmax(model(np.ones((1, 1), "int32")), axis=-1)
    return float(keras.ops.convert_to_numpy(logits)[0, 1])


@pytest.mark.parametrize("settings", [{"batch_size": 1}, {"batch_size": 32}, {"batch_size": 512}])
def test_the_weighted_optimum_is_reached_at_every_batch_size(settings):
    """A batch's gradient is divided by its size, so that a rate in proportion to it makes steps of one size."""
    model, batches, _ = compiled(training(0.01 * settings["batch_size"], buckets=2, **settings))
    fit(model, batches, 25)
    assert rare(model) == pytest.approx(OPTIMUM, abs=0.03)


def test_balanced_weights_make_a_rare_label_as_likely_as_any_other():
    model, batches, _ = compiled(training(2.0, batch_size=32, buckets=2, class_weights="balanced"))
    fit(model, batches, 40)
    assert rare(model) == pytest.approx(0.5, abs=0.03)


def test_accumulated_batches_are_one_big_batch():
    """12 rows of one length and 8 of another in one batch, and in several of 5 or 20 rows that are filled up."""
    biases = []
    for rows, buckets, steps in [(20, 1, 1), (4, 2, 5), (5, 2, 5), (20, 2, 2)]:
        places = rows * steps  # what the accumulated sum over all rows is divided by
        settings = {"batch_size": rows, "buckets": buckets, "accumulation_steps": steps}
        model, batches, _ = compiled(training(places / 20, **settings))
        assert batches.steps_per_epoch == steps
        fit(model, batches, 1)
        biases.append(keras.ops.convert_to_numpy(model.classifier.bias))
    assert np.abs(biases[0]).min() > 0.1
    for bias in biases[1:]:
        np.testing.assert_allclose(bias, biases[0], rtol=1e-6)


def test_metrics_count_every_row_once_in_training_as_in_validation():
    model, batches, held_out = compiled(training(1e-9, batch_size=3, buckets=2))
    model.classifier.bias.assign([0.0, 1.0])
    log = fit(model, batches, 1)
    measured = model.evaluate(feed(held_out.batch), steps=held_out.steps_per_epoch, return_dict=True, verbose=0)
    cross_entropy = np.logaddexp(0, [1, -1]) @ [0.9, 0.1]
    for values in ({key: value[0] for key, value in log.items()}, measured):
        assert values["accuracy"] == pytest.approx(0.1)
        assert values["cross_entropy"] == pytest.approx(cross_entropy, rel=1e-5)
    assert log["loss"][0] > 2 * cross_entropy, "what is minimised is weighted"


def test_the_weights_are_said():
    _, batches, _ = compiled(training(batch_size=3, buckets=2))
    assert "class weights: common 1, rare 100 (in the loss that is minimised" in batches.description
    assert "class weights" not in compiled(training(batch_size=3, class_weights="none"))[1].description


def test_weights_by_name_and_by_frequency():
    ids = np.array([0, 0, 0, 1])
    assert class_weights("balanced", ["a", "b"], ids).tolist() == pytest.approx([4 / 6, 2])
    assert class_weights({"b": 3}, ["a", "b"], ids).tolist() == [1, 3]
