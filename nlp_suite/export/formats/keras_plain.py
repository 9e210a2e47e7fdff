""".keras files of stock Keras layers and keras.ops only, token ids in and logits out: they load without this package."""

from pathlib import Path

from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import ExporterSettings, ExportResult
from nlp_suite.export.formats.keras_file import KerasFileExporter, append_members
from nlp_suite.export.model_card import model_card
from nlp_suite.export.parts import parts_of
from nlp_suite.export.plain_model import plain_model
from nlp_suite.export.samples import check_texts
from nlp_suite.export.self_check import check_parts
from nlp_suite.export.staging import place_file, staging
from nlp_suite.registry import EXPORTERS
from nlp_suite.training.run import Run


@EXPORTERS.register(ExporterSettings)
class KerasPlainExporter(KerasFileExporter):
    """A functional model a part of the network (`nlp_suite.export.parts`), the numbers of the network, padding included.

    Of `--to NAME.keras`: a classifier is `NAME.keras`, token ids int32 `[B, T]` → logits `[B, C]`; a language model that, with
    logits `[B, T, V]`, and `NAME.step.keras`, a token and states → logits and states; a translation model
    `NAME.encoder.keras` and `NAME.step.keras`. Several inputs or outputs are dicts by name.

    Our layers are written out as the stock layers and operations that they are made of; recurrent layers become
    Keras's own. What they cannot express is refused by name. Proved in a process where this package cannot be imported.
    A tied table is in the file twice, as embedding and as the output's kernel.
    """

    def export(self, run: Run, to: Path) -> ExportResult:
        network = run.model()
        parts = parts_of(run, network)
        given = run.task.check_inputs(run, check_texts(run))
        to = to.resolve()
        with staging(to.parent) as folder:
            files = {}
            for part in parts:
                file = folder / (f"{to.stem}.{part.name}.keras" if part.name else to.name)
                try:
                    plain_model(network, part).save(file)
                except (TypeError, ValueError, NotImplementedError) as error:
                    raise ExportError(f"the model cannot be saved as a Keras file: {error}") from error
                append_members(
                    file, run, model_card(run, network, to.stem), "" if len(parts) == 1 else part.name or "whole"
                )
                files[file] = part.cases(given)
            check = check_parts("keras", files)
            sizes = {file.name: file.stat().st_size for file in files}
            placed = [place_file(file, to.parent / file.name) for file in files]
        remarks = [f"{file.name}: {part.says}" for file, part in zip(placed, parts) if len(parts) > 1]
        report = {"self_check": check, "bytes": sum(sizes.values()), "files": sizes, "remarks": remarks}
        return ExportResult(placed[0], report=report, use=f"keras.saving.load_model({str(placed[0])!r})")
