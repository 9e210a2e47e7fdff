"""A loaded version: the runtime's answers, messages and limits, and what its export says of it."""

import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from nlp_suite.errors import ExportError
from nlp_suite.export.serving_hints import FILE, ServingHints, read_hints
from nlp_suite.serving.batching_parameters import BatchingParameters
from nlp_suite.serving.caller import Caller
from nlp_suite.serving.run_queue import RunQueue
from nlp_suite.serving.servable import Servable, SessionSettings
from nlp_suite.serving.status import as_serving_error
from tests.serving import toy_models
from tests.serving.slices import TEXTS, assert_slices_answer_as_all_rows


@pytest.fixture
def load(toys):
    """A function that loads a toy model, or a folder."""
    loaded = []

    def make(model, **settings):
        path = toys(model) if isinstance(model, str) else model
        loaded.append(Servable("m", 1, path, SessionSettings(**settings)))
        return loaded[-1]

    yield make
    for servable in loaded:
        servable.close()


def independent(path, folder):
    """A copy of a version folder whose export says that its rows are independent."""
    copy = shutil.copytree(path, folder / "1")
    ServingHints(independent_rows=True).write(copy)
    return copy


def ask(servable, outputs=None, **feeds):
    arrays = {alias: np.array(value, object if isinstance(value[0], bytes) else None) for alias, value in feeds.items()}
    return servable.run(
        "serving_default", arrays, outputs or list(servable.signatures["serving_default"].outputs), Caller(30000)
    )


def test_outputs_are_arrays_even_of_no_axes(load):
    count = ask(load("scalar_out"), text=[b"a", b"b"])["count"]
    assert isinstance(count, np.ndarray) and count.shape == () and count.item() == 2
    text = load("echo_string").run("serving_default", {"text": np.array(b"one", object)}, ["out"])["out"]
    assert isinstance(text, np.ndarray) and text.shape == () and text.item() == b"one"


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
def test_a_folder_that_holds_no_model(toys, tmp_path, spoil, error):
    path = shutil.copytree(toys("half_plus"), tmp_path / "1")
    spoil(path)
    with pytest.raises((tf.errors.OpError, OSError, ValueError), match=error):
        Servable("m", 1, path, SessionSettings())


def test_other_tags(toys):
    with pytest.raises(RuntimeError, match="tag-set"):
        Servable("m", 1, toys("echo_float"), SessionSettings(tags=("gpu",)))


# ---------------------------------------------------------------------------------------------------- what an export says

NO_HINTS = object()


def cased(tmp_path, other="lower", hints=NO_HINTS):
    """A model that answers in upper case, and by the signature `other` in lower case; hints as the text of their file."""
    path = toy_models.two_signatures(tmp_path / "1", other)
    if hints is not NO_HINTS:
        (path / FILE).parent.mkdir()
        (path / FILE).write_text(hints)
    return path


@pytest.mark.parametrize(
    "other, hints, settings, one",
    [
        ("lower", '{"compiled": {"serving_default": "lower"}}', {"xla": True}, b"ab"),
        ("lower", '{"compiled": {"serving_default": "lower"}}', {}, b"AB"),  # XLA is off
        ("lower", '{"compiled": {"serving_default": "lower"}}', {"xla": True, "batching": BatchingParameters()}, b"AB"),
        ("lower", '{"compiled": {"serving_default": "gone"}}', {"xla": True}, b"AB"),
        ("lower_xla", '{"compiled": {}}', {"xla": True}, b"AB"),  # what the export says counts
        ("lower_xla", NO_HINTS, {"xla": True}, b"ab"),  # written before there was such a file
        ("lower", NO_HINTS, {"xla": True}, b"AB"),
        ("lower_xla", "no JSON", {"xla": True}, b"ab"),
    ],
)
def test_one_row_is_answered_by_the_compiled_form(load, tmp_path, other, hints, settings, one):
    model = load(cased(tmp_path, other, hints), **settings)
    assert ask(model, text=[b"Ab"])["out"].tolist() == [one]
    assert ask(model, text=[b"Ab", b"Cd"])["out"].tolist() == [b"AB", b"CD"]


def test_a_form_with_another_interface_is_not_taken(load, toys, tmp_path):
    path = shutil.copytree(toys("half_plus"), tmp_path / "1")
    ServingHints({"serving_default": "regress_x_to_y"}).write(path)
    assert ask(load(path, xla=True), x=np.array([2.0], "float32"))["y"].tolist() == [3.0]


