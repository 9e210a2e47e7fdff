"""A search with trainings that are stood in for: what it draws, prunes and finds, wherever it is killed, alone or with others."""

import io
import json
import math
import sqlite3
import time
from contextlib import closing

import optuna
import pytest
from rich.console import Console

from nlp_suite.config import load_experiment
from nlp_suite.data.staging import only_process
from nlp_suite.errors import ConfigError, RunError, TrainingError, UsageError
from nlp_suite.evaluation.search import SearchView, finding
from nlp_suite.tuning import study as study_module
from nlp_suite.tuning.search import check_search, search
from nlp_suite.tuning.study import SearchStudy
from nlp_suite.tuning.trial_training import Outcome, TrialFailed

SPACE = {"training.learning_rate": {"log": [1e-4, 1.0]}, "backbone.embedding_size": {"choice": [2, 4, 8]}}


MEMORY = optuna.storages.InMemoryStorage


class Killed(BaseException):
    """Stands in for SIGKILL."""


def training(experiment, directory, report):
    """Three checkpoint intervals towards a loss that is least at a learning rate of 0.03."""
    away = abs(math.log10(experiment.training.learning_rate / 0.03)) + 1 / experiment.backbone.embedding_size
    for interval in (1, 2, 3):
        if reason := report(interval, away + 1 / interval):
            return Outcome(away + 1 / interval, reason)
    return Outcome(away + 1 / 3)


def dying(countdown):
    """The same, which dies at the report whose number the countdown reaches, once."""
    left = [countdown]

    def train(experiment, directory, report):
        def reported(interval, score):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return report(interval, score)

        return training(experiment, directory, reported)

    return train


def found(report):
    return [(t["number"], t["state"], t["score"], t["settings"], t["intervals"]) for t in report["trials"]]


