"""Translation models for the tests: small networks with random weights, and run folders made without training."""

import json

import numpy as np

PAIRS = [
    ("the cat sees a dog .", "die Katze sieht einen Hund ."),
    ("a dog sees the cat .", "ein Hund sieht die Katze ."),
    ("the bird sings", "der Vogel singt"),
    ("the old cat sleeps in the big house .", "die alte Katze schläft im großen Haus ."),
]
NETWORKS = {
    "gru": ({"name": "gru", "units": 6}, {"name": "gru", "units": 8}),
    "lstm": ({"name": "lstm", "units": 6}, {"name": "lstm", "units": 8, "attention": "luong"}),
    "transformer": (
        {"name": "transformer", "heads": 2, "feed_forward": 12, "layers": 1},
        {"name": "transformer", "heads": 2, "feed_forward": 12, "layers": 2},
    ),
}


def experiment(directory, network="gru", *, text=None, target_text=None, training=None, **task):
    """An experiment on two files in a folder."""
    from nlp_suite.config import load_experiment

    directory.mkdir(parents=True, exist_ok=True)
    for side, name in enumerate(("source.txt", "target.txt")):
        (directory / name).write_text("".join(pair[side] + "\n" for pair in PAIRS), "utf-8")
    files = {"source": str(directory / "source.txt"), "target": str(directory / "target.txt")}
    backbone, decoder = NETWORKS[network]
    values = {
        "task": {"name": "translation", "decoder": decoder, "max_tokens": 40, "max_length_extra": 8, **task},
        "data": {
            "source": {"name": "parallel", **dict.fromkeys(("train", "validation", "test"), files)},
            "cache": str(directory / "cache"),
        },
        "text": {"tokenizer": {"name": "word", "min_count": 1}, "max_length": 40, **(text or {})},
        "backbone": {"embedding_size": 8, **backbone},
        "training": {"epochs": 1, "batch_size": 2, "tensorboard": False, **(training or {})},
    }
    if target_text is not None:
        values["target_text"] = target_text
    return load_experiment(values)


def text_layers(shared=True):
    """The text layers of both sides, learnt from PAIRS."""
    from nlp_suite.config import TextSettings
    from nlp_suite.text.text_layer import TextLayer

    settings = {"tokenizer": {"name": "word", "min_count": 1}, "add_end": True, "lowercase": False, "strip_html": False}
    settings = TextSettings(**settings, max_length=40)
    if shared:
        layer = TextLayer.train(settings, [text for pair in PAIRS for text in pair])
        return layer, layer
    return tuple(TextLayer.train(settings, [pair[side] for pair in PAIRS]) for side in (0, 1))


def network(chosen, text, target_text, seed=5, scale=0.6):
    """A network with random weights, biases too, so that padding and states would show."""
    from nlp_suite.config import load_experiment
    from nlp_suite.task import Assets
    from nlp_suite.training.run import make_task
    from tests.language_models import randomised

    backbone, decoder = NETWORKS[chosen]
    task = {"name": "translation", "decoder": decoder}
    made = load_experiment({"task": task, "backbone": {"embedding_size": 8, **backbone}})
    return randomised(make_task(made).model(made.backbone, Assets(text, target_text)), seed, scale)


def make_run(directory, network="gru", *, seed=5, scale=0.6, **sections):
    """A run folder as training leaves it, with random weights."""
    from nlp_suite.data.prepare import prepare, save_texts
    from nlp_suite.training.run import make_task
    from tests.language_models import randomised

    chosen = experiment(directory, network, **sections)
    prepared = prepare(chosen)
    model = randomised(make_task(chosen).model(chosen.backbone, prepared.assets), seed, scale)
    save_texts(directory, prepared.text, prepared.target_text)
    (directory / "checkpoints").mkdir()
    model.save_weights(directory / "checkpoints" / "best.weights.h5")
    (directory / "config.yaml").write_text(chosen.to_yaml(), "utf-8")
    info = {"schema": 1, "state": "finished", "labels": [], "statistics": prepared.statistics}
    (directory / "run.json").write_text(json.dumps(info, default=np.ndarray.tolist), "utf-8")
    return directory
