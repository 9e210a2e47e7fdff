"""A `.keras` file answers as the network does, with this package or, when plain, without it."""

import zipfile

import keras
import numpy as np
import pytest

from nlp_suite.errors import ExportError, RequestError, UsageError
from nlp_suite.export import run_export
from nlp_suite.export.load import load
from nlp_suite.export.plain_model import plain_model
from nlp_suite.export.self_check import check_keras
from nlp_suite.layers.sequence_pooling import POOLINGS
from nlp_suite.tasks.sentiment.network import SentimentModel
from tests.export.conftest import SMALL, TEXTS, make_run

VARIANTS = {
    **SMALL,
    "deep_gru": {"name": "gru", "embedding_size": 4, "units": 4, "layers": 2, "bidirectional": True},
    "post_norm": {**SMALL["transformer"], "norm": "post", "positions": "learned"},
    "rotary": {**SMALL["transformer"], "positions": "rotary", "causal": True},
    "trigrams": {**SMALL["bag"], "ngrams": 3},
}


def network(name, pooling=POOLINGS):
    from nlp_suite.registry import BACKBONES

    keras.utils.set_random_seed(1)
    settings = dict(VARIANTS[name])
    backbone = BACKBONES.get(settings.pop("name"))(vocabulary_size=30, **settings)
    model = SentimentModel(backbone, classes=3, pooling=pooling, hidden=4)
    model.build((None, None))
    draw = np.random.default_rng(2)
    for variable in model.trainable_variables:
        variable.assign(draw.normal(0, 0.5, variable.shape))
    return model


@pytest.mark.parametrize("name", VARIANTS)
def test_the_plain_model_has_stock_parts_and_the_same_numbers_and_gradients(name, tmp_path):
    model = network(name)
    plain_model(model).save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert b"nlp_suite" not in archive.read("config.json")
    plain = keras.saving.load_model(tmp_path / "m.keras")
    tokens = np.array([[4, 9, 2, 7, 5, 6], [8, 3, 0, 0, 0, 0], [5, 0, 0, 0, 0, 0]], "int32")
    expected = np.asarray(model(tokens))
    np.testing.assert_allclose(plain(tokens), expected, atol=1e-5)
    np.testing.assert_allclose(plain(tokens[1:2, :2]), expected[1:2], atol=1e-5)
    np.testing.assert_allclose(plain(np.pad(tokens, [(0, 0), (0, 5)])), expected, atol=1e-5)
    assert plain.count_params() == model.count_params()
    plain.trainable = True
    assert len(plain.trainable_variables) == len(model.trainable_variables)


class Foreign(keras.layers.Layer):
    def call(self, x):
        return x * 2.0


class OwnWeights(keras.layers.Layer):
    def build(self, shape):
        self.scale = self.add_weight(shape=(shape[-1],), name="scale")

    def call(self, x):
        return x * self.scale


class Odd(keras.Model):
    def __init__(self, layer):
        super().__init__()
        self.embedding, self.layer = keras.layers.Embedding(9, 4), layer

    def call(self, tokens):
        return keras.ops.mean(self.layer(self.embedding(tokens)), axis=1)


@pytest.mark.parametrize("layer", [Foreign, OwnWeights])
def test_what_stock_keras_cannot_express_is_refused_by_name(layer):
    model = Odd(layer(name="odd"))
    model(np.ones((1, 2), "int32"))
    with pytest.raises(ExportError, match=rf"stock Keras cannot express {layer.__name__} \(layer 'odd'\)"):
        plain_model(model)


def test_a_network_that_needs_values_of_tensors_is_refused():
    class Peeking(SentimentModel):
        def call(self, tokens):
            return super().call(tokens[:, : int(np.asarray(tokens).max())])

    model = Peeking(network("bag").backbone, classes=2)
    model.build((None, None))
    with pytest.raises(ExportError, match="Peeking cannot be written with stock Keras layers"):
        plain_model(model)


