"""Learning on the sample corpus, whose best accuracy is known, as the README and the config header say."""

from pathlib import Path

import pytest
from rich.console import Console

from nlp_suite.config import load_experiment
from nlp_suite.registry import SOURCES
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.train import train

CONFIG = Path(__file__).parents[2] / "configs" / "sentiment_sample.yaml"
BACKBONES = {
    "lstm": [],
    "gru": ["backbone={name: gru, embedding_size: 32, units: 32}"],
    "cnn": ["backbone=cnn", "training.learning_rate=0.001", "training.epochs=12"],
    "transformer": [
        "backbone={name: transformer, embedding_size: 64, feed_forward: 128, positions: rotary}",
        "training.learning_rate=0.001",
        "training.epochs=12",
    ],
}
BAG = ["task.pooling=[mean]", "training.learning_rate=0.02", "training.epochs=15"]


def accuracy(tmp_path, overrides):
    experiment = load_experiment(CONFIG, [*overrides, f"data.cache={tmp_path / 'cache'}", "training.tensorboard=false"])
    run = train(experiment, tmp_path / "run", console=Console(quiet=True))
    source = SOURCES.get("sample")(**experiment.data.source.arguments())
    return evaluate(run)["accuracy"], source


@pytest.mark.slow
@pytest.mark.parametrize("backbone", BACKBONES)
def test_word_order_is_learned(tmp_path, backbone):
    reached, source = accuracy(tmp_path, BACKBONES[backbone])
    assert source.optimum["bayes_accuracy"] == 1.0
    assert reached >= 0.99


@pytest.mark.slow
def test_a_bag_of_single_words_cannot(tmp_path):
    reached, source = accuracy(tmp_path, ["backbone={name: bag, ngrams: 1, embedding_size: 16}", *BAG])
    assert reached < source.optimum["bag_accuracy"] + 0.04 < 0.8, (
        "the ceiling, and three standard errors of 1,000 test reviews"
    )
    with_bigrams, _ = accuracy(tmp_path / "2", ["backbone={name: bag, ngrams: 2, embedding_size: 16}", *BAG])
    assert with_bigrams > reached
