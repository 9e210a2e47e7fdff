"""Exports in int8: embeddings and dense layers as Keras quantises them, and what that costs.

A row of an embedding, or a column of a dense kernel, is int8 with one float32 scale; recurrent kernels and convolutions stay
float32. So it pays where the embedding is most of the model.
"""

from typing import Any, Literal

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.registry import TASKS
from nlp_suite.training.run import Run

Quantize = Literal["none", "int8"]
SAMPLE = 2000  # rows that the accuracy is measured on
ENOUGH = 0.5  # share of the weights that embeddings and dense layers should have


def check_quantizable(run: Run) -> None:
    """Refuses a run whose network is not quantised here; imports no Keras.

    Raises:
        ExportError: it is of another task, or of another problem of the task.
    """
    if not run.task.quantizes:
        able = ", ".join(name for name in TASKS.names() if TASKS.get(name).quantizes)
        raise ExportError(
            f"quantize: int8 is for classifiers that give each text one label (task: {able}), not for {run.task.title}"
        )


def quantize(run: Run, model: Any) -> dict[str, Any]:
    """Quantises a network in place.

    Args:
        run: whose data the accuracy is measured on, as far as they are at hand.
        model: the network of a task that `quantizes`, built.

    Returns:
        For the report: `kept_float32`, the share of the weights that stay as they were; `accuracy`, None without data:
        `{"split", "rows", "before", "after", "changed"}`; and `remarks`.
    """
    size, layers = model.count_params(), _quantised_layers(model)
    share = sum(layer.count_params() for layer in layers) / size
    before = run.task.sample_answers(run, model, SAMPLE)
    model.quantize_int8()
    after = run.task.sample_answers(run, model, SAMPLE) if before else None
    report: dict[str, Any] = {"kept_float32": 1 - share, "accuracy": None, "remarks": []}
    if before and after:
        (split, truth, answers), (_, _, quantised) = before, after
        report["accuracy"] = {
            "split": split,
            "rows": len(truth),
            "before": float(np.mean(answers == truth)),
            "after": float(np.mean(quantised == truth)),
            "changed": int(np.sum(answers != quantised)),
        }
    if share < ENOUGH:
        report["remarks"].append(
            f"int8: {1 - share:.0%} of the weights are no embedding and no dense layer and stay float32, so little is saved"
        )
    return report


def _quantised_layers(model: Any) -> list[Any]:
    import keras

    kinds = (keras.layers.Embedding, keras.layers.Dense, keras.layers.EinsumDense)
    return [layer for layer in model._flatten_layers() if type(layer) in kinds]


def describe_quantized(report: dict[str, Any]) -> str:
    """What int8 costs, as a line for a terminal."""
    kept = f"int8: {1 - report['kept_float32']:.0%} of the weights"
    if not (accuracy := report["accuracy"]):
        return f"{kept}; the accuracy was not measured, as the run's data are not here"
    return (
        f"{kept}; accuracy on {accuracy['rows']:,} rows of {accuracy['split']} {accuracy['before']:.2%} → {accuracy['after']:.2%} "
        f"({accuracy['changed']} answers changed)"
    )
