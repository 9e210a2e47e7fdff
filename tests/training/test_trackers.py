"""Real MLflow and Weights & Biases, without a network: one run at the tracker for a run folder, whatever kills a process."""

import os
import signal
import subprocess
import sys

import pytest
import yaml

from nlp_suite.registry import is_installed
from nlp_suite.training.run import Run, has_state

pytestmark = pytest.mark.slow


def start(folder, *arguments, **environment):
    """A process of the command line in a folder."""
    command = [sys.executable, "-W", "ignore", "-m", "nlp_suite", *arguments]
    pipe, environment = subprocess.PIPE, {**os.environ, **environment}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True)


def done(process):
    """Its standard output and standard error, once it has ended well."""
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output, errors


def write_config(folder, *trackers, epochs=60):
    config = {
        "data": {"source": {"name": "sample", "size": 400, "test": 40}},
        "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 64},
        "training": {"epochs": epochs, "save_every": 20, "buckets": 2, "tensorboard": False, "trackers": [*trackers]},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(config))


def kill_when_tracked(folder, process):
    """Kills a training whose tracker has the run, after a checkpoint interval that is saved."""
    shown = []
    while not any(line.startswith("tracker ") for line in shown) or not has_state(folder / "runs/tiny"):
        shown.append(process.stderr.readline())
        assert shown[-1], shown
    process.send_signal(signal.SIGKILL)
    process.communicate()
    killed = Run(folder / "runs/tiny")
    assert killed.info["state"] == "running" and not (folder / "runs/tiny/report.json").exists()
    return killed


@pytest.mark.skipif(not is_installed("mlflow"), reason="needs the extra mlflow")
def test_mlflow_has_a_killed_training_as_one_run_with_every_interval(tmp_path):
    import mlflow

    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db", "MLFLOW_EXPERIMENT_NAME": "films"}
    client = mlflow.MlflowClient(environment["MLFLOW_TRACKING_URI"])
    assert client.search_experiments(), "the database is made here, which takes seconds"
    write_config(tmp_path, "mlflow")
    killed = kill_when_tracked(tmp_path, start(tmp_path, "train", "tiny.yaml", **environment))
    (open_run,) = client.search_runs([client.get_experiment_by_name("films").experiment_id])
    assert open_run.info.status == "RUNNING" and open_run.data.tags["nlp_suite.run"] == killed.info["tracking"]
    elsewhere = ("--set", "data.cache=elsewhere")  # may differ in the same run; MLflow lets no parameter change
    output, errors = done(start(tmp_path, "train", "tiny.yaml", *elsewhere, **environment))
    assert "continuing after checkpoint interval" in errors and output.startswith("runs/tiny: best ")
    done(start(tmp_path, "evaluate", "runs/tiny", **environment))

    (found,) = client.search_runs([client.get_experiment_by_name("films").experiment_id])
    run = Run(tmp_path / "runs/tiny")
    assert (found.info.run_id, found.info.status) == (open_run.info.run_id, "FINISHED")
    assert found.data.params["backbone.embedding_size"] == "4"
    told = [(m.step, m.value) for m in client.get_metric_history(found.info.run_id, "val_loss")]
    assert sorted(told) == [(row["step"], pytest.approx(row["val_loss"])) for row in run.history]
    assert 0 <= found.data.metrics["test_accuracy"] <= 1
    files = {file.path for file in client.list_artifacts(found.info.run_id)}
    assert files == {"config.yaml", "report.json", "report.html"}


@pytest.mark.skipif(not is_installed("wandb"), reason="needs the extra wandb")
def test_wandb_offline_has_a_killed_training_under_one_id(tmp_path):
    write_config(tmp_path, "wandb")
    environment = {"WANDB_MODE": "offline", "WANDB_PROJECT": "films"}
    killed = kill_when_tracked(tmp_path, start(tmp_path, "train", "tiny.yaml", **environment))
    for verb in (["train", "tiny.yaml"], ["evaluate", "runs/tiny"]):
        _, errors = done(start(tmp_path, *verb, **environment))
        assert errors.count("tracker wandb: ") == 1 and "wandb sync" in errors
    folders = sorted(path for path in (tmp_path / "wandb").glob("offline-run-*"))
    assert {folder.name.rsplit("-", 1)[1] for folder in folders} == {killed.info["tracking"]}
    assert len(folders) == 3
    assert {path.name for path in folders[-1].glob("files/report.*")} == {"report.json", "report.html"}
    assert all((folder / "files/config.yaml").exists() for folder in folders)


@pytest.mark.skipif(not (is_installed("mlflow") and is_installed("wandb")), reason="needs the extras mlflow and wandb")
def test_trackers_that_do_not_answer_are_named_and_stop_nothing(tmp_path):
    write_config(tmp_path, "mlflow", "wandb", epochs=1)
    environment = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    environment |= {
        "WANDB_MODE": "online",
        "WANDB_API_KEY": "",
        "HOME": str(tmp_path),
        "NETRC": str(tmp_path / "netrc"),
    }
    output, errors = done(start(tmp_path, "train", "tiny.yaml", "--quiet", **environment))
    assert output.startswith("runs/tiny: best ") and errors.count("tracker mlflow: ") == 1
    assert errors.count("tracker wandb: it has no key: call `wandb login`, or set WANDB_API_KEY") == 1
