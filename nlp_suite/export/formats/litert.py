"""LiteRT (TensorFlow Lite) files of fixed shapes and built-in operators only, token ids in and logits out, for phones."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import Exporter, ExportResult
from nlp_suite.export.part_folder import Cases, write_part_folder
from nlp_suite.export.parts import Part, Tensors
from nlp_suite.export.plain_model import plain_model
from nlp_suite.export.self_check import check_parts, other_best
from nlp_suite.export.staging import check_new_folder
from nlp_suite.native_output import suppress_native_log
from nlp_suite.registry import EXPORTERS
from nlp_suite.training.run import Run

ROWS = 12  # that are compared
TOLERANCES = {"none": 1e-5, "float16": 5e-3, "int8": float("inf")}


class LiteRTSettings(ComponentSettings):
    """Settings of the LiteRT format."""

    length: int = Field(
        128, ge=1, description="tokens that are read at once: shorter texts are padded with 0, longer ones cut"
    )
    quantize: Literal["none", "float16", "int8"] = Field(
        "none", description="float16: weights in half the bytes; int8: in a quarter, activations quantised as they come"
    )


@EXPORTERS.register(LiteRTSettings)
class LiteRTExporter(Exporter):
    """A folder with `model.tflite` (of a language model `step.tflite`, too) and `client`, as the ONNX format has it.

    Every tensor has a fixed shape, with a batch of 1: so recurrent layers, too, need no operators of TensorFlow (the Flex
    delegate), which LiteRT's own runtime has not. What still would need them is refused by name, and so are a translation
    model, whose steps read sources of any length, and a forecaster with a linear path. Checked by ai-edge-litert where it is installed, else by TensorFlow's
    interpreter.

    Args:
        length: tokens that are read at once.
        quantize: `"float16"` or `"int8"` weights; what they change is reported.
    """

    def __init__(self, length: int = 128, quantize: str = "none"):
        self._length, self._quantize = length, quantize

    def check(self, run: Run, to: Path) -> None:
        check_new_folder(to, "a LiteRT export", "saved_models/NAME-litert")
        if getattr(run.experiment.task, "linear_path", False):
            raise ExportError(
                "task.linear_path: LiteRT's converter fuses its addition with another layer, and the file would answer wrongly; "
                "train with task.linear_path=false, or take --format onnx"
            )

    def export(self, run: Run, to: Path) -> ExportResult:
        def write(network: Any, part: Part, given: Any, file: Path) -> tuple[Part, Cases]:
            fixed = fixed_part(part, self._length)
            cases = _rows(fixed, given, self._length)
            _write(plain_model(network, fixed, named=True), fixed, file, self._quantize)
            return fixed, cases

        def checked(cases: Mapping[Path, Cases]) -> dict[str, Any]:
            return {"self_check": check_parts("litert", cases, TOLERANCES[self._quantize])}

        parts, _, report = write_part_folder(run, to, ".tflite", write, checked)
        check = report["self_check"]
        report["remarks"] = [
            f"weights as {'float32' if self._quantize == 'none' else self._quantize}: an output changes by at most "
            f"{check['largest_difference']:.2g} (they reach {check['largest_output']:.2g}){other_best(check)}",
            *(f"{name}: {part.says}; {_shapes(part)}" for name, part in parts.items()),
        ]
        use = f"ai_edge_litert.interpreter.Interpreter({str(to / next(iter(parts)))!r}).get_signature_runner()"
        return ExportResult(to.resolve(), report=report, use=use)


def fixed_part(part: Part, length: int) -> Part:
    """The part with all sizes fixed.

    Raises:
        ExportError: a size that changes from call to call, or that no setting gives.
    """
    inputs = {}
    for name, (sizes, dtype) in part.inputs.items():
        if None in sizes and name != "tokens":
            raise ExportError(
                f"LiteRT files have fixed shapes, and {name!r} of {part.name!r}, which has {[1, *sizes]} numbers, has none: "
                "take --format onnx, or saved_model"
            )
        inputs[name] = ([size or length for size in sizes], dtype)
    return Part(part.name, inputs, part.call, part.examples, part.carried, part.says)


def _rows(part: Part, given: Any, length: int) -> list[tuple[Tensors, Tensors]]:
    """Cases of one row each, of the part's shapes."""
    import keras

    found: list[Tensors] = []
    for inputs in part.examples(given):
        arrays = {name: keras.ops.convert_to_numpy(inputs[name]) for name in part.inputs}
        for row in range(min(len(next(iter(arrays.values()))), ROWS // 4)):
            alone = {name: array[row : row + 1] for name, array in arrays.items()}
            if "tokens" in alone:
                tokens = alone["tokens"][:, :length]
                alone["tokens"] = np.pad(tokens, [(0, 0), (0, length - tokens.shape[1])])
            found.append(alone)
    fixed = Part(part.name, part.inputs, part.call, lambda _: found[:ROWS])
    return fixed.cases(given)


def _write(plain: Any, part: Part, file: Path, quantize: str) -> None:
    """Writes a functional model with dicts in and out."""
    import tensorflow as tf

    signature = {name: tf.TensorSpec((1, *sizes), dtype, name) for name, (sizes, dtype) in part.inputs.items()}
    target: dict[str, Any] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    if quantize == "float16":
        target["supported_types"] = [tf.float16]
    optimizations = [] if quantize == "none" else [tf.lite.Optimize.DEFAULT]
    try:
        with suppress_native_log():  # the converter writes what it cannot do, beside raising it
            plain.export(
                str(file),
                format="litert",
                verbose=False,
                input_signature=[signature],
                target_spec=target,
                optimizations=optimizations,
            )
    except Exception as error:  # the converter's own class is none of TensorFlow's API
        lacking = sorted(set(re.findall(r"^\s*tf\.(\w+)\(", str(error), re.MULTILINE)))
        failing = sorted(set(re.findall(r'fused\["(\w+):"', str(error))) - {"StatefulPartitionedCall"})
        reason = str(error)[:200]
        if lacking or failing:
            where = ", ".join(lacking or failing)
            reason = f"its built-in operators lack {where}" if lacking else f"its converter fails at {where}"
        raise ExportError(
            f"LiteRT cannot run {part.name or 'this network'}: {reason}; take --format onnx, or another backbone"
        ) from error


def _shapes(part: Part) -> str:
    shapes: Mapping[str, Any] = {name: [1, *sizes] for name, (sizes, _) in part.inputs.items()}
    return "inputs " + ", ".join(f"{name} {shape}" for name, shape in shapes.items())