@pytest.fixture(scope="module")
def gru_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("gru"), SMALL["gru"], pooling=POOLINGS)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["keras", "keras-plain"])
def test_a_file_is_checked_in_a_fresh_process_and_predicts_strings(format, gru_run, tmp_path):
    result = run_export(gru_run, tmp_path / "new" / "gru.keras", format=format)
    assert result.path == tmp_path / "new" / "gru.keras" and [result.path] == list(result.path.parent.iterdir())
    assert result.report["self_check"]["rows"] >= 6 and "self-check" in result.describe()
    np.testing.assert_allclose(
        load(result.path).probabilities(TEXTS[:5]), load(gru_run).probabilities(TEXTS[:5]), atol=1e-5
    )
    if format == "keras":
        np.testing.assert_allclose(load(result.path).embed(TEXTS[:5]), load(gru_run).embed(TEXTS[:5]), atol=1e-5)
    else:
        with pytest.raises(RequestError, match="has logits only, and no vectors: embed with the run"):
            load(result.path).embed(TEXTS[:5])
    tokens, logits = np.array([[4, 5, 0]], "int32"), np.zeros((1, 2), "float32")
    with pytest.raises(ExportError, match="differs by"):
        check_keras(result.path, tokens, logits, with_package=format == "keras", tolerance=1e-5)
    if format == "keras":
        with pytest.raises(ExportError, match="SentimentModel"):
            check_keras(result.path, tokens, logits, with_package=False, tolerance=1e-5)
        check_backend(result.path)
        check_damages(result.path)


def test_a_keras_file_of_someone_else_is_not_called_damaged(tmp_path):
    keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).save(tmp_path / "m.keras")
    with pytest.raises(ExportError, match=r"^'.*m.keras' holds no text layer: it was not written by nlp-suite export$"):
        load(tmp_path / "m.keras")


def check_backend(path):
    """A backend that there is not is no damage of the file."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(UsageError, match="^KERAS_BACKEND='numpy' is no backend"):
        patch.setenv("KERAS_BACKEND", "numpy")
        load(path)


def check_damages(path):
    """A damaged file is refused, or answers as before where the byte meant nothing."""
    whole, expected = path.read_bytes(), load(path).probabilities(TEXTS[:5])
    damages = [b"", bytes(len(whole)), whole[: len(whole) // 2]]
    for place in range(len(whole) // 12, len(whole), len(whole) // 12):
        damages.append(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    named = 0
    for content in damages:
        path.write_bytes(content)
        try:
            assert (load(path).probabilities(TEXTS[:5]) == expected).all()
        except ExportError as error:
            named += "gru.keras" in str(error) and "export the run again" in str(error)
    assert named >= 10


def test_a_refused_file_leaves_the_old_one_alone(gru_run, tmp_path, monkeypatch):
    (tmp_path / "m.keras").write_text("old")
    monkeypatch.setattr(keras.Model, "save", lambda self, path: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(ExportError, match="No space left"):
        run_export(gru_run, tmp_path / "m.keras", format="keras")
    assert (tmp_path / "m.keras").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_wrong_paths_are_named(gru_run, tmp_path):
    with pytest.raises(ExportError, match=r"ends in \.keras"):
        run_export(gru_run, tmp_path / "m", format="keras")
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(ExportError, match="is a folder"):
        run_export(gru_run, tmp_path / "folder.keras", format="keras-plain")


BY_LABEL = {**SMALL["bag"], "embedding_size": 3, "hidden": [], "average": "l2", "idf": True}


def test_a_bag_of_weights_by_label_as_stock_layers(tmp_path):
    run = make_run(tmp_path, BY_LABEL, labels=["bad", "fair", "good"], pooling=["mean"], classifier="identity")
    model, tokens = load(run).model, np.array([[4, 9, 2, 7, 5, 6], [8, 3, 0, 0, 0, 0]], "int32")
    plain_model(model).save(tmp_path / "m.keras")
    np.testing.assert_allclose(keras.saving.load_model(tmp_path / "m.keras")(tokens), model(tokens), atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "saved_model"])
def test_a_bag_of_weights_by_label_is_exported(tmp_path, form):
    if form == "onnx":
        pytest.importorskip("tf2onnx", reason="tf2onnx is not installed")
    run = make_run(tmp_path, BY_LABEL, labels=["bad", "fair", "good"], pooling=["mean"], classifier="identity")
    assert run_export(run, tmp_path / "exported", format=form).report["self_check"]["largest_difference"] < 1e-5
