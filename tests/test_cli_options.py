"""What every verb of the command line shares: --version, --quiet, and what the shell offers at the tab key."""

import os
import subprocess
import sys
from importlib.metadata import version

import pytest

from nlp_suite import __version__, cli
from nlp_suite.cli import completion
from nlp_suite.cli.common import print_progress

pytestmark = pytest.mark.usefixtures("unlogged")


@pytest.fixture
def called(capsys):
    """A function that calls the command line in this process; returns both outputs."""

    def called(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert not ended.value.code
        return capsys.readouterr()

    return called


def test_the_version_is_told_without_importing_what_it_names():
    code = (
        "import atexit, sys, nlp_suite.cli as cli\n"
        "atexit.register(lambda: print({'tensorflow', 'keras', 'pydantic'} & set(sys.modules)))\ncli.main(['--version'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    shown, modules = done.stdout.splitlines()
    assert shown.startswith(
        f"nlp-suite {__version__} (TensorFlow {version('tensorflow')}, Keras {version('keras')}, Python"
    )
    assert modules == "set()"


def test_quiet_before_or_after_the_verb_leaves_only_results(called, monkeypatch):
    monkeypatch.setattr(cli.app, "registered_commands", [*cli.app.registered_commands])
    cli.app.command("work")(lambda: (print_progress("a line of progress"), print("a result")))
    for arguments in (["--quiet", "work"], ["work", "--quiet"]):
        assert tuple(called(*arguments)) == ("a result\n", "")
    assert tuple(called("work")) == ("a result\n", "a line of progress\n"), "each call is quiet for itself"


def test_verbs_of_tasks_take_quiet_and_those_without_progress_do_not(called):
    assert "--quiet" in called("generate", "--help").out and "--quiet" in called("train", "--help").out
    assert "--quiet" not in called("list", "--help").out


def test_the_shell_is_offered_names_and_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for run in ("runs/one", "runs/two", "elsewhere/three[1]", "runs/no_run"):
        (tmp_path / run).mkdir(parents=True)
        if "no" not in run:
            (tmp_path / run / "run.json").touch()
    (tmp_path / "sentences.yaml").touch()
    assert completion.configs("sent")[0] == "sentences.yaml" and "sentiment_sample" in completion.configs("sent")
    assert completion.configs("lm_sample") == ["lm_sample"]
    assert completion.runs("") == ["elsewhere/three[1]", "runs/one", "runs/two"]
    assert completion.runs("runs/t") == ["runs/two"] and completion.runs("elsewhere/three[") == ["elsewhere/three[1]"]
    assert completion.export_formats("keras-p") == [] and completion.export_formats("keras_p") == ["keras_plain"]


def test_the_command_line_answers_the_shell(tmp_path):
    asked = {"_NLP_SUITE_COMPLETE": "complete_bash", "COMP_WORDS": "nlp-suite list tr", "COMP_CWORD": "2"}
    code = "import sys; from nlp_suite.cli import main; sys.argv = ['nlp-suite']; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **asked})
    assert done.stdout.split() == ["trackers"], done.stderr
