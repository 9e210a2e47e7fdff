"""A damaged file of a run or of prepared data is named with its remedy, or changes no number; it is never used silently."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from nlp_suite.config import load_experiment
from nlp_suite.data.prepare import prepare
from nlp_suite.errors import DamagedFileError
from nlp_suite.export.model_card import model_card
from nlp_suite.training.checkpoint_average import average
from nlp_suite.training.checks import check_training
from nlp_suite.training.run import Run, load_weights, run_record
from nlp_suite.training.state import TrainingState
from nlp_suite.training.train import train
from tests.damage import own_files, used_silently
from tests.training.test_train import Killed, stop_after

QUIET = Console(quiet=True)
RUN_FILES = (
    "checkpoints/average.weights.h5", "checkpoints/best.weights.h5", "checkpoints/last.weights.h5",
    "checkpoints/round-00002.weights.h5", "checkpoints/round-00003.weights.h5", "checkpoints/state.npz", "config.yaml",
    "history.csv", "report.json", "run.json", "text/text.json", "text/vocabulary.txt",
)  # fmt: skip


def experiment(cache, seed):
    return load_experiment(
        {
            "task": "sentiment",
            "data": {"source": {"name": "sample", "size": 200 + seed, "test": 40}, "cache": str(cache)},
            "text": {"max_length": 40},
            "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 64},
            "training": {"epochs": 3, "average_checkpoints": 2, "batch_size": 64, "seed": seed, "tensorboard": False},
        }
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two finished runs of other data and seeds, with reports, and the folders of their prepared data."""
    folder, made = tmp_path_factory.mktemp("runs"), []
    for seed in (1, 2):
        run = train(experiment(folder / "cache", seed), folder / f"run{seed}", console=QUIET)
        (folder / "report").write_text(json.dumps({"accuracy": seed / 10}))
        run.record.replace(folder / "report", run.directory / "report.json")
        made += [run.directory, prepare(run.experiment).directory]
    return made


def use_of_run(directory):
    """Everything that is read from a run folder: to predict, to train on, to average, to export."""
    run = Run(directory)
    train(run.experiment, directory, console=QUIET)
    model, numbers = run.model(), []
    for checkpoint in (None, "best", "last"):
        load_weights(model, run.weights(checkpoint))
        numbers += [weight.tobytes() for weight in model.get_weights()]
    metrics = model_card(run, model, "x")["metrics"]
    average(run, last=2)
    load_weights(model, run.weights())
    return numbers, [weight.tobytes() for weight in model.get_weights()], run.history, run.labels, metrics


@pytest.mark.parametrize("name", RUN_FILES)
def test_damages_of_a_run(runs, tmp_path, name):
    faults = used_silently(runs[0], runs[2], [name], use_of_run, tmp_path)
    if name == "report.json":  # who removes a report has none
        faults = [fault for fault in faults if "report.json deleted" not in fault]
    assert faults == []


def test_no_file_of_a_run_is_left_out(runs):
    assert set(own_files(runs[0])) == {*RUN_FILES}


def test_damages_of_prepared_data(runs, tmp_path):
    """As 'prepared.json' is written last, a folder without it is made again."""
    cache, key = tmp_path / "cache", runs[1].name

    def use(directory):
        prepared = prepare(experiment(directory.parent, 1))
        assert prepared.directory == directory
        stores = prepared.stores.values()
        rows = [
            (s.tokens(i).tolist(), s.text(i), s.labels[i], s.full_lengths[i]) for s in stores for i in range(len(s))
        ]
        return rows, prepared.text.fingerprint, prepared.labels, prepared.statistics

    cache.mkdir()
    assert runs[1].name == key
    assert used_silently(runs[1], runs[3], own_files(runs[1]), use, cache) == []


def test_a_prepared_folder_without_its_record_is_made_again(runs, tmp_path):
    (tmp_path / runs[1].name / "train").mkdir(parents=True)
    said = []
    prepared = prepare(experiment(tmp_path, 1), progress=said.append)
    assert f"{prepared.directory} had no prepared.json, so it was made again" in said
    assert [path.name for path in tmp_path.iterdir()] == [runs[1].name]


def test_a_run_goes_on_from_no_damaged_state(runs, tmp_path, monkeypatch):
    chosen = experiment(runs[0].parent / "cache", 1)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        stop_after(patch, 2)
        train(chosen, tmp_path / "run", console=QUIET)
    state, recorded = tmp_path / "run/checkpoints/state.npz", tmp_path / "run/run.json"
    whole = state.read_bytes()
    np.save(tmp_path / "array.npy", np.zeros(3))
    array, middle = (tmp_path / "array.npy").read_bytes(), len(whole) // 2
    damages = [bytes(len(whole)), whole[:900], b"", array, whole[:middle] + b"damaged" + whole[middle + 7 :]]
    message = "state.npz is damaged .*: restore it from a copy, or remove the folder to train from the start"
    for content in damages:
        state.write_bytes(content)
        with pytest.raises(DamagedFileError, match=message):
            train(chosen, tmp_path / "run", console=QUIET)
    state.unlink()
    with pytest.raises(DamagedFileError, match=message.replace("damaged .*", "missing, though run.json lists it")):
        train(chosen, tmp_path / "run", console=QUIET)
    info = {key: value for key, value in json.loads(recorded.read_text()).items() if key not in ("files", "digest")}
    recorded.write_text(json.dumps(info | {"schema": 1}))  # as before there were digests
    variable = SimpleNamespace(variables=[], optimizer=SimpleNamespace(variables=[]))
    for content in damages[:-1]:
        state.write_bytes(content)
        with pytest.raises(DamagedFileError, match=message):
            TrainingState(run_record(tmp_path / "run"), []).load(variable)


def test_a_start_that_is_damaged_is_refused_before_the_data_are_read(small, tmp_path):
    first = train(small(training={"epochs": 1}), tmp_path / "first", console=QUIET).directory
    on = small(f"training.init_from={first}")
    with open(first / "checkpoints" / "best.weights.h5", "ab") as file:
        file.write(b"more")
    with pytest.raises(DamagedFileError, match=r"best.weights.h5 is damaged"):
        check_training(on, tmp_path / "run")
    (first / "config.yaml").write_text((first / "config.yaml").read_text().replace("ngrams: 2", "ngrams: 1"))
    with pytest.raises(DamagedFileError, match=r"config.yaml is damaged"):
        check_training(on, tmp_path / "run")
