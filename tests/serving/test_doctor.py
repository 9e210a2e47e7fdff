"""The doctor on sound exports and on ones with broken files or with ops that a stock server lacks."""

import io
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from nlp_suite.errors import ExportError
from nlp_suite.serving.doctor import cost, examine, format_report
from tests.serving.doctor_models import TEXT, WARMUP, edit, found, predict_log, save, write_records


@pytest.fixture
def model(sound_model, tmp_path):
    """A copy of a sound model, to be broken."""
    return shutil.copytree(sound_model, tmp_path / "m" / "1")


# ---------------------------------------------------------------------------------------------------- sound models


def test_a_sound_model(model):
    report = examine(model)
    assert report.ok, report.as_dict()
    assert [check.name for check in report.checks if check.ok is not True] == []
    assert found(model, "variables")[1].startswith("1, 0.8 MiB")
    assert found(model, "assets")[1] == "1 files, all there"
    assert found(model, "warm-up")[1] == "2 records, each fitting its signature"
    assert found(model, "Classify and Regress")[1] == "well-formed: classify"


@pytest.mark.slow
def test_an_export_of_ours(exports):
    folder = exports("sentiment")
    report = examine(folder)
    assert report.ok and report.path == folder / "1"
    assert all(check.ok is True for check in report.checks), report.as_dict()
    assert "negative, positive" in found(folder / "1", "label names")[1]


@pytest.mark.slow
def test_what_a_row_costs(model):
    (measured,) = [check for check in examine(model, measure_cost=True).checks if check.name == "cost"]
    assert measured.ok and re.search(
        r"serving_default: [\d.]+ ms for one row, [\d.]+ ms a row for 64 at once\n", measured.message
    )
    seconds, mib = re.match(
        r"loaded in ([\d.]+) s, with ([\d,]+) MiB beside TensorFlow's own\n", measured.message
    ).groups()
    assert 0 < float(seconds) < 60 and 0 < int(mib.replace(",", "")) < 1000
    assert int(re.search(r"the process took ([\d,]+) MiB at most", measured.message)[1].replace(",", "")) > 100


@pytest.mark.slow
def test_a_cost_that_cannot_be_measured(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"no model")
    found = cost.check(tmp_path)
    assert found.ok is None and found.message.startswith("could not be measured: ")


MEASURED = '{"seconds": 1.5, "loading_mib": 2, "mib": 30, "signatures": {"s": {"alone": 4, "together": 64}}}'


@pytest.mark.parametrize(
    "script, ok, message",
    [
        (f"echo 'a library'; echo 'measured: {MEASURED}'; echo bye", True, r"s: 4\.00 ms for one row, 1\.00 ms a row"),
        ("echo '{}'", None, r"the process ended with 0$"),
        ("echo 'a notice' >&2; kill -9 $$", None, r"the process was killed, .* where memory does not suffice$"),
        ("echo 'a notice' >&2; kill -11 $$", None, r"the process was ended by SIGSEGV$"),
        ("echo 'a notice' >&2; echo 'no op X' >&2; exit 1", None, r"could not be measured: no op X$"),
        ("exec sleep 60", None, r"could not be measured: it was not done after 1 s$"),
    ],
)
def test_however_the_measuring_process_ends(tmp_path, monkeypatch, script, ok, message):
    (tmp_path / "python").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    if "sleep" in script:
        monkeypatch.setattr(cost, "_SECONDS", 1.0)
    found = cost.check(tmp_path)
    assert found.ok is ok and re.search(message, found.message)


def test_the_report_for_programs_and_people(model):
    from rich.console import Console

    shutil.rmtree(model / "assets.extra")
    report = examine(model)
    told = json.loads(json.dumps(report.as_dict()))
    assert told["ok"] is True and told["server_version"] == "2.19" and told["path"] == str(model)
    assert {"name": "warm-up", "ok": None, "what": f"no {WARMUP}: the first requests will be slow"} in told["checks"]
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(format_report(report))
    text = console.export_text()
    assert "2.19: ready" in text and "the first requests will be slow" in text and "✓" in text and "!" in text


