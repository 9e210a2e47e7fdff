"""What a tracker is told: everything once, whatever dies or does not answer, and never at the cost of a training."""

import logging
import sys
import threading
from types import SimpleNamespace

import pytest
from rich.console import Console

from nlp_suite import evaluate, train
from nlp_suite.errors import ConfigError, UsageError
from nlp_suite.registry import TRACKERS
from nlp_suite.training import tracking
from nlp_suite.training.run import Run, flattened
from nlp_suite.training.state import TrainingState
from nlp_suite.training.trackers.base import TrackedRun, Tracker, TrackerSettings
from nlp_suite.training.tracking import Tracking

QUIET = Console(quiet=True)


@pytest.fixture
def server():
    """What a tracker's server knows of each run, while the tracker `fake` is registered."""
    runs: dict = {}

    class Fake(Tracker):
        package, install = "keras", "keras"

        def open(self, run):
            self.known = runs.setdefault(run.id, {"steps": [], "outcomes": [], "reports": [], "threads": set()})
            self.known |= {"parameters": run.parameters, "name": run.name, "config": run.config.read_text()}
            self.known["threads"].add(threading.current_thread())
            self.place = "here"
            return max(self.known["steps"], default=0)

        def log(self, figures, step):
            assert all(type(value) is float for value in figures.values())
            self.known["steps"].append(step)
            self.known["figures"] = dict(figures)

        def report(self, figures, files):
            self.known["reports"].append((figures, [file.name for file in files]))

        def close(self, outcome):
            self.known["outcomes"].append(outcome)

    with TRACKERS.temporary():
        TRACKERS.register(TrackerSettings, "fake")(Fake)
        runs["class"] = Fake
        yield runs


def row(step):
    return {"epoch": 0, "step": step, "val_loss": 0.5, "no_value": None}


def tracked(small, folder, history=(), **options):
    folder.mkdir(exist_ok=True)
    (folder / "config.yaml").write_text("a config")
    return Tracking(small(training={"trackers": ["fake"]}), folder, "id", history, **options)


def test_every_interval_is_told_once_and_a_later_process_goes_on(small, server, tmp_path):
    with tracked(small, tmp_path / "run") as begun:
        begun.log({"step": 10, "loss": 1, "val_loss": 0.5})
    with tracked(small, tmp_path / "run", [row(10), row(20)]) as resumed:  # 20 was saved, and the process died
        resumed.log(row(30))
    known = server["id"]
    assert known["steps"] == [10, 20, 30] and known["outcomes"] == ["finished", "finished"]
    assert known["figures"] == {"val_loss": 0.5} and (known["name"], known["config"]) == ("run", "a config")
    assert known["parameters"]["training.epochs"] == 2 and known["parameters"]["backbone.name"] == "bag"
    assert threading.main_thread() not in known["threads"]


@pytest.mark.parametrize("error, outcome", [(ValueError, "failed"), (KeyboardInterrupt, "interrupted")])
def test_what_ends_a_training_ends_it_at_the_tracker(small, server, tmp_path, error, outcome):
    with pytest.raises(error), tracked(small, tmp_path / "run"):
        raise error
    assert server["id"]["outcomes"] == [outcome]


def test_an_evaluation_leaves_the_state_of_an_unfinished_run(small, server, tmp_path):
    with tracked(small, tmp_path / "run", outcome=None) as opened:
        report = {"split": "test", "accuracy": 0.5, "examples": 4, "labels": ["a"], "is_better": True}
        opened.report(report, [tmp_path / "report.json"])
    assert server["id"]["reports"] == [({"test_accuracy": 0.5, "test_examples": 4.0}, ["report.json"])]
    assert server["id"]["outcomes"] == [None]


def test_a_server_that_is_away_for_a_while_is_named_once_and_lacks_nothing_in_the_end(
    small, server, tmp_path, monkeypatch, capsys
):
    away, tried, whole = True, threading.Event(), server["class"].open

    def open(self, run):
        if away:
            tried.set()
            raise ConnectionError("connection refused\nmore lines")
        return whole(self, run)

    monkeypatch.setattr(server["class"], "open", open)
    with tracked(small, tmp_path / "run", console=Console(stderr=True)) as begun:
        for step in (10, 20):
            assert tried.wait(5)
            tried.clear()
            begun.log(row(step))
        assert tried.wait(5)
        away = False
    shown = capsys.readouterr().err
    assert shown.count("tracker fake: connection refused; all that it lacks is in ") == 1 and "more lines" not in shown
    assert server["id"]["steps"] == [10, 20] and server["id"]["outcomes"] == ["finished"]


def test_what_a_tracker_does_not_take_leaves_its_run_not_open(small, server, tmp_path, monkeypatch, caplog):
    def log(self, figures, step):
        raise ValueError("no such figures")

    monkeypatch.setattr(server["class"], "log", log)
    with tracked(small, tmp_path / "run") as begun:
        begun.log(row(10))
    assert server["id"]["outcomes"] == ["finished"] and [r.levelname for r in caplog.records] == ["WARNING"]


def test_a_server_that_never_answers_is_not_waited_for(small, server, tmp_path, monkeypatch, caplog):
    answer = threading.Event()
    monkeypatch.setattr(server["class"], "open", lambda *_: answer.wait())
    monkeypatch.setattr(tracking, "WAIT", 0.05)
    with tracked(small, tmp_path / "run"):
        pass
    answer.set()
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        f"tracker fake: it has not answered within 0 s; all that it lacks is in {tmp_path / 'run'}"
    ]


