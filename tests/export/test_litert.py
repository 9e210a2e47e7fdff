"""LiteRT files have fixed shapes and built-in operators only, and answer as the networks do."""

import pytest

from nlp_suite.config import load_experiment
from nlp_suite.errors import ExportError
from nlp_suite.export import run_export
from nlp_suite.export.formats.litert import fixed_part
from nlp_suite.tasks.translation.parts import parts
from nlp_suite.training.train import train
from tests import translation_models
from tests.export.conftest import SMALL, make_run


@pytest.mark.slow
def test_a_recurrent_classifier_needs_no_operators_of_tensorflow(tmp_path):
    run = make_run(tmp_path, {"name": "gru", "embedding_size": 64, "units": 48, "bidirectional": False})
    exact = run_export(run, tmp_path / "exact", format="litert", length=8)
    assert exact.report["self_check"]["largest_difference"] < 1e-5
    narrow = run_export(run, tmp_path / "int8", format="litert", length=8, quantize="int8")
    assert (
        narrow.report["bytes"] < 0.5 * exact.report["bytes"]
        and "weights as int8: an output changes" in narrow.describe()
    )
    assert b"Flex" not in (tmp_path / "exact" / "model.tflite").read_bytes()


@pytest.mark.slow
def test_what_litert_lacks_is_refused_by_name(tmp_path, capfd):
    run = make_run(tmp_path, SMALL["bag"])
    with pytest.raises(ExportError, match="LiteRT cannot run this network: its built-in operators lack BiasAdd; take"):
        run_export(run, tmp_path / "refused", format="litert", length=16)
    assert not (tmp_path / "refused").exists()
    assert "BiasAdd" not in capfd.readouterr().err, "the converter's own lines are left out"
    text, target_text = translation_models.text_layers()
    step = parts(translation_models.network("gru", text, target_text))[1]
    with pytest.raises(ExportError, match=r"fixed shapes, and 'memory_mask' of 'step', which has \[1, None\]"):
        fixed_part(step, 16)


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter is deprecated:UserWarning")
def test_a_forecaster_without_a_linear_path(tmp_path):
    task = {"name": "forecasting", "horizon": 4, "context": 9, "test": 12, "linear_path": False}
    data = {"source": {"name": "sample", "size": 2}, "cache": str(tmp_path / "cache")}
    values = {"task": task, "data": data, "training": {"epochs": 1, "tensorboard": False}}
    train(load_experiment(values), tmp_path / "run")
    result = run_export(tmp_path / "run", tmp_path / "litert", format="litert")
    assert result.report["self_check"]["largest_difference"] < 1e-5 and "logit" not in result.describe()