def test_the_model_is_not_loaded(model):
    """No TensorFlow context is made, so neither devices nor variables are."""
    code = (
        f"from nlp_suite.serving.doctor import examine; r = examine({str(model)!r}); assert r.ok\n"
        "from tensorflow.python.eager import context; print(context.context()._initialized)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr


# ---------------------------------------------------------------------------------------------------- files


def test_no_model_there(tmp_path):
    with pytest.raises(ExportError, match="nowhere' does not exist"):
        examine(tmp_path / "nowhere")
    with pytest.raises(ExportError, match="holds neither saved_model.pb nor versions"):
        examine(tmp_path)
    with pytest.raises(ExportError, match=r"'1\.2'"):
        examine(tmp_path, "1.2")


def test_a_truncated_graph(model):
    data = (model / "saved_model.pb").read_bytes()
    for size in (0, len(data) // 2):
        (model / "saved_model.pb").write_bytes(data[:size])
        report = examine(model)
        assert (
            not report.ok
            and report.checks[-1].name == "graph"
            and "truncated or half-copied" in report.checks[-1].message
        )
    (model / "saved_model.pb").unlink()
    assert found(model, "graph")[0] is False


def test_the_folders_name(model):
    named = model.rename(model.parent / "final")
    assert found(named, "version") == (False, "'final' is no number: put it into a folder such as final/1")


def test_versions_beside_it(model):
    newer = shutil.copytree(model, model.parent / "00000010")
    assert examine(model.parent).path == newer
    assert found(model, "version") == (True, "1; the server takes the newest, 10")
    (model / "saved_model.pb").unlink()
    assert found(newer, "version") == (None, "version 1 beside it holds no saved_model.pb (half-copied?)")
    (newer / "saved_model.pb").rename(model / "saved_model.pb")
    ok, what = found(model, "version")
    assert ok is False and "the server tries version 10 first" in what
    assert not examine(model.parent).ok  # the newest is what the server takes
    shutil.copytree(model, model.parent / "01")
    assert "'01' is the same version as '1'" in found(model, "version")[1]


def test_variables_that_are_not_there(model):
    data = next((model / "variables").glob("*.data*"))
    whole = data.read_bytes()
    data.write_bytes(whole[: len(whole) // 2])
    ok, what = found(model, "variables")
    assert ok is False and "cannot be read" in what
    changed = bytearray(whole)
    changed[1000] ^= 1
    data.write_bytes(changed)
    ok, what = found(model, "variables")
    assert ok is False and "cannot be read" in what
    data.write_bytes(whole)
    assert found(model, "variables")[0] is True
    data.unlink()
    assert found(model, "variables") == (False, "variables/variables.data-00000-of-00001 missing (of 1 parts)")
    (model / "variables" / "variables.index").unlink()
    ok, what = found(model, "variables")
    assert ok is False and "would load the graph without its 1 variables" in what


def test_variables_of_another_model(model, tmp_path):
    other = tf.Module()
    other.bias = tf.Variable([1.0])
    other.f = tf.function(lambda text: {"y": tf.strings.length(text)}, input_signature=[TEXT])
    save(other, tmp_path / "other" / "1")
    shutil.rmtree(model / "variables")
    shutil.copytree(tmp_path / "other" / "1" / "variables", model / "variables")
    ok, what = found(model, "variables")
    assert ok is False and "the graph restores 'weight/.ATTRIBUTES/VARIABLE_VALUE', which is not in the files" in what


def test_assets(model):
    (model / "assets" / "words.txt").unlink()
    assert found(model, "assets") == (False, "assets/words.txt is missing")


def test_a_file_of_the_machine_that_wrote_the_model(tmp_path):
    (tmp_path / "list.txt").write_text("x")
    module = tf.Module()
    path = str(tmp_path / "list.txt")
    module.f = tf.function(lambda text: {"y": tf.strings.join([text, tf.io.read_file(path)])}, input_signature=[TEXT])
    ok, what = found(save(module, tmp_path / "m" / "1"), "assets")
    assert ok is False and repr(path) in what


# ---------------------------------------------------------------------------------------------------- ops


def test_python_functions(tmp_path):
    module = tf.Module()
    module.f = tf.function(
        lambda text: {"y": tf.ensure_shape(tf.numpy_function(lambda x: x, [text], tf.string), [None])},
        input_signature=[TEXT],
    )
    report = examine(save(module, tmp_path / "1"))
    ok, what = found(report.path, "Python functions")
    assert ok is False and "calls back into Python" in what and "met by serving_default" in what


def test_xla_in_the_default_signature_and_beside_it(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda text: {"y": tf.strings.length(text)}, input_signature=[TEXT])
    compiled = tf.function(lambda x: x * 2, jit_compile=True)
    module.g = tf.function(lambda x: {"y": compiled(x)}, input_signature=[tf.TensorSpec([None], tf.float32)])
    ok, what = found(save(module, tmp_path / "1", serving_default=module.g), "XLA")
    assert ok is False and "met by serving_default" in what and "--xla_cpu_compilation_enabled" in what
    beside = save(module, tmp_path / "2", serving_default=module.f, fast=module.g)
    ok, what = found(beside, "XLA")
    assert ok is None and "met by fast" in what
    write_records(beside, predict_log("fast", x=np.ones(1, "float32")))
    ok, what = found(beside, "warm-up")
    assert ok is False and "record 1: asks the signature 'fast', which the server cannot run" in what
    assert not examine(beside).ok


def rename_op(meta_graph, old, new):
    for function in meta_graph.graph_def.library.function:
        for node in function.node_def:
            node.op = new if node.op == old else node.op


def test_ops_that_the_server_lacks(model):
    edit(model, lambda graph: rename_op(graph, "Sigmoid", "TFText>RoundRobinTrim"))
    ok, what = found(model, "ops")
    assert ok is False and "TFText>RoundRobinTrim" in what and what.endswith("met by serving_default")
    assert found(model, "ops", server_version="2.20")[0] is True
    edit(model, lambda graph: rename_op(graph, "TFText>RoundRobinTrim", "CudnnRNN"))
    assert found(model, "cuDNN")[0] is False and found(model, "ops")[0] is True
    edit(model, lambda graph: rename_op(graph, "CudnnRNN", "Sigmoid"))
    edit(model, lambda graph: graph.graph_def.node.add(name="left_over", op="Addons>Thing"))
    ok, what = found(model, "ops")
    assert ok is False and "met by loading" in what


def test_an_op_that_no_signature_meets(model):
    def add(graph):
        function = graph.graph_def.library.function.add()
        function.signature.name = "unused"
        function.node_def.add(name="x", op="PyFunc")

    edit(model, add)
    ok, what = found(model, "Python functions")
    assert ok is None and what.endswith("met by no signature") and examine(model).ok
