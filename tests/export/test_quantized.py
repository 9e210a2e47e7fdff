"""int8 of a classifier whose embedding is most of it: sizes, answers, and what the export says of them."""

import json
import shutil

import numpy as np
import pytest

from nlp_suite.errors import ExportError
from nlp_suite.export import run_export
from nlp_suite.export.quantized import describe_quantized, quantize
from nlp_suite.export.run_export import check_export
from nlp_suite.training.run import Run
from tests.export.conftest import TEXTS, make_run

WIDE = {"name": "gru", "embedding_size": 512, "units": 4, "bidirectional": False}


@pytest.fixture(scope="module")
def wide_run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("wide"), WIDE)


def test_a_quantised_network_saved_and_loaded(wide_run, tmp_path):
    import keras

    run, tokens = Run(wide_run), np.array([[4, 5, 6, 7], [8, 9, 0, 0]], "int32")
    model = run.model()
    before = keras.ops.convert_to_numpy(model(tokens))
    report = quantize(run, model)
    after = keras.ops.convert_to_numpy(model(tokens))
    assert 0 < np.abs(after - before).max() < 0.05
    assert report["accuracy"]["rows"] == 20 and report["kept_float32"] < 0.3
    assert "accuracy on 20 rows of test" in describe_quantized(report)
    model.save(tmp_path / "quantised.keras")
    again = keras.saving.load_model(tmp_path / "quantised.keras")
    assert again.quantized == "int8" and again.backbone.embedding._embeddings.dtype == "int8"
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(tokens)), after)


def test_keras_has_nothing_to_warn_of(wide_run, recwarn):
    Run(wide_run).model().quantize_int8()
    assert not [str(warning.message) for warning in recwarn if "quantize" in str(warning.message)]


def test_without_the_runs_data_no_accuracy_is_claimed(wide_run, tmp_path, monkeypatch):
    folder = shutil.copytree(wide_run, tmp_path / "moved")
    run = Run(folder)
    monkeypatch.setattr(run, "stores", lambda: (_ for _ in ()).throw(OSError("gone")))
    report = quantize(run, run.model())
    assert report["accuracy"] is None and "the accuracy was not measured" in describe_quantized(report)


def test_what_is_refused(wide_run, tmp_path):
    with pytest.raises(ExportError, match=r"quantize 'int4': .*'int8'"):
        check_export(wide_run, tmp_path / "a.keras", "keras", quantize="int4")
    with pytest.raises(ExportError, match="unknown setting 'quantize'"):
        check_export(wide_run, tmp_path / "a.keras", "keras-plain", quantize="int8")
    folder = shutil.copytree(wide_run, tmp_path / "several")
    config = (folder / "config.yaml").read_text("utf-8").replace("problem: single_label", "problem: multi_label")
    (folder / "config.yaml").write_text(config, "utf-8")
    with pytest.raises(ExportError, match="one label.* not for multi-label classification"):
        check_export(folder, tmp_path / "a.keras", "keras", quantize="int8")


@pytest.mark.slow
@pytest.mark.parametrize("format", ["keras", "saved_model"])
def test_exports(wide_run, tmp_path, format):
    from nlp_suite import load

    name = "a.keras" if format == "keras" else "a"
    result = run_export(wide_run, tmp_path / name, format, quantize="int8")
    said = result.describe()
    assert "int8: " in said and "answers changed" in said and "self-check" in said
    expected = load(wide_run).probabilities(TEXTS)
    np.testing.assert_allclose(load(tmp_path / name).probabilities(TEXTS), expected, atol=0.02)
    assert json.dumps(result.report["quantized"])
