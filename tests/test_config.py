"""The config: resolved round trip, overrides, and errors that say what to write instead."""

import re
from typing import ClassVar

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_suite.config import ComponentSettings, Experiment, load_experiment, load_recorded
from nlp_suite.config_files import shipped_configs, shipped_help
from nlp_suite.errors import ConfigError
from nlp_suite.registry import TASKS
from nlp_suite.training.run import differences


def test_resolved_config_loads_again_to_the_same():
    experiment = load_experiment({"backbone": {"name": "gru", "units": 7}, "text": {"tokenizer": "byte"}})
    assert load_experiment(yaml.safe_load(experiment.to_yaml())) == experiment
    assert experiment.backbone.units == 7 and experiment.text.tokenizer.name == "byte"


def test_an_empty_config_is_the_defaults(tmp_path):
    (tmp_path / "e.yaml").write_text("{}")
    assert load_experiment(tmp_path / "e.yaml") == load_experiment({"data": None, "training": {}})


@pytest.mark.parametrize(
    "values, message",
    [
        ({"trainin": {}}, "unknown key 'trainin': did you mean 'training'"),
        ({"backbone": {"name": "lsmt"}}, "backbone: unknown backbone 'lsmt': did you mean 'lstm'"),
        ({"backbone": {"name": "lstm", "unit": 3}}, "backbone: .*unknown key 'unit': did you mean 'units'"),
        ({"backbone": {"name": "lstm", "units": "many"}}, "units: .*integer.*'many'"),
        ({"backbone": 3}, "a backbone is a name or a mapping with 'name' and settings, got 3"),
        (
            {"text": {"tokenizer": "wordpeice"}},
            "text.tokenizer: unknown tokenizer 'wordpeice': did you mean 'wordpiece'",
        ),
        ({"training": {"epochs": -1}}, "training.epochs: .*greater than or equal to 0, got -1"),
        ({"training": {"schedule": "cosin"}}, "did you mean 'cosine'"),
        ({"text": {"truncation": "middle"}}, "text.truncation: .*'head', 'tail' or 'head_tail', got 'middle'"),
        ({"data": {"labels": ["a", "a"]}}, "data.labels: .*all different; got \\['a', 'a'\\]"),
        ({"training": {"class_weights": {"a": -1}}}, "training.class_weights.*greater than 0"),
        ({"backbone": {"name": "transformer", "embedding_size": 9}}, "backbone: .*9 is no multiple of heads 4"),
        ({"backbone": {"name": "cnn", "widths": [3, 0]}}, "widths.1: .*greater than or equal to 1, got 0"),
        ({"backbone": {"name": "bag", "hidden": [2**17]}}, "hidden.0: .*less than or equal to 65536, got 131072"),
        ({"data": {"validation": 1.5}}, "data.validation: .*less than 1, got 1.5"),
    ],
)
def test_mistakes_are_named(values, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(values)


def test_all_mistakes_are_listed_at_once():
    with pytest.raises(ConfigError) as caught:
        load_experiment({"training": {"epochs": -1, "batch_size": 0}, "text": {"max_length": 0}})
    assert str(caught.value).count("\n") == 3


def test_numbers_as_people_write_them(tmp_path):
    (tmp_path / "e.yaml").write_text(
        "training: {learning_rate: 1e-4, class_weights: {0: 1, 1: 2e0}}\ndata: {labels: [0, 1]}"
    )
    experiment = load_experiment(tmp_path / "e.yaml", ["training.optimizer_arguments={weight_decay: 1e-2}"])
    assert experiment.training.learning_rate == 1e-4
    assert experiment.training.optimizer_arguments == {"weight_decay": 0.01}
    assert experiment.training.class_weights == {"0": 1, "1": 2} and experiment.data.labels == ["0", "1"]


def test_overrides():
    values = {"backbone": {"name": "lstm", "units": 8}, "data": {"source": {"name": "tfds", "dataset": "imdb_reviews"}}}
    experiment = load_experiment(
        values,
        ["backbone.layers=2", "data.source=files", "data.source.train=a.tsv", "training.schedule.warmup_steps=5"],
    )
    assert (experiment.backbone.units, experiment.backbone.layers) == (8, 2)
    assert experiment.data.source.name == "files" and experiment.training.schedule.warmup_steps == 5
    assert values["backbone"] == {"name": "lstm", "units": 8}, "the given mapping is left as it was"


def test_naming_the_same_component_again_keeps_its_settings():
    assert load_experiment({"backbone": {"name": "lstm", "units": 8}}, ["backbone=lstm"]).backbone.units == 8
    assert load_experiment({"backbone": {"name": "lstm", "units": 8}}, ["backbone=gru"]).backbone.units == 64


@pytest.mark.parametrize(
    "override, message",
    [
        ("training.epochs", "write it as section.key=value"),
        ("training.epochs.x=1", "'epochs' is a value"),
        ("a=[", "not valid YAML"),
    ],
)
def test_bad_overrides(override, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment({"training": {"epochs": 3}}, [override])


@pytest.mark.parametrize("content, message", [("a: [", "not valid YAML"), ("- 1", "an experiment is a mapping")])
def test_bad_files(tmp_path, content, message):
    (tmp_path / "e.yaml").write_text(content)
    with pytest.raises(ConfigError, match=message):
        load_experiment(tmp_path / "e.yaml")
    with pytest.raises(ConfigError, match="does not exist"):
        load_experiment(tmp_path / "absent.yaml")


def test_differences_name_every_key():
    old = load_experiment({"backbone": "lstm"})
    new = load_experiment({"backbone": {"name": "gru"}, "training": {"epochs": 9}})
    assert differences(old, old) == []
    assert differences(old, new) == ["backbone.name: lstm → gru", "training.epochs: 5 → 9"]


@pytest.fixture
def pairs():
    """A task on pairs of texts, called `pairs`."""

    class PairTask(TASKS.get("translation")):
        defaults: ClassVar[dict] = {
            "text": {"tokenizer": {"name": "sentencepiece", "vocabulary_size": 500}, "add_end": True}
        }

    with TASKS.temporary():
        TASKS.register(type("PairSettings", (ComponentSettings,), {}), "pairs")(PairTask)
        yield


@pytest.mark.parametrize(
    "given, overrides, changed, tokenizer",
    [
        ({}, [], {}, ("sentencepiece", 500)),
        ({"max_length": 9}, [], {"max_length": 9}, ("sentencepiece", 500)),
        ({"tokenizer": {"vocabulary_size": 300}}, [], {}, ("sentencepiece", 300)),
        (None, ["target_text.tokenizer.vocabulary_size=300"], {}, ("sentencepiece", 300)),
        (None, ["target_text.tokenizer=word", "target_text.lowercase=false"], {"lowercase": False}, ("word", 20_000)),
        ({"tokenizer": "byte"}, ["target_text.tokenizer=sentencepiece"], {}, ("sentencepiece", 8_000)),
    ],
)
def test_target_text_is_as_text_where_nothing_is_given(pairs, given, overrides, changed, tokenizer):
    values = {"task": "pairs", "text": {"stop_words": ["x"]}, **({} if given is None else {"target_text": given})}
    experiment = load_experiment(values, overrides)
    text, target = experiment.text.model_dump(), experiment.target_text.model_dump()
    assert text["stop_words"] == ["x"] and text["add_end"] and text["tokenizer"]["vocabulary_size"] == 500
    made = target["tokenizer"]
    assert (made["name"], made["vocabulary_size"]) == tokenizer
    assert target == {**text, **changed, "tokenizer": made}
    again = load_experiment(yaml.safe_load(experiment.to_yaml()))
    assert again == experiment and differences(again, experiment) == []


def test_one_vocabulary_is_the_default(pairs):
    for values in ({}, {"target_text": None}):
        experiment = load_experiment({"task": "pairs", **values})
        assert experiment.target_text is None
        assert load_experiment(yaml.safe_load(experiment.to_yaml())) == experiment


def test_a_tokenizer_without_name_is_the_tasks_own(pairs):
    text = load_experiment({"task": "pairs"}, ["text.tokenizer.vocabulary_size=77"]).text
    assert (text.tokenizer.name, text.tokenizer.vocabulary_size) == ("sentencepiece", 77)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"target_text": {}}, "the task 'sentiment' does not use target_text; tasks that do: pairs, translation$"),
        (
            {"training": {"batch_tokens": 9}},
            "the task 'sentiment' does not use training.batch_tokens; tasks that do: pairs, translation$",
        ),
        ({"task": "pairs", "target_text": {"max_lenght": 3}}, "target_text: unknown key .*did you mean 'max_length'"),
        ({"task": "pairs", "target_text": 3}, "target_text: .*got 3"),
        ({"task": "pairs", "training": {"batch_tokens": 0}}, "training.batch_tokens: .*greater than or equal to 1"),
    ],
)
def test_mistakes_about_pairs_are_named(pairs, values, message):
    with pytest.raises(ConfigError, match=message):
        load_experiment(values)


