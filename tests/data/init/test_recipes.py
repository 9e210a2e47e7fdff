"""What tasks choose for data that were seen: always a config that holds, with its reasons as comments."""

import dataclasses
import itertools
from pathlib import Path

import pytest

from nlp_suite.config import load_experiment
from nlp_suite.config_yaml import read_yaml
from nlp_suite.data.init.config_text import config_text, values_of
from nlp_suite.data.init.seen import Choice, Seen, TextSampler, TextsSeen
from nlp_suite.data.remarks import remarks_on_settings
from nlp_suite.registry import TASKS

ENCODERS = Path(__file__).parents[2] / "fixtures" / "encoders"
FIGURES = {"min": 1, "mean": 20.0, "p5": 3.0, "p50": 15.0, "p95": 60.0, "p99": 120.5, "max": 400}


def texts(tokens=100_000, script="Latin", **changes):
    seen = TextsSeen(
        count=1000,
        empty=0,
        characters=5 * tokens,
        lengths={"characters": FIGURES, "tokens": FIGURES},
        scripts={script: 1.0},
        languages={},
        tokens=tokens,
        types=1000,
        once=500,
        sampled_tokens=tokens,
        different=2,
        tags=0.0,
        capitals=0.05,
    )
    return dataclasses.replace(seen, **changes)


