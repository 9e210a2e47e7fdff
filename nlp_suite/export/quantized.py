"""Exports in int8: embeddings and dense layers as Keras quantises them, and what that costs.

A row of an embedding, or a column of a dense kernel, is int8 with one float32 scale, and is computed with so. Of other matrices,
recurrent kernels and convolutions, a SavedModel stores int8 and computes in float32, and a Keras file has float32.
"""

from typing import Any, Literal

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.export.stored_weights import NarrowType, StoredType, narrowable, round_weights
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


def quantize(run: Run, model: Any, others: StoredType | NarrowType = "float32") -> dict[str, Any]:
    """Quantises a network in place.

    Args:
        run: whose data the accuracy is measured on, as far as they are at hand.
        model: the network of a task that `quantizes`, built.
        others: how the matrices that Keras does not quantise will be stored; they are rounded to that.

    Returns:
        For the report: `kept_float32`, the share of the weights that is not int8; `accuracy`, None without data:
        `{"split", "rows", "before", "after", "changed"}`; and `remarks`.
    """
    size, layers = model.count_params(), _quantised_layers(model)
    share = sum(layer.count_params() for layer in layers) / size
    before = run.task.sample_answers(run, model, SAMPLE)
    model.quantize_int8()
    if others != "float32":
        matrices = narrowable([variable.value for variable in model.variables])
        round_weights(matrices, others)
        share += sum(np.prod(matrix.shape) for matrix in matrices) / size if others == "int8" else 0
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
    if share < ENOUGH and others == "float32":
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
