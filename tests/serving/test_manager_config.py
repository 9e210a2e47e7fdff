"""Lists of models and labels of versions, with models that only pretend to load."""

import pytest

from nlp_suite.serving.manager import AVAILABLE
from nlp_suite.serving.model_config import one_model
from nlp_suite.serving.status import Code, ServingError
from tests.serving.endpoint import parsed
from tests.serving.fake_servables import ALL, answering, apply, put, states, until


def labelled(folder, more=ALL, **labels):
    return folder, more + "".join(f' version_labels {{ key: "{k}" value: {v} }}' for k, v in labels.items())


def test_labels_move_between_available_versions(make_manager, tmp_path):
    put(tmp_path, 1), put(tmp_path, 2)
    manager = make_manager()
    apply(manager, {"m": (tmp_path, ALL)})
    until(lambda: states(manager) == {1: AVAILABLE, 2: AVAILABLE})
    apply(manager, {"m": labelled(tmp_path, stable=1, canary=2)})
    assert [answering(manager, label=each) for each in ("stable", "canary")] == [1, 2]
    apply(manager, {"m": labelled(tmp_path, stable=2)})
    assert answering(manager, label="stable") == 2
    with pytest.raises(ServingError, match="Unrecognized servable version label: canary") as caught:
        answering(manager, label="canary")
    assert caught.value.code == Code.INVALID_ARGUMENT


def test_a_label_of_an_unavailable_version_changes_nothing(make_manager, tmp_path):
    put(tmp_path, 1)
    manager = make_manager()
    apply(manager, {"m": labelled(tmp_path, stable=1)})
    put(tmp_path / "other", 1)
    with pytest.raises(ServingError, match="assign label to version 7 of model m, which is not currently available"):
        apply(manager, {"m": labelled(tmp_path, stable=7), "n": tmp_path / "other"})
    assert answering(manager, label="stable") == 1 and manager.names() == ["m"]


def test_a_new_label_may_wait_for_its_version_where_that_is_allowed(make_manager, tmp_path):
    put(tmp_path, 1)
    manager = make_manager(labels_for_unavailable=True)
    apply(manager, {"m": labelled(tmp_path, stable=1)})
    apply(manager, {"m": labelled(tmp_path, stable=1, next=2)})
    with pytest.raises(ServingError, match=r"Specific\(m, 2\)"):
        answering(manager, label="next")
    with pytest.raises(ServingError, match="assign label to version 2"):
        apply(manager, {"m": labelled(tmp_path, stable=2)})  # one in use does not move there
    put(tmp_path, 2)
    manager.poll_filesystem()
    until(lambda: states(manager)[2] == AVAILABLE)
    assert answering(manager, label="next") == 2


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "Only ModelConfigList is currently supported"),
        ("model_config_list { config { base_path: '/p' model_platform: 'tensorflow' } }", "without a name"),
        ("model_config_list { config { name: 'a' base_path: '/p' } }", "neither ModelServerConfig::model_type"),
        ("model_config_list { config { name: 'a' base_path: 'p' model_platform: 'tensorflow' } }", "an absolute path"),
        (
            "model_config_list { config { name: 'a' base_path: 'file://p/q' model_platform: 'tensorflow' } }",
            "absolute path or URI; got base_path..=file://p/q",
        ),
        (
            "model_config_list { config { name: 'a' base_path: 'gs://p/q' model_platform: 'tensorflow' } }",
            "base_path 'gs://p/q'; allowed: absolute paths and file:// URIs, gs:// is not read",
        ),
        (
            "model_config_list { config { name: 'a' base_path: '/p' model_platform: 'tensorflow' "
            "logging_config { sampling_config { sampling_rate: 1 } } } }",
            "model a has a logging_config, which is not supported",
        ),
        ("model_config_list { config { name: 'a' base_path: '/p' model_platform: 'caffe' } }", "platform 'caffe'"),
        (
            "model_config_list { config { name: 'a' base_path: '/p' model_platform: 'tensorflow' } "
            "config { name: 'a' base_path: '/q' model_platform: 'tensorflow' } }",
            "Illegal to list model a multiple times",
        ),
    ],
)
def test_a_wrong_list_changes_nothing(make_manager, tmp_path, text, message):
    put(tmp_path, 1)
    manager = make_manager()
    apply(manager, {"m": tmp_path})
    with pytest.raises(ServingError, match=message) as caught:
        manager.apply_config(parsed(text), 1)
    assert caught.value.code == Code.INVALID_ARGUMENT and answering(manager) == 1


def test_unknown_models(make_manager):
    manager = make_manager()
    for name, message in [("m", r"Servable not found for request: Latest\(m\)"), ("", "has no name specified")]:
        with pytest.raises(ServingError, match=message):
            answering(manager, name=name)
    with pytest.raises(ServingError, match="Could not find any versions of model m"):
        manager.status("m")


@pytest.mark.parametrize("name_of", [str, lambda folder: f"file://{folder}"])
def test_a_folder_is_named_by_path_or_uri(make_manager, tmp_path, name_of):
    put(tmp_path, 1)
    manager = make_manager()
    apply(manager, {"m": name_of(tmp_path)})
    assert answering(manager) == 1
    manager = make_manager()
    manager.apply_config(one_model("m", name_of(tmp_path)), 10)
    assert answering(manager) == 1