def test_configs_from_before_there_were_pairs_are_equal_to_those_of_today():
    experiment = load_experiment({})
    old = yaml.safe_load(experiment.to_yaml())
    del old["target_text"], old["training"]["batch_tokens"]
    assert load_experiment(old) == experiment and differences(load_experiment(old), experiment) == []


@settings(deadline=None)
@given(st.sampled_from(list(Experiment.model_fields)), st.recursive(st.none() | st.integers() | st.text(), st.lists))
def test_anything_in_a_section_is_an_experiment_or_a_config_error(section, value):
    try:
        load_experiment({section: value})
    except ConfigError as error:
        assert section in str(error)


def test_a_shipped_config_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_experiment("sentiment_sample") == load_experiment(shipped_configs()["sentiment_sample"])
    (tmp_path / "lm_sample").write_text("training: {epochs: 3}")  # a file of that name comes first
    assert load_experiment("lm_sample").training.epochs == 3


@pytest.mark.parametrize(
    "given, message",
    [
        ("sentiment_sampel", "'sentiment_sampel' does not exist: did you mean the shipped config 'sentiment_sample'?"),
        ("configs/lm_sample.yaml", "does not exist: did you mean the shipped config 'lm_sample'?"),
        ("mine.yaml", "config file 'mine.yaml' does not exist (by name there are: nlp-suite list configs)"),
    ],
)
def test_a_config_that_is_not_there_hints_at_the_shipped_ones(tmp_path, monkeypatch, given, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_experiment(given)


def test_every_shipped_config_says_what_it_is():
    lines = shipped_help()
    assert set(lines) == set(shipped_configs()) and all(len(line) > 20 and "#" not in line for line in lines.values())


@pytest.mark.parametrize("strip_html", [True, False])
def test_a_recorded_config_cleans_texts_as_it_did(tmp_path, strip_html):
    """That of a run or an export without the keys that came later; one that has them is taken as it is."""
    path = tmp_path / "config.yaml"
    path.write_text(load_experiment({"text": {"strip_html": strip_html}, "target_text": None}).to_yaml())
    assert load_recorded(path) == load_experiment(path)
    path.write_text(path.read_text().replace("  invisible: drop\n", ""))
    before = load_recorded(path).text
    assert (before.invisible, before.strip_html) == ("keep", strip_html and "tags")
    assert load_experiment(path).text.invisible == "drop"
    values = before.model_dump(mode="json")
    assert before.identity() == {
        k: strip_html if k == "strip_html" else v for k, v in values.items() if k != "invisible"
    }
    assert load_experiment(path).text.identity()["invisible"] == "drop"
