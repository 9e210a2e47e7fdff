"""Files of someone else's models that are refused before anything is built from them, each with its reason."""

import json
import pickle
import sys
import zipfile

import h5py
import numpy as np
import pytest

from nlp_suite.errors import ExportError
from nlp_suite.tasks.sentiment.imported.reading import look_at


def layer(kind, name="one", module="keras.layers", registered=None, **config):
    return {"module": module, "class_name": kind, "config": {"name": name, **config}, "registered_name": registered}


def model(*layers, **config):
    return {"module": "keras", "class_name": "Sequential", "config": {"name": "m", "layers": list(layers), **config}}


def keras_file(path, config, names=("metadata.json", "config.json", "model.weights.h5")):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, json.dumps(config) if name == "config.json" else "{}")
    return path


def h5_file(path, **attributes):
    with h5py.File(path, "w") as file:
        file.create_group("model_weights")
        for name, value in attributes.items():
            file.attrs[name] = value
    return path


def test_what_may_be_opened(tmp_path):
    fine = model(layer("Embedding"), layer("Dense", activation="softmax"))
    assert look_at(keras_file(tmp_path / "a.keras", fine)).kind == "keras"
    compiled = {**fine, "compile_config": {"loss": layer("TheirLoss", module="theirs")}}
    assert look_at(keras_file(tmp_path / "b.keras", compiled)).config == fine
    assert look_at(h5_file(tmp_path / "a.h5", model_config=json.dumps(fine))).config == fine


@pytest.mark.parametrize(
    "config, message",
    [
        (
            model(layer("Lambda", "squeeze", function={"class_name": "__lambda__", "config": {}})),
            "Lambda 'squeeze' is Python",
        ),
        (
            model(layer("Dense", activation={"class_name": "__lambda__", "config": {"value": "x"}})),
            "safe_mode stays on",
        ),
        (
            model(layer("Attention", "theirs", "their.layers", "Package>Attention")),
            "'theirs' .Package>Attention. is a custom",
        ),
        (model(layer("TransformerEncoder", module="keras_hub.layers")), "keras_hub.layers. is a custom object"),
        (model(layer("Run", module="os")), "custom object"),
        (model(input_layers=[["words", 0, 0], ["length", 0, 0]]), r"2 inputs \(words, length\)"),
        (model(input_layers={"a": ["a", 0, 0], "b": ["b", 0, 0]}), r"2 inputs \(a, b\)"),
        (["no", "model"], "no config of one"),
    ],
)
def test_models_that_are_refused(tmp_path, config, message):
    with pytest.raises(ExportError, match=message):
        look_at(keras_file(tmp_path / "theirs.keras", config))


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("absent.keras", None, "does not exist"),
        ("model.onnx", b"anything", "none of these: a .keras file"),
        ("model.zip", b"PK\x03\x04rest", "by what is in it, it is a Keras 3 file"),
        ("model.keras", b"\x89HDF\r\n\x1a\nrest", "is an H5 file .* by what is in it, not a Keras 3 file"),
        ("model.h5", b"PK\x03\x04rest", "is a Keras 3 file .* by what is in it, not an H5 file"),
        ("model.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 20, "is damaged"),
        ("model.keras", b"PK\x03\x04" + b"\0" * 20, "is damaged"),
        ("model.keras", b"", "does not begin as"),
    ],
)
def test_files_of_another_format(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ExportError, match=message):
        look_at(tmp_path / name)


def test_truncated_files(tmp_path):
    archive, table = (
        keras_file(tmp_path / "a.keras", model()),
        h5_file(tmp_path / "a.h5", model_config=json.dumps(model())),
    )
    for path in (archive, table):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(ExportError, match="is damaged"):
            look_at(path)


def test_an_archive_that_lacks_a_member(tmp_path):
    with pytest.raises(ExportError, match=r"lacks model\.weights\.h5"):
        look_at(keras_file(tmp_path / "a.keras", model(), ("config.json",)))


class Exploding:
    def __reduce__(self):
        return sys.exit, ("a pickle was opened",)


@pytest.mark.parametrize("place", ["model_config", "training_config"])
def test_a_pickle_is_never_opened(tmp_path, place):
    attributes = {"model_config": json.dumps(model()), place: np.void(pickle.dumps(Exploding()))}
    with pytest.raises(ExportError, match=f"attribute {place} is a pickle"):
        look_at(h5_file(tmp_path / "a.h5", **attributes))


def test_h5_files_that_are_no_model(tmp_path):
    for name, attributes, message in (
        ("weights.h5", {"keras_version": "2.15.0"}, "weights without their model"),
        ("other.h5", {}, "no model of Keras's"),
        ("broken.h5", {"model_config": "{"}, "is no JSON"),
    ):
        with pytest.raises(ExportError, match=message):
            look_at(h5_file(tmp_path / name, **attributes))


def test_folders(tmp_path):
    with pytest.raises(ExportError, match=r"without saved_model\.pb"):
        look_at(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\x0a\x08ReadFile")
    with pytest.raises(ExportError, match="its graph has ReadFile"):
        look_at(tmp_path)
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / "config.yaml").write_text("task: sentiment\n")
    with pytest.raises(ExportError, match="was written by nlp-suite"):
        look_at(tmp_path)
