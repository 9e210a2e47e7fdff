"""One .keras file, token ids in and logits out, that keras.saving.load_model opens after `import nlp_suite`."""

from pathlib import Path
from typing import Any

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.export.formats.base import ExportResult
from nlp_suite.export.formats.keras_file import KerasFileExporter, write_keras_file
from nlp_suite.export.quantized import Quantize, check_quantizable, quantize
from nlp_suite.registry import EXPORTERS
from nlp_suite.training.run import Run


class KerasSettings(ComponentSettings):
    """Settings of the Keras format."""

    quantize: Quantize = Field("none", description="int8: embeddings and dense layers in a quarter of the bytes")


@EXPORTERS.register(KerasSettings)
class KerasExporter(KerasFileExporter):
    """The network as it is, with this package's classes: token ids int32 `[B, T]` → logits `[B, C]`.

    It can be trained further, unless it is quantised. Padding is id 0, on the right. The text layer and the labels lie in the same file, so
    `nlp_suite.load(FILE)` predicts strings.

    Args:
        quantize: `"int8"` or `"none"`, see `nlp_suite.export.quantized`.
    """

    def __init__(self, quantize: Quantize = "none"):
        self._quantize = quantize

    def check(self, run: Run, to: Path) -> None:
        super().check(run, to)
        if self._quantize != "none":
            check_quantizable(run)

    def export(self, run: Run, to: Path) -> ExportResult:
        if self._quantize == "none":
            return write_keras_file(run, to, lambda model: model)
        reports = []

        def convert(model: Any) -> Any:
            reports.append(quantize(run, model))
            return model

        result = write_keras_file(run, to, convert)
        result.report |= {"quantized": reports[0], "remarks": reports[0].pop("remarks")}
        return result
