"""The registry: names without imports, suggestions, and no two components of one name."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from nlp_suite.config import load_experiment
from nlp_suite.errors import UnknownNameError
from nlp_suite.registry import BACKBONES, COMPONENTS, SOURCES, TASKS, Registry


def test_names_are_files():
    assert BACKBONES.names() == ["bag", "cnn", "gru", "lstm", "preset", "rnn", "transformer"]
    assert SOURCES.names() == ["directory", "files", "parallel", "sample", "series", "text", "tfds"]
    assert "sentiment" in TASKS.names()


@pytest.mark.parametrize("kind", COMPONENTS)
def test_every_component_has_help_and_loads(kind):
    for name, line in COMPONENTS[kind].help().items():
        assert line.endswith((".", ")")) or len(line) > 20, f"{name}: {line!r}"
        assert COMPONENTS[kind].get(name)
        assert COMPONENTS[kind].settings(name).model_fields["name"]


def test_listing_imports_nothing_heavy():
    code = (
        "import sys, nlp_suite.registry as r; [k.help() for k in r.COMPONENTS.values()]; print('keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(UnknownNameError, match=r"unknown backbone 'lsmt': did you mean 'lstm'\? \(allowed: bag, cnn, "):
        BACKBONES.get("lsmt")


def test_a_name_near_to_none_gets_no_suggestion():
    with pytest.raises(UnknownNameError, match=r"^unknown backbone 'xyz' \(allowed: bag, cnn, "):
        BACKBONES.get("xyz")


def test_hyphen_is_underscore():
    assert COMPONENTS["formats"].get("keras-plain") is COMPONENTS["formats"].get("keras_plain")


def test_settings_that_a_file_imports_from_elsewhere_are_known_without_executing_it(tmp_path, monkeypatch):
    folder = tmp_path / "nlp_suite" / "backbones"
    folder.mkdir(parents=True)
    settings = "from nlp_suite.settings.backbones import BackboneSettings\n\n\nclass Mine(BackboneSettings):\n    depth: int = 3\n"
    (tmp_path / "settings_of_mine.py").write_text(settings)
    component = "from settings_of_mine import Mine\n\nraise RuntimeError\n\n\n@BACKBONES.register(Mine)\nclass B: ...\n"
    (folder / "of_mine.py").write_text(component)
    monkeypatch.syspath_prepend(str(tmp_path))
    experiment = load_experiment({"backbone": "of_mine"})
    assert experiment.backbone.depth == 3 and "nlp_suite.backbones.of_mine" not in sys.modules
    (folder / "of_mine.py").write_text(settings + component.partition("\n")[2])
    with pytest.raises(RuntimeError):
        load_experiment({"backbone": "of_mine"})


def test_two_classes_of_one_name_are_refused_and_temporary_ones_vanish():
    registry = Registry("thing", "nlp_suite.backbones")
    with registry.temporary():
        registry.register(dict, "mine")(int)
        assert registry.get("mine") is int
        with pytest.raises(ValueError, match="thing 'mine' is already registered"):
            registry.register(dict, "mine")(float)
    assert "mine" not in registry.names()


def test_what_a_file_registers_stays_though_it_was_imported_within_temporary():
    registry = Registry("thing", "nlp_suite.backbones")
    of_the_file = type("Bag", (), {"__module__": "nlp_suite.backbones.bag"})
    with registry.temporary():
        registry.register(dict)(of_the_file)
    assert registry.get("bag") is of_the_file


@pytest.mark.parametrize("package", ["nlp_suite", "nlp_suite.serving.client"])
def test_what_is_imported_when_asked_for_is_known_to_dir_and_to_type_checkers(package):
    module = importlib.import_module(package)
    assert set(module.__all__) <= set(dir(module)) and all(getattr(module, name) for name in module.__all__)
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.asname or alias.name for node in imports for alias in node.names}
    assert set(module.__all__) <= names
