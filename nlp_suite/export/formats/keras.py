"""One .keras file, token ids in and logits out, that keras.saving.load_model opens after `import nlp_suite`."""

from pathlib import Path

from nlp_suite.export.formats.base import ExporterSettings, ExportResult
from nlp_suite.export.formats.keras_file import KerasFileExporter, write_keras_file
from nlp_suite.registry import EXPORTERS
from nlp_suite.training.run import Run


@EXPORTERS.register(ExporterSettings)
class KerasExporter(KerasFileExporter):
    """The network as it is, with this package's classes: token ids int32 `[B, T]` → logits `[B, C]`.

    It can be trained further. Padding is id 0, on the right. The text layer and the labels lie in the same file, so
    `nlp_suite.load(FILE)` predicts strings.
    """

    def export(self, run: Run, to: Path) -> ExportResult:
        return write_keras_file(run, to, lambda model: model, with_package=True)
