"""Run folders for the tests of export: real text layers and networks with random weights, made without training."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tests.sized import sized

TEXTS = [
    "a fine film and a great cast",
    "not a fine film , a dull plot",
    "the plot is dull but the cast is great",
    "great",
    "I did not like it at all , it was slow and dull and far too long for what it has to say",
] * 4
LABELS = ["negative", "positive"]
TEMPERATURE = 1.7  # so that every export has to have it
SMALL = {
    "bag": {"name": "bag", "embedding_size": 6, "ngram_buckets": 64, "hidden": [5]},
    "cnn": {"name": "cnn", "embedding_size": 6, "filters": 4, "layers": 2},
    "rnn": {"name": "rnn", "embedding_size": 6, "units": 4},
    "lstm": {"name": "lstm", "embedding_size": 6, "units": 4, "layers": 2, "residual": True, "layer_norm": True},
    "gru": {"name": "gru", "embedding_size": 6, "units": 4, "bidirectional": False},
    "transformer": {"name": "transformer", "embedding_size": 8, "layers": 2, "heads": 2, "feed_forward": 8},
}


def make_run(
    directory, backbone, labels=LABELS, pooling=("max", "mean"), text=None, texts=TEXTS, layer=None, facts=None, **task
):
    """A run folder as training leaves it, with random weights; `layer` makes the text layer of the text settings."""
    import keras

    from nlp_suite.config import load_experiment
    from nlp_suite.text.text_layer import TextLayer
    from nlp_suite.training.run import make_task

    experiment = load_experiment(
        {
            "task": {"name": "sentiment", "pooling": list(pooling), **task},
            "data": {"cache": str(directory / "cache"), "source": {"name": "sample", "size": 60, "test": 20}},
            "text": {"tokenizer": "word", "max_length": 24, **(text or {})},
            "backbone": backbone,
            "export": {"warmup_texts": TEXTS[:3], "license": "Apache-2.0"},
        }
    )
    keras.utils.set_random_seed(3)
    layer = layer(experiment.text) if layer else TextLayer.train(experiment.text, texts)
    layer.save(directory / "text")
    assets = replace(sized(layer.vocabulary_size, labels), facts=facts or {})
    model = make_task(experiment).model(experiment.backbone, assets)
    draw = np.random.default_rng(5)
    for variable in model.trainable_variables:  # biases too, so that padding would show
        variable.assign(draw.normal(0, 0.5, variable.shape))
    (directory / "checkpoints").mkdir()
    model.save_weights(directory / "checkpoints" / "best.weights.h5")
    (directory / "config.yaml").write_text(experiment.to_yaml(), "utf-8")
    info = {"schema": 1, "state": "finished", "labels": labels, "statistics": {"train": {"texts": 60, "tokens": 600}}}
    info["facts"] = facts or {}
    info["fitted"] = {"calibration": {"temperature": TEMPERATURE}}
    (directory / "run.json").write_text(json.dumps(info), "utf-8")
    (directory / "report.json").write_text(json.dumps({"accuracy": 0.5, "macro": {"f1": 0.4}, "mistakes": []}), "utf-8")
    return directory


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"), SMALL["lstm"])


@pytest.fixture(scope="session")
def exported(run_dir, tmp_path_factory):
    """An export of the LSTM run, made once."""
    from nlp_suite.export import run_export

    return run_export(run_dir, tmp_path_factory.mktemp("models") / "demo")


class Server:
    """A version folder behind the TF1 session loader: the runtime path of TensorFlow Serving."""

    def __init__(self, path):
        import tensorflow as tf
        import tensorflow_text  # noqa: F401

        self.graph = tf.Graph()
        with self.graph.as_default():
            self.session = tf.compat.v1.Session()
            meta_graph = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(path))
        self.signatures = meta_graph.signature_def

    def __call__(self, signature, **inputs):
        definition = self.signatures[signature]
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        return self.session.run({name: info.name for name, info in definition.outputs.items()}, feeds)


@pytest.fixture(scope="session")
def server(exported, tmp_path_factory):
    """The export, moved to another folder."""
    import shutil

    return Server(shutil.copytree(exported.path, tmp_path_factory.mktemp("elsewhere") / "7"))


@pytest.fixture(scope="session")
def predictor(run_dir):
    from nlp_suite.export.load import load

    return load(run_dir)
