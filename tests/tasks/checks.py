"""The contract of a task, checked for any one of the registry: `run_task_checks("sentiment", cache=tmp_path)`."""

import json
import re
from collections.abc import Iterable
from pathlib import Path

import keras
import numpy as np
import pytest

import nlp_suite.serving.page as page
from nlp_suite.config import TASK_KEYS, load_experiment
from nlp_suite.data.prepare import prepare
from nlp_suite.evaluation.report import ReportView
from nlp_suite.registry import CORPUS_KINDS, EXPORTERS, TASKS, missing_members
from nlp_suite.task import task_class
from nlp_suite.training.run import make_task

SAMPLE = {"name": "sample", "size": 120, "test": 20}


def run_task_checks(name: str, cache: Path, source=SAMPLE, **settings) -> None:
    """Checks a task against everything that `Task` promises, on a small corpus and with an LSTM.

    Args:
        name: of the task.
        cache: folder of token stores.
        source: of the corpus.
        **settings: of the task.
    """
    task = task_class(name, settings)
    check_declarations(task)
    experiment = load_experiment(
        {
            "task": {"name": name, **settings},
            "data": {"source": source, "cache": str(cache)},
            "text": {"tokenizer": {"name": "word", "min_count": 1}},
            "backbone": {"name": "lstm", "embedding_size": 4, "units": 4},
            "training": {"batch_size": 4, "buckets": 2},
        }
    )
    check_defaults(task, settings)
    check_experiment(experiment)
    prepared = prepare(experiment)
    check_network(experiment, prepared)
    check_metrics(experiment, prepared)
    check_batches(experiment, prepared)
    check_dropout(experiment, prepared)
    check_answers(task)


def is_sentence(text: str) -> bool:
    return bool(re.fullmatch(r"[A-Z].*\w.*\.", text))


def is_phrase(text: str) -> bool:
    """Words that stand inside a sentence."""
    return bool(re.fullmatch(r"[a-z].*[^.\s]", text))


def check_declarations(task):
    assert missing_members(task) == []
    assert task.name() in TASKS.names() and is_sentence(TASKS.help()[task.name()])
    assert all(map(is_phrase, (task.title, task.model_kind, task.how_to_ask))) and "nlp-suite" in task.how_to_ask
    assert task.card_limits and all(map(is_sentence, task.card_limits))
    assert task.corpus_kind in CORPUS_KINDS.names()
    assert task.honours <= set(TASK_KEYS)
    assert set(task.exports_to) <= set(EXPORTERS.names())
    assert (Path(page.__file__).parent / "forms" / f"{task.page_form}.js").is_file()
    assert all(metric.startswith("val_") for metric in task.monitors)


def check_defaults(task, settings):
    """Every default is a key that there is, and stands where a config says nothing; the recipe where it names no backbone."""
    by_section = {section: dict(values) for section, values in task.defaults.items()}
    for section, values in task.default_recipe.items():
        by_section[section] = {**by_section.get(section, {}), **values}
    given = {"task": {"name": task.name(), **settings}}
    assert type(make_task(load_experiment(given))) is task
    check_chosen(load_experiment(given), by_section)
    check_chosen(load_experiment({**given, "backbone": "lstm"}), task.defaults)


def check_chosen(experiment, by_section):
    for section, values in by_section.items():
        for key, value in values.items():
            chosen = getattr(getattr(experiment, section), key)
            if isinstance(value, dict):
                assert {name: getattr(chosen, name) for name in value} == value, f"{section}.{key} is {chosen!r}"
            else:
                assert value in (chosen, getattr(chosen, "name", None)), f"{section}.{key} is {chosen!r}"


def check_experiment(experiment):
    task = make_task(experiment)
    task.check(experiment)
    assert task.settings == experiment.task
    facts = task.card_facts(experiment)
    assert facts and all(isinstance(text, str) and text for pair in facts.items() for text in pair)


def check_network(experiment, prepared):
    """It is built, Keras can make it from its config, and every trainable variable is in one group."""
    task = make_task(experiment)
    model = task.model(experiment.backbone, prepared.assets)
    assert model.built and model.count_params()
    assert all(is_phrase(line) for line in task.start_weights(model, prepared.text, prepared.stores["train"]))
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(model)))
    copy = keras.saving.deserialize_keras_object(config)
    if not copy.built:
        copy.build((None, None))
    assert [tuple(w.shape) for w in copy.weights] == [tuple(w.shape) for w in model.weights]
    grouped = [id(variable) for group in model.layer_groups() for variable in group]
    assert sorted(grouped) == sorted(map(id, model.trainable_variables))


def check_metrics(experiment, prepared):
    names = [metric.name for metric in make_task(experiment).metrics(prepared.labels)]
    assert len(set(names)) == len(names) and make_task(experiment).loss_metric in names


def check_batches(experiment, prepared):
    """A batch is a function of its number, and all batches of a training step and of validation fit the network."""
    task = make_task(experiment)
    model = task.model(experiment.backbone, prepared.assets)
    parts = task.training_batches(model, prepared.stores, prepared.labels, experiment.training)
    assert parts[0].description
    for batches in parts:
        assert batches.steps_per_epoch > 0
        inputs, targets, weights = batches.batch(1)
        for once, again in zip(leaves((inputs, targets, weights)), leaves(batches.batch(1)), strict=True):
            np.testing.assert_array_equal(once, again)
        assert len(weights) == len(targets) and np.asarray(weights).sum() > 0
        keras.ops.convert_to_numpy(model(inputs, training=batches is parts[0]))
    model.compile(optimizer="sgd", loss=task.loss(), metrics=task.metrics(prepared.labels))
    check_divisor(model, *parts[0].batch(1))
    logs = model.test_on_batch(*parts[1].batch(0), return_dict=True)
    assert np.isfinite(list(logs.values())).all() and task.loss_metric in logs


def check_dropout(experiment, prepared):
    """`call` passes `training` on to its layers: on JAX Keras's trainer calls it by itself, outside of any `__call__`."""
    task, backbone = make_task(experiment), experiment.backbone.model_copy(update={"dropout": 0.5})
    model = task.model(backbone, prepared.assets)
    batches, _ = task.training_batches(model, prepared.stores, prepared.labels, experiment.training)
    values = [
        [variable.value for variable in part] for part in (model.trainable_variables, model.non_trainable_variables)
    ]
    _, after = model.stateless_call(*values, batches.batch(1)[0], training=True)
    assert any(
        not np.array_equal(keras.ops.convert_to_numpy(old), keras.ops.convert_to_numpy(new))
        for variable, old, new in zip(model.non_trainable_variables, values[1], after)
        if "seed" in variable.path
    )


def check_divisor(model, inputs, targets, weights):
    """What is minimised is divided by a fixed number: the losses of two halves of a batch add up to that of the whole."""

    def loss(rows):
        counted = weights * rows.reshape(-1, *[1] * (weights.ndim - 1))
        given = keras.tree.map_structure(lambda array: counted if array is weights else array, inputs)
        return float(model.compute_loss(given, targets, model(given, training=True), counted, training=True))

    half = (np.arange(len(weights)) % 2).astype("float32")
    assert loss(half) + loss(1 - half) == pytest.approx(loss(half * 0 + 1), rel=1e-4)


def leaves(tree) -> Iterable:
    return keras.tree.flatten(tree)


def check_answers(task):
    view = task(**{}).report_view()
    assert isinstance(view, ReportView) and view.curves and isinstance(view.style, str)
    for for_people in (True, False):
        columns = task.answer_columns(["no", "yes"], for_people)
        assert columns and all(isinstance(name, str) and callable(cell) for name, cell in columns.items())
