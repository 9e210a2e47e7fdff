"""One loaded version: the runtime's answers, messages and limits."""

import numpy as np
import pytest
import tensorflow as tf

from nlp_suite.serving.batching_parameters import BatchingParameters
from nlp_suite.serving.servable import Servable, SessionSettings
from nlp_suite.serving.status import as_serving_error
from tests.serving import toy_models


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("servable")


@pytest.fixture
def load(folder):
    loaded = []

    def make(toy, **settings):
        if not (folder / toy).exists():
            getattr(toy_models, toy)(folder / toy)
        loaded.append(Servable("m", 1, folder / toy, SessionSettings(**settings)))
        return loaded[-1]

    yield make
    for each in loaded:
        each.close()


def ask(servable, outputs=None, **feeds):
    arrays = {alias: np.array(value, object if isinstance(value[0], bytes) else None) for alias, value in feeds.items()}
    return servable.run(
        "serving_default", arrays, outputs or list(servable.signatures["serving_default"].outputs), 30000
    )


def test_outputs_are_arrays_even_of_no_axes(load):
    found = ask(load("scalar_out"), text=[b"a", b"b"])["count"]
    assert isinstance(found, np.ndarray) and found.shape == () and found.item() == 2
    found = load("echo_string").run("serving_default", {"text": np.array(b"one", object)}, ["out"])["out"]
    assert isinstance(found, np.ndarray) and found.shape == () and found.item() == b"one"


def test_the_runtime_speaks_for_itself(load):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Expects arg\[0\] to be float but string is provided"):
        ask(load("dense_3x1"), x=[b"a"])
    with pytest.raises(tf.errors.InvalidArgumentError, match="Matrix size-incompatible"):
        load("dense_3x1").run("serving_default", {"x": np.zeros([1, 4], "float32")}, ["y"])


@pytest.mark.parametrize("batching", [None, BatchingParameters()])
def test_an_error_that_quotes_bytes_which_are_no_text(load, batching):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        ask(load("numbers", batching=batching), text=[b"\xff\xfe"])
    assert "could not correctly convert string: \ufffd" in as_serving_error(caught.value).message


@pytest.mark.parametrize(
    "spoil, error",
    [
        (lambda path: (path / "saved_model.pb").write_bytes(b"no model"), "Cannot parse file|SavedModel"),
        (lambda path: (path / "saved_model.pb").unlink(), "SavedModel file does not exist"),
        (lambda path: (path / "variables" / "variables.index").unlink(), "variables"),
    ],
)
def test_a_folder_that_holds_no_model(tmp_path, spoil, error):
    path = toy_models.half_plus(tmp_path / "1")
    spoil(path)
    with pytest.raises((tf.errors.OpError, OSError, ValueError), match=error):
        Servable("m", 1, path, SessionSettings())


def test_other_tags(load, folder):
    load("echo_float")
    with pytest.raises(RuntimeError, match="tag-set"):
        Servable("m", 1, folder / "echo_float", SessionSettings(tags=("gpu",)))
