"""The wheel in an environment outside the repository: what it carries, and all that the README runs without the repository."""

import json
import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
HERE = f"3.{sys.version_info.minor}"
NEEDED = ("tensorflow", "tensorflow_text", "keras", "tensorflow_datasets", "tensorflow_serving", "typer", "rich")
DRIVER = """
import json, pathlib, sys
import nlp_suite
from nlp_suite import cli
assert pathlib.Path(nlp_suite.__file__).is_relative_to(sys.prefix), nlp_suite.__file__
commands, script = json.load(open("work.json"))
for arguments in commands:
    print("$", *arguments, flush=True)
    try:
        cli.main(arguments)
    except SystemExit as ended:
        assert not ended.code, ended.code
exec(script)
print("done")
"""


def blocks(language):
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [block for name, block in found if name == language]


def commands():
    """What is given to `nlp-suite` in every command of the README, in order."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("nlp-suite ")]


WITHOUT_REPOSITORY = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def process(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, env=WITHOUT_REPOSITORY)


def succeeds(*command):
    done = process(*command)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of what it is made of."""
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("nlp_suite", "configs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    pip = (sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation")
    succeeds(*pip, "--wheel-dir", built, source)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module", params=["3.11", "3.12", "3.13"])
def environment(request, wheel, tmp_path_factory):
    """A new environment with the wheel, which sees the packages that an interpreter has."""
    python = sys.executable if request.param == HERE else shutil.which(f"python{request.param}")
    look = f"import importlib.util as u, sysconfig; assert all(map(u.find_spec, {NEEDED})); print(sysconfig.get_path('purelib'))"
    found = python and process(python, "-c", look)
    if not found or found.returncode:
        pytest.skip(f"there is no python{request.param} with TensorFlow and the other packages")
    folder = tmp_path_factory.mktemp("environment")
    succeeds(python, "-m", "venv", "--without-pip", folder)
    succeeds(sys.executable, "-m", "pip", "--quiet", "--python", folder / "bin/python", "install", "--no-deps", wheel)
    next(folder.glob("lib/*/site-packages")).joinpath("present.pth").write_text(found.stdout)
    return folder


@pytest.fixture
def outside(tmp_path, monkeypatch):
    """A folder with the files that the README's commands read, as working directory."""
    draw = random.Random(0)

    def sentence(words):
        return " ".join(draw.choices(words.split(), k=6)).capitalize() + "."

    good, bad, german = "a fine film with good music", "two lost hours of dull noise", "ein Mann mit Hut auf dem Rad"
    rows = [f"{sentence(words)},{label}" for _ in range(100) for words, label in ((good, "pos"), (bad, "neg"))]
    pairs = [f"{sentence(good)}\t{sentence(german)}" for _ in range(200)]
    files = {
        "reviews.csv": ["text,label", *rows],
        "labelled.csv": ["text,label", *rows[:20]],
        "new.csv": ["id,text", *(f"{number},{sentence(good)}" for number in range(20))],
        "book.txt": [sentence(good) for _ in range(200)],
        "pairs.tsv": ["en\tde", *pairs],
    }
    for name, lines in files.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_wheel_carries_configs_types_and_pages(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    configs = {path.name for path in (ROOT / "configs").glob("*.yaml")}
    assert {name.rpartition("/")[2] for name in names if name.startswith("nlp_suite/configs/")} == configs
    data = [
        path for path in (ROOT / "nlp_suite").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc", ".md")
    ]
    assert {str(path.relative_to(ROOT)) for path in data} <= set(names) and "nlp_suite/py.typed" in names


def test_what_the_readme_runs_works_outside_the_repository(environment, outside):
    run = [command for command in commands() if command[0] not in ("serve", "query")]
    wrong = ["config", "show", "sentiment_sample", "--set", "backbone=lsmt"]
    verbs = {"init", "train", "evaluate", "predict", "cross-validate", "export", "generate", "translate"}
    assert verbs <= {command[0] for command in run}
    short = ["--set", "training.epochs=2"]
    run = [command + short * (command[0] == "train") for command in run]
    (outside / "work.json").write_text(json.dumps([run, "".join(blocks("python"))]))
    done = succeeds(environment / "bin/python", "-c", DRIVER)
    assert done.endswith("done\n") and "written: reviews.yaml" in done and "answers.csv: 20 rows" in done
    assert (outside / "runs/reviews/report.html").exists() and (
        outside / "saved_models/sample/1/saved_model.pb"
    ).exists()
    command_line = environment / "bin/nlp-suite"
    assert "sentiment_imdb_bag " in succeeds(command_line, "list", "configs")
    suggestion = "unknown backbone 'lsmt': did you mean 'lstm'?"
    assert suggestion in process(command_line, *wrong).stderr and suggestion in README

    serve, query = (next(command for command in commands() if command[0] == verb) for verb in ("serve", "query"))
    ports = dict(zip(("8501", "8500"), free_ports()))
    serve, query = (
        [re.sub("850[01]", lambda port: ports[port[0]], word) for word in words] for words in (serve, query)
    )
    with (
        open("log", "w") as log,
        subprocess.Popen([command_line, *serve], stdout=log, stderr=log, env=WITHOUT_REPOSITORY) as server,
    ):
        try:
            answered = until_it_answers([command_line, *query], server)
        finally:
            server.terminate()
    assert "pos" in answered or "neg" in answered


def free_ports():
    with socket.socket() as first, socket.socket() as second:
        for listener in (first, second):
            listener.bind(("127.0.0.1", 0))
        return [str(listener.getsockname()[1]) for listener in (first, second)]


def until_it_answers(query, server, seconds=90):
    end = time.monotonic() + seconds
    while True:
        done = process(*query)
        if done.returncode == 0:
            return done.stdout
        assert server.poll() is None and time.monotonic() < end, done.stderr + Path("log").read_text()
        time.sleep(1)
