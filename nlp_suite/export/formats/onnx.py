"""ONNX files of a network's parts, token ids in and logits out, for onnxruntime in any language; with a folder for clients."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import Exporter, ExportResult
from nlp_suite.export.formats.onnx_graph import check_packages, write_onnx
from nlp_suite.export.part_folder import Cases, write_part_folder
from nlp_suite.export.parts import Part
from nlp_suite.export.plain_model import plain_model
from nlp_suite.export.self_check import check_parts, other_best
from nlp_suite.export.staging import check_new_folder
from nlp_suite.registry import EXPORTERS
from nlp_suite.training.run import Run


class OnnxSettings(ComponentSettings):
    """Settings of the ONNX format."""

    opset: int = Field(17, ge=13, le=18, description="version of ONNX's operators; older runtimes need a lower one")
    quantize: Literal["none", "int8"] = Field(
        "none",
        description="int8: weights in a quarter of the bytes, activations quantised as they come; slower or faster",
    )
    tolerance: float = Field(1e-5, gt=0, description="largest difference of float32 outputs in the self-check")


@EXPORTERS.register(OnnxSettings)
class OnnxExporter(Exporter):
    """A folder with `model.onnx` (and `encoder.onnx`, `step.onnx`), a part of the network each, and `client`.

    Inputs and outputs are those of `nlp_suite.export.parts`, with any batch and any length. Recurrent layers over whole texts
    are ONNX's own operators, see `nlp_suite.export.formats.onnx_recurrence`. Checked by onnxruntime in a process without
    TensorFlow and Keras. `client` is described at `nlp_suite.export.client_folder.write_client_folder`.

    Args:
        opset: version of ONNX's operators.
        quantize: `"int8"` is onnxruntime's dynamic quantisation; what it changes, and what it costs, is reported.
        tolerance: largest difference of float32 outputs in the self-check, relative above 1.
    """

    def __init__(self, opset: int = 17, quantize: str = "none", tolerance: float = 1e-5):
        self._opset, self._quantize, self._tolerance = opset, quantize, tolerance

    def check(self, run: Run, to: Path) -> None:
        if to.suffix == ".onnx":
            raise ExportError(
                f"{str(to)!r}: an ONNX export is a folder with model.onnx in it: give {str(to.with_suffix(''))!r}"
            )
        check_new_folder(to, "an ONNX export", "saved_models/NAME-onnx")
        check_packages()

    def export(self, run: Run, to: Path) -> ExportResult:
        def write(network: Any, part: Part, given: Any, file: Path) -> tuple[Part, Cases]:
            cases = part.cases(given)
            write_onnx(plain_model(network, part), part, list(cases[0][1]), file, self._opset)
            return part, cases

        remarks = [f"opset {self._opset}, read by onnxruntime; a client's files lie in {to.name}/client"]

        def check(cases: Mapping[Path, Cases]) -> dict[str, Any]:
            report: dict[str, Any] = {"self_check": check_parts("onnx", cases, self._tolerance)}
            if self._quantize == "int8":
                remarks.append(_quantized(cases, report))
            return report

        parts, cases, report = write_part_folder(run, to, ".onnx", write, check)
        report["remarks"] = remarks + [f"{name}: {part.says}" for name, part in parts.items()]
        signatures = {name: _signature(part, cases[name][0][1]) for name, part in parts.items()}
        use = f"python pipelines/onnx_client.py {shlex.quote(str(to))}"
        return ExportResult(to.resolve(), signatures, report=report, use=use)


def _quantized(cases: Mapping[Path, Cases], report: dict[str, Any]) -> str:
    """Puts int8 files in the place of float32 ones; returns, and adds to the report, what that costs and gains."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    before, size = report["self_check"], sum(file.stat().st_size for file in cases)
    for file in cases:
        narrow = file.with_suffix(".int8")
        quantize_dynamic(file, narrow, weight_type=QuantType.QInt8, extra_options={"EnableSubgraph": True})
        narrow.replace(file)
    after, narrow_size = check_parts("onnx", cases, float("inf")), sum(file.stat().st_size for file in cases)
    report["int8"] = {
        **{key: after[key] for key in ("largest_difference", "other_best", "milliseconds") if key in after},
        "float32_bytes": size,
    }
    times = "; ".join(
        f"{name} {before['milliseconds'][name]:g} → {after['milliseconds'][name]:g} ms"
        for name in after["milliseconds"]
    )
    return (
        f"int8: {size:,} → {narrow_size:,} bytes; an output changes by at most {after['largest_difference']:.2g} (they reach "
        f"{after['largest_output']:.2g}){other_best(after)}; "
        f"a call of the last case of the self-check, {times}"
    )


def _signature(part: Part, outputs: dict[str, Any]) -> dict[str, Any]:
    return {
        "inputs": {
            name: f"{dtype} {['B', *('?' if size is None else size for size in sizes)]}".replace("'", "")
            for name, (sizes, dtype) in part.inputs.items()
        },
        "outputs": {name: f"{array.dtype} [B{', ?' * (array.ndim - 1)}]" for name, array in outputs.items()},
    }
