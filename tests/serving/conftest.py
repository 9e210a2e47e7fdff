"""What the tests of serving share: models and exports that are made once, and managers whose models only pretend to load."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Toys:
    """Models of `toy_models`, each made once in a session; nobody may change them.

    Example:
        >>> toys("slow", loops=3000)
        PosixPath('…/slow-1-3000/1')
    """

    def __init__(self, folder):
        self._folder = folder

    def __call__(self, name: str, version: int = 1, **settings):
        """The version folder of a model."""
        from tests.serving import toy_models

        path = self._folder / "-".join(map(str, [name, version, *settings.values()])) / str(version)
        return path if path.exists() else getattr(toy_models, name)(path, **settings)


class Exports:
    """An export of each task, of a network with random weights, each made once for all workers; nobody may change them."""

    def __init__(self, folder):
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def __call__(self, task: str):
        """The model's folder, which holds version 1."""
        from nlp_suite.export import run_export

        path = self._folder / "models" / task
        with open(self._folder / "lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not path.exists():
                run_export(self._make_run(task), path)
        return path

    def run(self, task: str):
        """The run folder that was exported."""
        return self(task).parents[1] / "runs" / task

    def _make_run(self, task):
        path = self._folder / "runs" / task
        path.mkdir(parents=True)
        if task == "sentiment":
            from tests.export.conftest import SMALL, make_run

            return make_run(path, SMALL["bag"])
        if task == "language_model":
            from tests import language_models

            return language_models.make_run(path, "lstm")
        from tests import translation_models

        return translation_models.make_run(path, "gru", beam_size=3, max_tokens=14)


@pytest.fixture(scope="session")
def toys(tmp_path_factory):
    return Toys(tmp_path_factory.mktemp("toys"))


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    return Exports((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "exports")


@pytest.fixture(scope="session")
def sound_model(tmp_path_factory):
    """A model that the doctor finds nothing wrong with; nobody may change it."""
    from tests.serving.doctor_models import small_model

    return small_model(tmp_path_factory.mktemp("doctor"))


class Pem(NamedTuple):
    """PEM files of a certificate for localhost, which is its own authority, and of its key."""

    certificate: Path
    key: Path


@pytest.fixture(scope="session")
def pem(tmp_path_factory):
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed, which makes the certificate")
    folder = tmp_path_factory.mktemp("pem")
    made = Pem(folder / "certificate.pem", folder / "key.pem")
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    subprocess.run([*command, "-keyout", made.key, "-out", made.certificate], check=True, capture_output=True)
    return made


@pytest.fixture
def make_manager(monkeypatch):
    """A function that makes managers of fake servables; they are closed at the end, and nothing is then loaded."""
    from nlp_suite.serving import manager
    from tests.serving.fake_servables import FakeServable

    FakeServable.alive = 0
    monkeypatch.setattr(manager, "Servable", FakeServable)
    monkeypatch.setattr(manager.gc, "collect", lambda: 0)
    managers = []

    def make(**settings):
        managers.append(manager.Manager(**{"retry_seconds": 0.02, "load_threads": 2, **settings}))
        return managers[-1]

    yield make
    for each in managers:
        assert each.close(10)
    assert FakeServable.alive == 0
