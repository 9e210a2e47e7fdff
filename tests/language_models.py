"""Language models for the tests: small networks with random weights, and run folders made without training."""

import json

import numpy as np

from nlp_suite.text.text_layer import TextLayer
from tests.sized import sized

TEXT = """the cat sees a dog
a dog sees the cat and the bird
the bird sings

Größe, naïve déjà vu : 日本
the old cat sleeps
"""
BACKBONES = {
    "rnn": {"name": "rnn", "embedding_size": 8, "units": 6},
    "lstm": {"name": "lstm", "embedding_size": 8, "units": 6, "layers": 2, "last_units": 8},
    "gru": {"name": "gru", "embedding_size": 8, "units": 8, "layer_norm": True},
    **{
        f"transformer-{positions}": {
            "name": "transformer",
            "embedding_size": 8,
            "heads": 2,
            "feed_forward": 12,
            "positions": positions,
        }
        for positions in ("sinusoidal", "learned", "rotary")
    },
}
RECURRENT = ["rnn", "lstm", "gru"]


def _backbone(chosen):
    return BACKBONES[chosen] if isinstance(chosen, str) else chosen


def experiment(directory, backbone="lstm", text=None, training=None, source=None, content=TEXT, **task):
    """An experiment on a text file in a folder."""
    from nlp_suite.config import load_experiment

    directory.mkdir(parents=True, exist_ok=True)
    file = directory / "text.txt"
    if not file.exists():
        file.write_text(content, "utf-8")
    paths = {split: str(file) for split in ("train", "validation", "test")}
    return load_experiment(
        {
            "task": {"name": "language_model", "window": 12, "evaluation_batch_size": 3, "max_generated": 20, **task},
            "data": {"source": {"name": "text", **paths, **(source or {})}, "cache": str(directory / "cache")},
            "text": {"tokenizer": {"name": "word", "min_count": 1}, **(text or {})},
            "backbone": _backbone(backbone),
            "training": {
                "epochs": 2,
                "batch_size": 2,
                "learning_rate": 0.01,
                "tensorboard": False,
                **(training or {}),
            },
            "export": {"license": "Apache-2.0"},
        }
    )


def network(backbone="lstm", vocabulary_size=40, seed=5, scale=0.6, **task):
    """A network with random weights, biases too, so that padding and states would show."""
    import keras

    from nlp_suite.config import load_experiment
    from nlp_suite.training.run import make_task

    chosen = load_experiment({"task": {"name": "language_model", **task}, "backbone": _backbone(backbone)})
    keras.utils.set_random_seed(seed)
    model = make_task(chosen).model(chosen.backbone, sized(vocabulary_size))
    return randomised(model, seed, scale)


def randomised(model, seed=5, scale=0.6):
    draw = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(draw.normal(0, scale, variable.shape))
    return model


def make_run(directory, backbone="lstm", *, scale=0.6, **sections):
    """A run folder as training leaves it, with random weights."""
    from nlp_suite.training.run import make_task

    chosen = experiment(directory, backbone, **sections)
    from nlp_suite.data.prepare import prepare

    prepared = prepare(chosen)
    model = make_task(chosen).model(chosen.backbone, prepared.assets)
    randomised(model, scale=scale)
    prepared.text.save(directory / "text")
    assert TextLayer.load(directory / "text").fingerprint == prepared.text.fingerprint
    (directory / "checkpoints").mkdir()
    model.save_weights(directory / "checkpoints" / "best.weights.h5")
    (directory / "config.yaml").write_text(chosen.to_yaml(), "utf-8")
    info = {"schema": 1, "state": "finished", "labels": [], "statistics": prepared.statistics}
    (directory / "run.json").write_text(json.dumps(info), "utf-8")
    return directory