def labelled(rows, classes=2, **given):
    counts = {f"label {i}": max(1, rows // (i + 1)) for i in range(classes)}
    return Seen("labelled", {"train": rows}, {"text": texts(**given)}, {"train": counts})


def running(tokens, longest=400):
    report = {"splits": {"train": {"line_characters": {**FIGURES, "max": longest}}}}
    return Seen("text", {"train": 100}, {"text": texts(tokens)}, report=report)


def pairs(rows, script="Latin", ratio=None):
    report = {"splits": {"train": {"length_ratio": ratio or {"p50": 1.0, "p99": 2.0}}}}
    return Seen("pairs", {"train": rows}, {"source": texts(), "target": texts(script=script)}, report=report)


def configured(task, seen, **settings):
    """Values of the config of a recipe, which is read back from its YAML and checked."""
    recipe = {"task": {"name": Choice(task), **{key: Choice(value) for key, value in settings.items()}}}
    for section, choices in TASKS.get(task).recipe(seen).items():
        recipe[section] = {**recipe.get(section, {}), **choices}
    values = values_of(recipe)
    assert read_yaml(config_text(recipe, ["a head"]), "recipe") == values
    load_experiment(values)
    return values


@pytest.mark.parametrize("script", ["Latin", "Han"])
@pytest.mark.parametrize("classes", [2, 300])
@pytest.mark.parametrize("rows", [2, 500, 25_000, 10**7])
def test_a_classifier_for_tables_of_any_size(rows, classes, script):
    values = configured("sentiment", labelled(rows, classes, script=script, tokens=20 * rows))
    assert values["backbone"]["embedding_size"] >= min(32, classes - 1), "one feature less tells classes apart"
    assert values["text"]["max_length"] >= FIGURES["p99"], "texts are read whole"
    assert (values["text"]["tokenizer"]["name"] == "sentencepiece") == (script == "Han")


def test_a_bag_counts_words_of_labels_without_an_order():
    kinds = {"regression": "rated", "ordinal": "ordered", "multi_label": "multi_labelled", "single_label": "labelled"}
    for problem, kind in kinds.items():
        seen = dataclasses.replace(labelled(1000), kind=kind)
        backbone = configured("sentiment", seen, problem=problem)["backbone"]
        counts = (True, "l2") if problem.endswith("label") else (False, "sqrt")
        assert (backbone["naive_bayes"], backbone["average"]) == counts, problem
    many = dataclasses.replace(labelled(1000, 25), kind="multi_labelled")
    assert configured("sentiment", many, problem="multi_label")["backbone"]["embedding_size"] == 25


@pytest.mark.parametrize("classes, by_label", [(2, False), (3, True), (32, True), (33, False)])
def test_three_labels_and_more_have_weights_of_their_own(classes, by_label):
    values = configured("sentiment", labelled(3000, classes))
    assert (values["task"].get("classifier") == "identity") == by_label
    assert ("idf" in values["backbone"], "naive_bayes" in values["backbone"]) == (by_label, not by_label)
    if by_label:
        assert values["backbone"]["embedding_size"] == classes and values["training"]["class_weights"] == "balanced"


def test_two_texts_a_row_are_read_whole():
    both = dataclasses.replace(labelled(1000), texts={"text": texts(), "text_b": texts()})
    assert configured("sentiment", both)["text"]["max_length"] >= 2 * FIGURES["max"]


def test_rare_labels_are_weighed():
    assert "class_weights" not in configured("sentiment", labelled(1000, 2))["training"]
    rare = configured("sentiment", labelled(2000, 25))["training"]
    assert (rare["class_weights"], rare["monitor"]) == ("balanced", "val_macro_f1")


def test_few_rows_of_validation_choose_no_epoch():
    few, many = (configured("sentiment", labelled(rows))["training"] for rows in (900, 1100))
    assert (few["monitor"], few["patience"]) == ("loss", None)
    assert (many["monitor"], many["patience"]) == ("val_loss", 3)
    own = dataclasses.replace(labelled(900), rows={"train": 900, "validation": 200})
    assert configured("sentiment", own)["training"]["monitor"] == "val_loss"
    assert configured("sentiment", labelled(200, 25))["training"]["monitor"] == "loss", "rare labels, too"


@pytest.mark.parametrize("tokens", [10, 5000, 250_000, 2_000_000, 10**9])
def test_a_language_model_for_texts_of_any_size(tokens):
    values = configured("language_model", running(tokens))
    assert (values["text"]["tokenizer"] == "character") == (tokens < 30_000)
    assert "max_characters" not in values["text"]


def test_larger_texts_get_larger_networks_and_fewer_passes():
    sizes = [configured("language_model", running(tokens)) for tokens in (5000, 250_000, 2_000_000, 10**9)]
    for smaller, larger in itertools.pairwise(sizes):
        assert smaller["backbone"]["units"] < larger["backbone"]["units"]
        assert smaller["training"]["epochs"] >= larger["training"]["epochs"]


def test_an_epoch_of_a_book_has_steps_enough_to_learn_from():
    for tokens in (34_000, 63_000, 255_000, 10**6):
        values = configured("language_model", running(tokens))
        batch = values["training"]["batch_size"]
        assert 1.4 * tokens / (64 * batch) >= 90 and (batch == 64 or 1.4 * tokens / (64 * batch) < 180)


def test_a_long_line_is_not_cut():
    values = configured("language_model", running(10**6, longest=3_000_000))
    assert values["text"]["max_characters"] >= 3_000_000 <= values["text"]["max_length"]


@pytest.mark.parametrize("rows", [2, 3000, 30_000, 200_000, 10**7])
def test_a_translation_of_any_size(rows):
    values = configured("translation", pairs(rows))
    assert (
        values["backbone"]["name"] == values["task"]["decoder"]["name"] == ("gru" if rows <= 50_000 else "transformer")
    )
    assert values["text"]["max_length"] >= 2 * FIGURES["p99"] - 16


def test_scripts_that_differ_get_a_vocabulary_each():
    assert "target_text" not in configured("translation", pairs(3000))
    values = configured("translation", pairs(3000, "Cyrillic"))
    assert values["target_text"]["tokenizer"] and values["task"]["tie_embeddings"] == "target"


def test_pairs_of_very_different_lengths_are_left_out():
    assert "max_ratio" not in configured("translation", pairs(3000))["task"]
    assert configured("translation", pairs(3000, ratio={"p50": 1.0, "p99": 9.0}))["task"]["max_ratio"] == 3


def test_a_pretrained_start_is_shown_where_rows_are_few():
    """The comment is YAML that holds in place of the sections above it."""
    task = TASKS.get("sentiment")
    assert not task.other_recipe(labelled(100_000)) and not TASKS.get("translation").other_recipe(pairs(20))
    for rows in (2, 500):
        foot = task.other_recipe(labelled(rows))
        text = config_text({"task": {"name": Choice("sentiment")}}, [], foot)
        assert (
            max(map(len, text.splitlines())) <= 140
            and text.endswith("\n")
            and read_yaml(text, "config") == {"task": {"name": "sentiment"}}
        )
        block = text.rpartition("#\n")[2].replace("#   ", "")
        values = read_yaml(block, "block")
        assert set(values) == {"text", "backbone", "training"}
        values["backbone"]["init_from"] = str(ENCODERS / "bert")
        values["text"]["max_length"] = 12  # positions of the small model
        experiment = load_experiment({**values, "data": {"source": "sample"}})
        assert experiment.backbone.freeze == 0 and not remarks_on_settings(experiment, ["neg", "pos"])
        rates = experiment.training
        assert rates.schedule.warmup_steps < rates.epochs * -(-rows // rates.batch_size)


def test_a_task_without_rules_keeps_its_defaults():
    from nlp_suite.task import Task

    assert Task.recipe(labelled(10)) == {}


def test_a_config_is_commented_yaml():
    recipe = {
        "task": {"name": Choice("sentiment")},
        "data": {
            "source.name": Choice("files", "a table"),
            "source.train": Choice("no.csv"),
            "validation": Choice(0.1),
        },
        "training": {"epochs": Choice(3, "many " * 30)},
    }
    lines = config_text(recipe, ["Title", "", "  command"]).splitlines()
    assert lines[:6] == ["# Title", "#", "#   command", "", "task:", "  name: sentiment"]
    assert lines[6:9] == ["data:", "  source:", "    name: files              # a table"]
    assert "    train: no.csv" in lines and lines[-1] == "  epochs: 3"
    assert lines[-2].startswith("  # many many") and max(map(len, lines)) <= 120


def test_a_sample_is_bounded_and_drawn_from_everywhere():
    sampler = TextSampler()
    for i in range(20_000):
        sampler.add("Das ist nicht der Hund, und ich bin es." if i < 5000 else "This is not the dog and I am it.")
    seen = sampler.seen()
    assert (seen.count, seen.empty, seen.different) == (20_000, 0, 2)
    assert 0.2 < seen.languages["de"] < 0.3 < 0.7 < seen.languages["en"] < 0.8
    assert seen.lengths["tokens"]["max"] == 11 and seen.sampled_tokens < 3001 * 11
    assert seen.tokens == pytest.approx(5000 * 11 + 15_000 * 10, rel=0.02)


def test_a_long_text_counts_by_its_beginning():
    sampler = TextSampler()
    sampler.add("word " * 1_000_000)
    assert sampler.seen().lengths["tokens"]["max"] == 1_000_000


def test_texts_that_are_equal_or_empty_are_seen():
    sampler = TextSampler()
    for text in ("same", "same", ""):
        before = sampler.distinct
        sampler.add(text)
        assert (before, sampler.distinct) in ((0, 1), (1, 1), (1, 2))
    assert (sampler.seen().different, sampler.seen().empty) == (2, 1)