@pytest.fixture
def searched(small):
    """A function that gives a config with a search; keyword arguments are its settings."""
    return lambda **settings: small(search={"trials": 12, "monitor": "val_loss", **SPACE, **settings})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A search that nothing disturbed: its config, folder and report."""
    folder = tmp_path_factory.mktemp("whole")
    values = {
        "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 1024},
        "training": {"learning_rate": 0.01},
        "search": {"trials": 12, "monitor": "val_loss", **SPACE},
    }
    experiment = load_experiment(values)
    return experiment, folder / "search", search(experiment, folder / "search", objective=training)


def test_it_begins_with_the_config_itself_finds_better_and_prunes(whole):
    *_, report = whole
    first, *_ = report["trials"]
    assert first["settings"] == {"training.learning_rate": 0.01, "backbone.embedding_size": 4}
    states = [trial["state"] for trial in report["trials"]]
    assert len(states) == 12 and states[:5] == ["complete"] * 5 and "pruned" in states
    pruned = next(trial for trial in report["trials"] if trial["state"] == "pruned")
    assert pruned["intervals"] < 3 and "half of the trials before it were better by then" in pruned["reason"]
    assert report["best"]["score"] == min(t["score"] for t in report["trials"] if t["state"] == "complete")
    assert report["best"]["score"] < report["start"]["score"] == first["score"]
    assert sum(report["importance"].values()) == pytest.approx(1)
    assert report["importance"]["training.learning_rate"] > 0.5
    assert all(isinstance(trial["settings"]["backbone.embedding_size"], int) for trial in report["trials"])


def test_the_report_is_read_back_and_the_best_config_is_ready_to_train(whole):
    _, directory, report = whole
    written = json.loads((directory / "report.json").read_text("utf-8"))
    assert written == {key: value for key, value in report.items() if key != "page"}
    page, shown = (directory / "report.html").read_text("utf-8"), Console(file=io.StringIO(), width=200)
    shown.print(SearchView().terminal(report))
    number = report["best"]["trial"]
    for text in (f"Trial {number} is the best: val_loss", "so it is optimistic", "The config itself has"):
        assert text in page and text in shown.file.getvalue().replace("\n", " ")
    assert page.count("<svg") == 3 and "far worse" not in page.split("<svg")[2]
    best = load_experiment(directory / "best.yaml")
    settings = report["best"]["settings"]
    assert (best.training.learning_rate, best.backbone.embedding_size) == tuple(settings.values())
    assert best.search is None and best.training.monitor == "val_loss" and best.backbone.ngram_buckets == 1024
    assert "optimistic" in (directory / "best.yaml").read_text("utf-8").splitlines()[0]


@pytest.fixture(autouse=True)
def without_page(whole, monkeypatch):
    """What other searches found is not drawn."""
    monkeypatch.setattr("nlp_suite.evaluation.report.write_report", lambda *_, **__: "page")


@pytest.mark.parametrize("countdown", [1, 8, 23])
def test_a_search_that_is_killed_goes_on_to_the_same_trials(whole, tmp_path, countdown):
    experiment, _, report = whole
    storage = MEMORY() if countdown > 1 else None
    with pytest.raises(Killed):
        search(experiment, tmp_path / "search", storage=storage, objective=dying(countdown))
    assert found(search(experiment, tmp_path / "search", storage=storage, objective=training)) == found(report)


@pytest.mark.parametrize("method, call", [("draw", 1), ("draw", 7), ("finish", 4), ("_take", 3)])
def test_nor_does_it_matter_between_trials(whole, tmp_path, monkeypatch, method, call):
    """Before a trial has settings, before it has a folder, and after its training before it has a score."""
    experiment, _, report = whole
    real, left = getattr(SearchStudy, method), [call]

    def dies(self, *arguments):
        left[0] -= 1
        if left[0] == 0:
            raise Killed
        return real(self, *arguments)

    monkeypatch.setattr(SearchStudy, method, dies)
    monkeypatch.setattr(study_module, "ORPHANED", 0)
    storage = MEMORY()
    with pytest.raises(Killed):
        search(experiment, tmp_path / "search", storage=storage, objective=training)
    assert found(search(experiment, tmp_path / "search", storage=storage, objective=training)) == found(report)


def test_more_trials_go_on_and_what_is_done_is_not_done_again(searched, tmp_path):
    trained, storage = [], MEMORY()

    def counted(experiment, directory, report):
        trained.append(directory.name)
        return training(experiment, directory, report)

    first = search(searched(trials=3, pruner="none"), tmp_path / "search", storage=storage, objective=counted)
    again = search(searched(trials=5, pruner="none"), tmp_path / "search", storage=storage, objective=counted)
    assert trained == ["000", "001", "002", "003", "004"] and found(again)[:3] == found(first)
    other = searched(trials=5, pruner="none", seed=1)
    assert found(search(other, tmp_path / "other", storage=MEMORY(), objective=training))[1] != found(first)[1]
    with pytest.raises(RunError, match=r"(?s)study of another config.*search.seed: 0 → 1"):
        search(other, tmp_path / "search", storage=storage, objective=training)


@pytest.mark.parametrize("storage", ["sqlite:///{}/shared.db", "journal:{}/shared.log"])
def test_two_searches_take_trials_from_one_storage(searched, tmp_path, storage):
    experiment, place = searched(trials=6, pruner="hyperband"), storage.format(tmp_path)
    with pytest.raises(Killed):
        search(experiment, tmp_path / "one", storage=place, objective=dying(5))
    report = search(experiment, tmp_path / "two", storage=place, objective=training)
    assert [trial["state"] == "running" for trial in report["trials"]].count(True) == 1
    (remark,) = [remark for remark in report["remarks"] if "is not finished" in remark]
    assert str(tmp_path / "one/trials") in remark and "once all trials are finished" in " ".join(report["remarks"])
    report = search(experiment, tmp_path / "one", storage=place, objective=training)
    assert len(report["trials"]) == 6 and {t["state"] for t in report["trials"]} <= {"complete", "pruned"}
    own = [trial["number"] for trial in report["trials"] if trial["run"]]
    assert own == [0, 1] and all(trial["place"] for trial in report["trials"])


def let_time_pass(database):
    """Makes every sign of life an hour older."""
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute("update trial_heartbeats set heartbeat = datetime(heartbeat, '-1 hour')")


def test_a_trial_whose_search_never_comes_back_is_taken_up(searched, tmp_path):
    experiment, place = searched(trials=4, pruner="none"), f"sqlite:///{tmp_path}/shared.db"
    with pytest.raises(Killed):
        search(experiment, tmp_path / "one", storage=place, objective=dying(5))
    report = search(experiment, tmp_path / "two", storage=place, objective=training)
    assert [trial["state"] for trial in report["trials"]].count("running") == 1  # it may still come back
    let_time_pass(tmp_path / "shared.db")
    report = search(experiment, tmp_path / "two", storage=place, objective=training)
    lost, taken = report["trials"][1], report["trials"][4]
    assert (lost["state"], lost["reason"]) == ("failed", "its search did not come back; trial 4 has its settings")
    assert taken["settings"] == lost["settings"] and taken["run"]
    assert [trial["state"] for trial in report["trials"]].count("complete") == 4 and len(report["trials"]) == 5
    again = search(experiment, tmp_path / "one", storage=place, objective=dying(1))  # too late: it trains nothing
    assert found(again) == found(report)


@pytest.mark.slow
def test_settings_whose_searches_are_lost_again_and_again_are_given_up(searched, tmp_path):
    experiment, place = searched(trials=2, pruner="none"), f"sqlite:///{tmp_path}/shared.db"
    for number in range(3):
        with pytest.raises(Killed):
            search(experiment, tmp_path / str(number), storage=place, objective=dying(1))
        let_time_pass(tmp_path / "shared.db")
    report = search(experiment, tmp_path / "last", storage=place, objective=training)
    first = [trial for trial in report["trials"] if trial["settings"] == report["trials"][0]["settings"]]
    assert [trial["state"] for trial in first] == ["failed"] * 3 and len(report["trials"]) == 4
    assert first[2]["reason"].startswith("its search did not come back, as those of other trials")


def test_a_search_that_comes_back_too_late_leaves_its_trial_to_the_other(searched, tmp_path):
    experiment, place, lines = searched(trials=2, pruner="none"), f"sqlite:///{tmp_path}/shared.db", []

    def stopped(experiment_of_trial, directory, report):
        report(1, 1.0)
        if directory.name == "000":  # as a laptop that was closed
            let_time_pass(tmp_path / "shared.db")
            search(experiment, tmp_path / "two", storage=place, objective=training)
        report(2, 0.5)
        raise AssertionError("the other search has its settings")

    report = search(experiment, tmp_path / "one", storage=place, objective=stopped, progress=lines.append)
    assert any(line.startswith("trial 0 ends here: it gave no sign of life for so long") for line in lines)
    assert [trial["state"] for trial in report["trials"]] == ["failed", "complete", "complete"]


@pytest.mark.slow
def test_signs_of_life_go_on_while_a_trial_is_trained(searched, tmp_path, monkeypatch):
    monkeypatch.setattr("nlp_suite.tuning.lost_trials.BEAT", 1)
    experiment, place, seen = searched(trials=1), f"sqlite:///{tmp_path}/shared.db", []

    def sign():
        with closing(sqlite3.connect(tmp_path / "shared.db")) as opened:
            return opened.execute("select heartbeat from trial_heartbeats").fetchall()

    def slow(experiment, directory, report):
        let_time_pass(tmp_path / "shared.db")
        old, until = sign(), time.monotonic() + 20
        while sign() == old and time.monotonic() < until:
            time.sleep(0.05)
        seen.append(sign() != old)
        return training(experiment, directory, report)

    search(experiment, tmp_path / "one", storage=place, objective=slow)
    assert seen == [True]


def test_a_trial_too_many_is_given_back(searched, tmp_path, monkeypatch):
    """Where another process takes the last trial between counting and asking."""
    experiment, place = searched(trials=3), f"sqlite:///{tmp_path}/shared.db"
    search(experiment, tmp_path / "one", storage=place, objective=training)
    real, counted = SearchStudy.trials, []

    def late(self):
        counted.append(1)
        return real(self)[:2] if len(counted) == 1 else real(self)

    monkeypatch.setattr(SearchStudy, "trials", late)
    report = search(experiment, tmp_path / "two", storage=place, objective=training)
    assert len(report["trials"]) == 3 and all(trial["state"] == "complete" for trial in report["trials"])


def test_a_search_ends_when_its_hours_are_up(searched, tmp_path, monkeypatch):
    monkeypatch.setattr("nlp_suite.tuning.search.time.monotonic", iter(range(0, 10**6, 600)).__next__)
    report = search(searched(hours=1), tmp_path / "search", storage=MEMORY(), objective=training)
    assert 1 < len(report["trials"]) < 12 and 3600 <= report["seconds"] < 3600 + 5 * 600


def test_failed_trials_count_and_three_in_a_row_end_it(searched, tmp_path):
    def diverges(experiment, directory, report):
        if directory.name in ("001", "002", "004"):
            raise TrialFailed("it diverged")
        return training(experiment, directory, report)

    def fails(experiment, directory, report):
        raise TrialFailed("no such file")

    report = search(searched(sampler="random", trials=5), tmp_path / "search", storage=MEMORY(), objective=diverges)
    failed = [trial["number"] for trial in report["trials"] if trial["reason"] == "it diverged"]
    assert failed == [1, 2, 4] and report["trials"][1]["state"] == "failed" and len(report["trials"]) == 5
    with pytest.raises(TrainingError, match="3 trials in a row failed, the last one so: no such file"):
        search(searched(), tmp_path / "other", storage=MEMORY(), objective=fails)


def test_of_a_metric_of_success_more_is_better(searched, tmp_path):
    def accurate(experiment, directory, report):
        return Outcome(experiment.training.learning_rate)

    report = search(
        searched(monitor="val_accuracy", trials=4), tmp_path / "search", storage=MEMORY(), objective=accurate
    )
    assert report["mode"] == "max" and report["best"]["score"] == max(trial["score"] for trial in report["trials"])


def test_settings_of_the_config_that_lie_outside_are_said_and_left_out(searched, tmp_path):
    lines = []
    settings = {"training.learning_rate": {"log": [0.1, 1.0]}, "trials": 2}
    report = search(
        searched(**settings), tmp_path / "search", storage=MEMORY(), objective=training, progress=lines.append
    )
    assert lines[0] == (
        "the config itself is no trial: its training.learning_rate 0.01 is not among what search.training.learning_rate names"
    )
    assert report["start"] is None and "nothing to compare it with" in finding(report)


def test_folders_and_storages_of_others_are_refused_by_name(whole, searched, tmp_path):
    experiment, directory, _ = whole
    with (
        only_process(directory, ""),
        pytest.raises(TrainingError, match="another search is going on in .*search; give"),
    ):
        search(experiment, directory, objective=training)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes/file").touch()
    with pytest.raises(RunError, match="exists, is not empty and is not the folder of a search"):
        check_search(experiment, tmp_path / "notes")
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").write_text("{}")
    with pytest.raises(RunError, match="is a run folder: give another --run-dir"):
        check_search(experiment, tmp_path / "run")
    with pytest.raises(UsageError, match=r"--storage 'oracel://me:\*\*\*@host/db' cannot be opened .*sqlite:///FILE"):
        search(experiment, tmp_path / "new", storage="oracel://me:secret@host/db", objective=training)
    optuna.create_study(storage=f"sqlite:///{tmp_path}/theirs.db", study_name="nlp-suite").ask()
    with pytest.raises(RunError, match="is not of a search of nlp-suite; give another --study or --storage"):
        search(experiment, tmp_path / "new", storage=f"sqlite:///{tmp_path}/theirs.db", objective=training)


def test_a_folder_whose_trials_the_storage_does_not_know_is_refused(searched, tmp_path):
    def makes_a_run(experiment, directory, report):
        directory.mkdir(parents=True)
        (directory / "run.json").write_text('{"schema": 1}')
        return Outcome(1.0, "it was dull")

    search(searched(trials=1), tmp_path / "search", objective=makes_a_run)
    (tmp_path / "search/study.db").unlink()
    with pytest.raises(RunError, match=r"trials/000 is a trial of another study than the one in the storage"):
        search(searched(trials=1), tmp_path / "search", objective=training)


def test_without_optuna_a_sentence_says_what_to_install(searched, tmp_path, monkeypatch):
    monkeypatch.setattr(study_module, "is_installed", lambda package: False)
    with pytest.raises(UsageError, match=r"needs the package optuna, .* pip install 'nlp-suite\[search\]'"):
        search(searched(), tmp_path / "search")


def test_a_run_to_start_from_must_lie_in_the_space(searched, small, tmp_path, monkeypatch):
    class Known:
        def __init__(self, directory):
            self.experiment = small(f"backbone.embedding_size={directory.name}", search=SPACE)

    monkeypatch.setattr("nlp_suite.tuning.search.Run", Known)
    report = search(
        searched(trials=3), tmp_path / "search", start_from=[tmp_path / "8"], storage=MEMORY(), objective=training
    )
    assert report["trials"][1]["settings"] == {"training.learning_rate": 0.01, "backbone.embedding_size": 8}
    with pytest.raises(ConfigError, match=r"--from .*/5: its backbone.embedding_size 5 is not among"):
        search(
            searched(trials=3), tmp_path / "search", start_from=[tmp_path / "5"], storage=MEMORY(), objective=training
        )
