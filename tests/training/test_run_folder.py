"""Where a run may lie and what is checked before the work; what an interruption says; reports elsewhere."""

import errno
import os
import signal

import pytest
from rich.console import Console

from nlp_suite.cli.interruption import Terminated, told
from nlp_suite.errors import DataError, RunError
from nlp_suite.training import state as state_module
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.run import Run
from nlp_suite.training.train import train

QUIET = Console(quiet=True)


def test_a_run_lies_where_a_link_leads_and_its_name_may_be_long(small, tmp_path):
    folder = tmp_path / "disk" / ("n" * 250)
    folder.parent.mkdir()
    (tmp_path / "link").symlink_to(folder)
    run = train(small("training.epochs=1"), tmp_path / "link", console=QUIET)
    assert Run(tmp_path / "link").info["state"] == "finished" and run.directory == folder
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "No space left on device")))
        with pytest.raises(OSError, match="cannot write '.*report.json': No space left on device"):
            evaluate(run)
    assert not (folder / "report.json").exists()
    report = evaluate(run, "validation", output=tmp_path / "elsewhere")
    assert report["page"] == str(tmp_path / "elsewhere" / "report.html") and not (folder / "validation").exists()
    evaluate(run)
    run.record.update()
    assert {"report.json", "report.html"} < run.record.read()["files"].keys()
    run.record.check_all()
    with pytest.raises(RunError, match=r"cannot write into '.*report.json' \(Not a directory\): .* with --output"):
        evaluate(run, output=folder / "report.json" / "x")


def test_what_cannot_be_written_is_named_before_the_work(small, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"cannot write into '.*file' \(Not a directory\): give another --run-dir"):
        train(small(), tmp_path / "file" / "run", console=QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "nothing was prepared"
    with pytest.raises(DataError, match=r"cannot write into '.*file' \(Not a directory\): give another folder as data"):
        train(small(f"data.cache={tmp_path}/file/cache"), tmp_path / "run", console=QUIET)


def test_an_interrupted_training_says_how_to_go_on(small, tmp_path, monkeypatch, capsys):
    save = state_module.TrainingState.on_epoch_end

    def save_and_end(self, epoch, logs=None):
        save(self, epoch, logs)
        raise Terminated

    monkeypatch.setattr(state_module.TrainingState, "on_epoch_end", save_and_end)
    with pytest.raises(SystemExit) as ended, told():
        train(small(), tmp_path / "run", console=QUIET)
    assert ended.value.code == 128 + signal.SIGTERM
    line = f"{tmp_path}/run: interrupted after checkpoint interval 1 of 2; the same command goes on from there\n"
    assert capsys.readouterr().err == line


def test_an_interrupted_preparation_says_that_nothing_is_left(small, tmp_path, monkeypatch, capsys):
    from nlp_suite.data import prepare

    monkeypatch.setattr(prepare, "save_texts", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(SystemExit) as ended, told():
        prepare.prepare(small())
    assert ended.value.code == 128 + signal.SIGINT and list((tmp_path / "cache").iterdir()) == []
    assert capsys.readouterr().err == (
        f"interrupted: what was begun in {tmp_path}/cache is removed; the same command begins it again\n"
    )
