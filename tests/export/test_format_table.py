"""The cells of the table of formats in saved_models/README.md: what is expressed answers as the network, the rest is refused."""

import json
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from nlp_suite.errors import ExportError, UsageError
from nlp_suite.export import fresh_process, run_export, self_check
from nlp_suite.export.parts import parts_of
from nlp_suite.export.plain_model import plain_model
from nlp_suite.export.samples import check_texts
from nlp_suite.training.run import Run
from tests import language_models, translation_models
from tests.backend_processes import environment
from tests.export.conftest import SMALL, make_run
from tests.export.format_table import FORMATS, ROWS, TASKS, refused, table
from tests.export.test_huggingface import preset_run

SUFFIX = {"keras": ".keras", "keras-plain": ".keras", "keras-layers": ".keras", "safetensors": ".safetensors"}

NEEDS = {
    "onnx": ("onnx", "onnxruntime", "tf2onnx"),
    "huggingface": ("torch", "transformers"),
    "ctranslate2": ("ctranslate2",),
    "safetensors": ("safetensors",),
}
CELLS = [  # what takes any network as it is, is proved with one of each task
    (format, task, backbone)
    for task, backbone in ROWS
    for format in FORMATS
    if format not in ("saved_model", "keras", "safetensors") or backbone == TASKS[task][0]
]


def test_the_page_shows_the_table():
    page = (Path(__file__).parents[2] / "saved_models" / "README.md").read_text("utf-8")
    assert "\n".join(table()) in page


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run folders by row, made when they are asked for."""
    made = {}

    def run(task, backbone):
        if (task, backbone) not in made:
            folder = tmp_path_factory.mktemp("run")
            made[task, backbone] = MAKE[task](folder, backbone)
        return made[task, backbone]

    return run


def classifier(folder, backbone):
    if backbone == "preset":
        return preset_run(folder / "run", "bert", pooling=["first"])
    return make_run(folder, SMALL[backbone])


def language_model(folder, backbone):
    return language_models.make_run(folder, "transformer-rotary" if backbone == "transformer" else backbone)


def forecaster(folder, backbone):
    from nlp_suite.config import load_experiment
    from nlp_suite.data.prepare import prepare
    from nlp_suite.training.run import make_task

    chosen = load_experiment(
        {
            "task": {"name": "forecasting", "horizon": 2, "context": 6, "test": 4},
            "data": {"source": {"name": "sample", "size": 2}, "cache": str(folder / "cache")},
            "backbone": {**SMALL[backbone], "name": backbone},
            "training": {"tensorboard": False},
        }
    )
    prepared = prepare(chosen)
    model = language_models.randomised(make_task(chosen).model(chosen.backbone, prepared.assets), scale=0.3)
    (folder / "checkpoints").mkdir()
    model.save_weights(folder / "checkpoints" / "best.weights.h5")
    (folder / "config.yaml").write_text(chosen.to_yaml(), "utf-8")
    info = {"schema": 1, "state": "finished", "labels": [], "statistics": prepared.statistics}
    info["facts"] = prepared.assets.facts
    (folder / "run.json").write_text(json.dumps(info, default=np.ndarray.tolist), "utf-8")
    return folder


MAKE = {
    "classifier": classifier,
    "language model": language_model,
    "translation": translation_models.make_run,
    "forecasting": forecaster,
}


@pytest.fixture
def in_process(monkeypatch):
    """The self-checks without processes of their own, whose imports take seconds; other tests have those."""

    def check(job, environment=None):
        try:
            return fresh_process.main({**job, "forbidden": [], "sys_path": []})
        except AssertionError as error:
            raise ExportError(f"the self-check refuses the export: {error}") from error

    monkeypatch.setattr(self_check, "_fresh_process", check)
    monkeypatch.setattr(fresh_process, "_disable_xla", lambda tf: True)


@pytest.mark.slow
@pytest.mark.filterwarnings(r"ignore:\s*Warning. tf.lite.Interpreter is deprecated:UserWarning")
@pytest.mark.parametrize("format, task, backbone", CELLS)
def test_a_cell(format, task, backbone, runs, tmp_path, in_process):
    to = tmp_path / f"m{SUFFIX.get(format, '')}"
    settings = {"length": 8} if format == "litert" else {}
    if why := refused(format, task, backbone):
        with pytest.raises((ExportError, UsageError), match=why):
            run_export(runs(task, backbone), to, format=format, **settings)
        assert not to.exists()
        return
    for package in NEEDS.get(format, ()):
        pytest.importorskip(package, reason=f"{package} is not installed")
    result = run_export(runs(task, backbone), to, format=format, **settings)
    opened = result.use or result.curl
    assert opened and opened in result.describe()
    assert result.report["bytes"] > 0 and result.report["self_check"]["rows"] > 0


ON_JAX = [("classifier", "rnn"), ("language model", "rnn"), ("translation", "lstm"), ("forecasting", "rnn")]


@pytest.mark.slow
def test_plain_files_of_every_task_answer_on_jax(runs, tmp_path, monkeypatch):
    if find_spec("jax") is None:
        pytest.skip("jax is not installed")
    files = {}
    for task, backbone in ON_JAX:
        run = Run(runs(task, backbone))
        network, given = run.model(), run.task.check_inputs(run, check_texts(run))
        for part in parts_of(run, network):
            file = tmp_path / f"{task} {backbone} {part.name}.keras"
            plain_model(network, part).save(file)
            files[file] = replace(part, examples=lambda of, each=part.examples: islice(each(of), 1)).cases(given)
    fresh = self_check._fresh_process
    monkeypatch.setattr(self_check, "_fresh_process", lambda job, _: fresh(job, environment("jax")))
    assert self_check.check_parts("keras", files)["rows"] > len(files)