def test_a_tracker_that_cannot_be_made_is_left_out(small, server, tmp_path, monkeypatch, caplog):
    def broken(self):
        raise ImportError("a library is missing")

    monkeypatch.setattr(server["class"], "__init__", broken)
    with tracked(small, tmp_path / "run") as begun:
        begun.log(row(10))
    assert [record.message for record in caplog.records] == ["tracker fake: a library is missing; it is left out"]


def test_a_missing_package_is_refused_with_what_installs_it(small, server, tmp_path, monkeypatch):
    monkeypatch.setattr(server["class"], "package", "no_such_package")
    monkeypatch.setattr(server["class"], "install", "nlp-suite[fake]")
    sentence = "fake needs the package no_such_package, which is not installed: pip install 'nlp-suite\\[fake\\]'$"
    with pytest.raises(ConfigError, match=sentence):
        train(small(training={"trackers": ["fake"]}), tmp_path / "run", console=QUIET)
    with pytest.raises(ConfigError, match="training.trackers: fake, fake: name each once"):
        train(small(training={"trackers": ["fake", "fake"]}), tmp_path / "run", console=QUIET)
    with pytest.raises(ConfigError, match=r"unknown tracker 'mlfow': did you mean 'mlflow'\?"):
        small(training={"trackers": ["mlfow"]})
    assert not (tmp_path / "run").exists()


def test_a_training_that_is_killed_goes_on_in_the_same_run_of_the_tracker(small, server, tmp_path, monkeypatch, caplog):
    class Killed(BaseException):
        pass

    experiment, save = small(training={"trackers": ["fake"]}), TrainingState.on_epoch_end

    def killed(self, epoch, logs=None):
        save(self, epoch, logs)
        raise Killed  # saved, and not yet told

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(TrainingState, "on_epoch_end", killed)
        train(experiment, tmp_path / "run", console=QUIET)
    run = train(experiment, tmp_path / "run", console=QUIET)
    known = server[run.info["tracking"]]
    assert known["steps"] == [row["step"] for row in run.history] and len(known["steps"]) == 2
    assert known["outcomes"] == ["interrupted", "finished"]
    assert known["parameters"] == flattened(experiment)
    evaluate(run)
    ((figures, files),) = known["reports"]
    assert 0 <= figures["test_accuracy"] <= 1 and files == ["report.json", "report.html"]
    assert known["outcomes"][2:] == ["finished"]
    monkeypatch.setattr(server["class"], "package", "no_such_package")
    evaluate(Run(run.directory), output=tmp_path / "elsewhere")
    assert len(known["reports"]) == 1 and "the report is only in" in caplog.records[-1].message


class FakeWandb(SimpleNamespace):
    """The package `wandb`, whose calls are kept."""

    def __init__(self, mode, key=True, step=0):
        self.calls = []
        run = SimpleNamespace(
            url=None if mode == "offline" else "https://wandb",
            settings=SimpleNamespace(sync_dir="wandb/offline"),
            offline=mode == "offline",
            starting_step=step,
            config=SimpleNamespace(update=lambda values, allow_val_change: self.calls.append(("config", values))),
            save=lambda path, base_path, policy: self.calls.append(("save", path[len(base_path) + 1 :])),
            log=lambda figures, step: self.calls.append(("log", figures, step)),
            summary=SimpleNamespace(update=lambda figures: self.calls.append(("summary", figures))),
            finish=lambda exit_code: self.calls.append(("finish", exit_code)),
        )
        self.setup = lambda settings: SimpleNamespace(settings=SimpleNamespace(mode=mode))
        self.login = lambda prompt: key if not prompt else pytest.fail("it asks on the terminal")
        self.init = lambda **arguments: self.calls.append(("init", arguments)) or run
        self.Settings = dict


@pytest.mark.parametrize("mode, step, known", [("offline", 0, 0), ("online", 41, 40), ("online", 0, -1)])
def test_wandb_goes_on_under_the_same_id_after_the_steps_that_its_server_has(tmp_path, monkeypatch, mode, step, known):
    monkeypatch.setitem(sys.modules, "wandb", fake := FakeWandb(mode, step=step))
    tracker = TRACKERS.get("wandb")()
    assert tracker.open(TrackedRun("abc", "films", {"training.epochs": 2}, tmp_path / "config.yaml")) == known
    ((_, arguments), config, saved) = fake.calls
    assert (arguments["id"], arguments["resume"], arguments["name"]) == ("abc", "allow", "films")
    assert config == ("config", {"training.epochs": 2}) and saved == ("save", "config.yaml")
    assert arguments["settings"] == {"console": "off", "silent": True} and "wandb" in tracker.place
    fake.calls.clear()
    tracker.log({"loss": 0.5}, 60)
    tracker.report({"test_accuracy": 0.9}, [tmp_path / "report.json"])
    for outcome in ("finished", None, "failed", "interrupted"):
        tracker.close(outcome)
    assert fake.calls == [
        ("log", {"loss": 0.5}, 60),
        ("summary", {"test_accuracy": 0.9}),
        ("save", "report.json"),
        *(("finish", code) for code in (0, 0, 1, 1)),
    ]


def test_wandb_without_a_key_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", FakeWandb("online", key=False))
    with pytest.raises(UsageError, match="it has no key: call `wandb login`"):
        TRACKERS.get("wandb")().open(TrackedRun("abc", "films", {}, tmp_path / "config.yaml"))