def test_hints_are_read_as_they_were_written(load, tmp_path, caplog):
    path = cased(tmp_path)
    assert read_hints(path) is None and load(path).page_form == ""
    hints = ServingHints({"serving_default": "lower"}, "translation", True, {"past": ["price", "visitors"]})
    hints.write(path)
    assert read_hints(path) == hints and load(path).columns == hints.columns and load(path).page_form == "translation"
    assert json.loads((path / FILE).read_text()) == {
        "compiled": {"serving_default": "lower"},
        "page_form": "translation",
        "independent_rows": True,
        "columns": {"past": ["price", "visitors"]},
    }
    for text in ("no JSON", "[]", '{"compiled": ["lower"]}', '{"compiled": 3}'):
        (path / FILE).write_text(text)
        with pytest.raises(ExportError, match=r"serving\.json' cannot be read"):
            read_hints(path)
        assert load(path).page_form == ""  # served all the same
    assert caplog.text.count("serving.json' cannot be read") == 4


# ---------------------------------------------------------------------------------------------------- slices, together


def test_slices_answer_as_all_rows_at_once(exports):
    assert_slices_answer_as_all_rows(exports("sentiment") / "1", "serving_default")


def test_rows_that_are_not_answered_one_by_one_are_not_cut(load):
    settings = {"queue": RunQueue(max_rows=2)}
    assert ask(load("scalar_out", **settings), text=[b"a"] * 5)["count"] == 5
    x = np.arange(5, dtype="float32")
    sums = load("pairs", **settings).run("serving_default", {"x": x}, ["y"])["y"]
    assert sums.tolist() == (x[:, None] + x).tolist()
    odd = ask(load("odd_batch", **settings), text=[b"a", b"b", b"c"])
    assert odd["a"].tolist() == [b"a", b"b", b"c"] and odd["b"].tolist() == [b"a"]


def test_requests_that_wait_run_together_where_rows_are_independent(load, exports, toys, monkeypatch):
    for model, expected in [(load(exports("sentiment") / "1"), 2), (load("echo_string"), 7)]:
        gate, runs, answer = threading.Event(), [], model._answers
        monkeypatch.setattr(model.settings.queue, "_free", 1)

        def counted(sources, *arguments, gate=gate, runs=runs, answer=answer, **options):
            runs.append(len(next(iter(sources.values()))))
            gate.wait(30)
            return answer(sources, *arguments, **options)

        alone = [ask(model, text=[text]) for text in TEXTS]
        monkeypatch.setattr(model, "_answers", counted)
        with ThreadPoolExecutor(7) as pool:
            first = pool.submit(ask, model, text=[b"first"])
            while not runs and not first.done():
                time.sleep(0.001)
            others = [pool.submit(ask, model, text=[text]) for text in TEXTS]
            while len(model.settings.queue._waiting) < len(TEXTS) and not first.done():
                time.sleep(0.001)
            gate.set()
            assert first.result()
            for given, other in zip(alone, others):
                for alias, array in other.result().items():
                    assert array.shape == given[alias].shape
                    if array.dtype == object:
                        assert array.tolist() == given[alias].tolist()
                    else:
                        np.testing.assert_allclose(array, given[alias], rtol=1e-5, atol=1e-6)
        assert len(runs) == expected and sum(runs) == 7


def test_requests_of_another_type_do_not_run_together(load, toys, tmp_path):
    """Put together they would take a common type, and one that alone is refused would be answered."""
    queue, gate = RunQueue(1), threading.Event()
    model = load(independent(toys("echo_float"), tmp_path), queue=queue)
    with ThreadPoolExecutor(3) as pool:
        pool.submit(queue.run, lambda *_: {} if gate.wait(30) else None, {}, Caller())
        while queue._free:
            time.sleep(0.001)
        given = [{"x": np.array([3], dtype)} for dtype in ("float32", "int16")]
        right, wrong = (pool.submit(model.run, "serving_default", feeds, ["y"]) for feeds in given)
        while len(queue._waiting) < 2:
            time.sleep(0.001)
        gate.set()
        assert right.result()["y"].tolist() == [3.0]
        with pytest.raises(tf.errors.InvalidArgumentError, match="to be float but int16 is provided"):
            wrong.result()
