"""What a search may try is checked before the first trial, by the config's own rules."""

import pytest

from nlp_suite.config import load_experiment
from nlp_suite.config_files import shipped_configs
from nlp_suite.config_yaml import read_yaml
from nlp_suite.errors import ConfigError
from nlp_suite.tuning.space import Space

LSTM = {"name": "lstm", "units": 64}


def space(experiment=None, **keys):
    values = {"backbone": LSTM, "search": {key.replace("__", "."): value for key, value in keys.items()}}
    return Space(load_experiment(experiment or values))


def test_whole_settings_have_whole_values_and_others_fractions():
    found = space(
        backbone__units={"range": [16, 64]},
        backbone__dropout={"range": [0, 0.5]},
        training__learning_rate={"log": [1, 10]},
        training__epochs={"log": [1, 8]},
        backbone__bidirectional={"choice": [True, False]},
    ).parameters
    kinds = [(parameter.whole, parameter.log) for parameter in found.values()]
    assert kinds == [(True, False), (False, False), (False, True), (True, True), (False, False)]
    assert found["backbone.bidirectional"].ends() == [True, False]


def test_a_component_with_its_settings_is_a_value():
    gru = {"name": "gru", "units": 32}
    searched = space(backbone={"choice": ["cnn", gru]})
    stored = searched.stored(load_experiment({"backbone": gru}))
    assert stored == {"backbone": "{name: gru, units: 32}"}
    assert searched.parameters["backbone"].value(stored["backbone"]) == gru
    assert searched.experiment({"backbone": gru}).backbone.units == 32
    assert searched.experiment({"backbone": "cnn"}).backbone.name == "cnn"


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"trails": 3}, "unknown key 'trails': did you mean 'trials'?"),
        ({"space": {"backbone.units": {"range": [1, 2]}}}, "unknown key 'space': .*written with its section, as training"),
        ({"backbone__units": {"choice": [64]}}, "two values or more are needed"),
        ({"backbone__units": {"choice": [64, 64]}}, "every value once"),
        ({"backbone__units": {"rang": [64, 65]}}, "unknown key 'rang': did you mean 'range'?"),
        ({"backbone__units": {"range": [65, 64]}}, "low must be below high"),
        ({"backbone__units": {"range": [64, True]}}, r"write two numbers as \[low, high\]"),
        ({"backbone__units": {"range": [64, 65], "log": [64, 65]}}, "give one of choice, range and log, got log and range"),
        ({"training__learning_rate": {"log": [0, 1]}}, "log: both numbers must be above 0"),
        ({"backbone__unit": {"range": [1, 2]}}, "search.backbone.unit: backbone: unknown key 'unit': did you mean 'units'?"),
        ({"backbon__units": {"range": [1, 2]}}, "unknown key 'backbon': did you mean 'backbone'?"),
        ({"backbone__units": {"range": [1.5, 64]}}, "search.backbone.units: .*valid integer.*got 1.5"),
        ({"backbone__units": {"choice": [16, "many"]}}, "search.backbone.units: .*valid integer.*got 'many'"),
        ({"task__dropout": {"range": [0, 1.5]}}, "search.task.dropout: .*less than 1, got 1.5"),
        ({"backbone": {"choice": ["lstm", "lsdm"]}}, "search.backbone: .*unknown backbone 'lsdm': did you mean 'lstm'?"),
        ({"data__limit": {"range": [1, 5]}}, "search.data.limit cannot be searched: every trial is measured on the same rows"),
        ({"training__monitor": {"choice": ["loss", "val_loss"]}}, "name the metric in search.monitor"),
        (
            {"backbone": {"choice": ["cnn", "lstm"]}, "backbone__units": {"choice": [32, 64]}},
            "search: backbone cnn, backbone.units 32 do not go together: .*units is for the backbones gru, lstm, rnn",
        ),
        ({"training__epochs": {"range": [0, 3]}}, "with training.epochs 0 nothing is trained"),
        ({"training__optimizer": {"choice": ["adam", "adamx"]}}, "search.training.optimizer: 'adamx': .*did you mean 'adamax'?"),
        ({"monitor": "val_los", "backbone__units": {"range": [1, 2]}}, "unknown metric 'val_los': did you mean 'val_loss'?"),
        ({"trials": 3}, "search: no setting is searched"),
    ],
)  # fmt: skip
def test_what_cannot_be_searched_is_refused_by_name(tmp_path, keys, message):
    with pytest.raises(ConfigError, match=f"(?s){message}"):
        space(**keys).check_training(tmp_path)


def test_a_search_section_is_written_and_read_back_and_a_training_does_without_it():
    searched = {"backbone.units": {"choice": [64, 128]}, "training.learning_rate": {"log": [1e-4, 1e-2]}}
    values = {"backbone": LSTM, "search": {"trials": 3, **searched}}
    experiment = load_experiment(values)
    assert load_experiment(read_yaml(experiment.to_yaml(), "")) == experiment
    assert experiment.model_dump()["search"]["backbone.units"] == {"choice": [64, 128]}
    assert Space(experiment).base == load_experiment({"backbone": LSTM})


@pytest.mark.parametrize("config", [*shipped_configs()])
def test_every_config_can_be_searched_from_where_it_is(config):
    """Whatever its task: what the config leaves to defaults stays left to them, and its own settings lie in the space."""
    experiment = load_experiment(config, ["search={training.learning_rate: {log: [1e-6, 100.0]}, trials: 2}"])
    searched = Space(experiment)
    own = {"training.learning_rate": experiment.training.learning_rate}
    assert searched.stored(searched.base) == own and searched.experiment(own) == searched.base
    assert searched.base == experiment.model_copy(update={"search": None})
    assert searched.base.backbone.model_fields_set == experiment.backbone.model_fields_set


def test_it_is_checked_without_keras():
    from tests.test_cli import process

    code = (
        "import sys\nfrom nlp_suite.config import load_experiment\nfrom nlp_suite.tuning.search import check_search\n"
        "check_search(load_experiment({'search': {'training.learning_rate': {'log': [1e-4, 1.0]}}}), 'nowhere')\n"
        "print({'keras', 'tensorflow', 'optuna'} & set(sys.modules))"
    )
    done = process(code=code)
    assert done.stdout == "set()\n", done.stderr
