"""Recurrent stacks of Keras 2 and 3 in this package's network: equal answers, and a run folder that is trained on."""

import json
from pathlib import Path

import numpy as np
import pytest

from nlp_suite import import_run, load
from nlp_suite.errors import ExportError, RunError
from nlp_suite.tasks.sentiment.imported.words import IdRule

KERAS_2 = Path(__file__).parents[3] / "fixtures" / "keras2"
VOCABULARY = ["good", "bad", "film", "plot", "a", "the", "dont", "9"]


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocabulary.txt"
    path.write_text("".join(f"w{i}\n" for i in range(30)), "utf-8")
    return path


def saved(path, *layers, mask=True, length=6):
    import keras

    keras.utils.set_random_seed(4)
    model = keras.Sequential(
        [
            keras.layers.TextVectorization(vocabulary=VOCABULARY, output_sequence_length=length),
            keras.layers.Embedding(10, 4, mask_zero=mask),
            *layers,
        ]
    )
    import tensorflow as tf

    model(tf.constant([["good"]]))
    draw = np.random.default_rng(3)
    for layer in model.layers[1:]:
        layer.set_weights([draw.normal(0, 0.5, weight.shape) for weight in layer.get_weights()])
    model.save(path)
    return model


@pytest.mark.parametrize("name", ["bilstm", "gru"])
def test_keras_2(tmp_path, vocabulary, name):
    recorded = json.loads((KERAS_2 / "answers.json").read_text("utf-8"))
    texts = [" ".join(f"w{i}" for i in row if i) for row in recorded["ids"]]
    result = import_run(KERAS_2 / f"{name}.h5", tmp_path / "run", ids=IdRule(vocabulary, "left", "tail", unknown=1))
    assert result.difference < 1e-6
    answer, expected = load(tmp_path / "run").probabilities(texts), np.array(recorded[name])
    np.testing.assert_allclose(answer if expected.shape[1] > 1 else answer[:, 1:], expected, atol=1e-6)


def test_keras_3_and_training_on(tmp_path, small):
    import keras
    import tensorflow as tf

    from nlp_suite.config import load_experiment
    from nlp_suite.training.run import Run
    from nlp_suite.training.train import train

    layers = [keras.layers.GRU(3, return_sequences=True), keras.layers.GRU(2), keras.layers.Dense(1, "sigmoid")]
    model = saved(tmp_path / "theirs.keras", *layers)
    result = import_run(tmp_path / "theirs.keras", tmp_path / "run", labels=["negative", "positive"])
    assert result.difference < 1e-6 and "--set training.init_from=" in result.describe()
    texts = ["A GOOD film!", "don't", "the plot, a bad plot: unknown words and far too many", "9"]
    expected = model(tf.constant(texts)[:, None]).numpy()[:, 0]
    np.testing.assert_allclose(load(tmp_path / "run").probabilities(texts)[:, 1], expected, atol=1e-6)
    with pytest.raises(RunError, match="is not empty"):
        import_run(tmp_path / "theirs.keras", tmp_path / "run")

    run = Run(tmp_path / "run")
    overrides = ["data.source.name=sample", "data.source.size=100", f"data.cache={tmp_path / 'cache'}"]
    more = ["training.epochs=1", "training.tensorboard=false", f"training.init_from={run.directory}"]
    experiment = load_experiment(tmp_path / "run" / "config.yaml", [*overrides, *more])
    trained = train(experiment, tmp_path / "on")
    before, after = run.model().get_weights(), trained.model().get_weights()
    assert [w.shape for w in before] == [w.shape for w in after]
    assert 0 < max(float(np.abs(a - b).max()) for a, b in zip(before, after)) < 0.2


def test_a_model_that_reads_its_padding(tmp_path):
    import keras
    import tensorflow as tf

    layers = [keras.layers.LSTM(3), keras.layers.Dense(2, "softmax")]
    model = saved(tmp_path / "theirs.keras", *layers, mask=False)
    result = import_run(tmp_path / "theirs.keras", tmp_path / "run")
    assert any("it read padding as a word" in remark for remark in result.remarks)
    full = ["a good film a bad plot"]
    np.testing.assert_allclose(load(tmp_path / "run").probabilities(full), model(tf.constant(full)[:, None]), atol=1e-6)


def other_models():
    from keras import layers

    yield [layers.GlobalAveragePooling1D(), layers.Dense(1)], "GlobalAveragePooling1D.*LSTM or GRU layers stand above"
    yield [layers.Conv1D(3, 2), layers.LSTM(2), layers.Dense(1)], "Conv1D"
    yield [layers.LSTM(2, return_sequences=True), layers.GRU(2), layers.Dense(1)], "GRU.*of one kind"
    yield [layers.LSTM(2, recurrent_activation="hard_sigmoid"), layers.Dense(1)], "recurrent_activation is sigmoid"
    yield [layers.GRU(2, reset_after=False), layers.Dense(1)], "has reset_after"
    yield [layers.Bidirectional(layers.LSTM(2), merge_mode="sum"), layers.Dense(1)], "merge_mode concat"
    yield [layers.LSTM(2), layers.BatchNormalization(), layers.Dense(1)], "BatchNormalization.*one Dense, or two"
    yield [layers.LSTM(2), layers.Dense(3, "tanh"), layers.Dense(1)], "activation relu"
    yield [layers.LSTM(2, return_sequences=True), layers.GlobalMaxPooling1D(), layers.Dense(1)], "GlobalMaxPooling1D"


def test_a_functional_model_with_a_mask():
    import keras
    from keras import layers

    from nlp_suite.tasks.sentiment.imported.recurrent import recognise

    tokens = keras.Input((6,))
    x = layers.Embedding(10, 4, mask_zero=True)(tokens)
    x = layers.GRU(3, return_sequences=True)(x)
    found = recognise(keras.Model(tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(x))))
    assert found.masked and found.task == {"pooling": ["mean"], "hidden": 0} and found.backbone["name"] == "gru"
    both = layers.Add()([x, x])
    with pytest.raises(ExportError, match="Add.*each layer reads the one before it alone"):
        recognise(keras.Model(tokens, layers.Dense(2)(layers.GlobalAveragePooling1D()(both))))


def test_other_models_are_named(tmp_path):
    from nlp_suite.tasks.sentiment.imported.recurrent import recognise

    for number, (layers, message) in enumerate(other_models()):
        model = saved(tmp_path / f"{number}.keras", *layers)
        with pytest.raises(ExportError, match=f"not recognised: .*{message}"):
            recognise(model)
    with pytest.raises(ExportError, match="GlobalMaxPooling1D.*can still be imported as it is, with --to"):
        import_run(tmp_path / f"{number}.keras", tmp_path / "run")
    assert not (tmp_path / "run").exists()
