"""A CTranslate2 model folder of a Transformer translation run, token strings in and out, with our text layers beside it."""

from pathlib import Path
from typing import Any

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.data.prepare import save_texts
from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import Exporter, ExportResult
from nlp_suite.export.formats.ctranslate2_check import check_translator
from nlp_suite.export.formats.ctranslate2_spec import transformer_spec
from nlp_suite.export.load import open_run
from nlp_suite.export.model_card import model_card, write_card
from nlp_suite.export.samples import check_texts
from nlp_suite.export.staging import check_new_folder, place_new_folder, staging
from nlp_suite.registry import EXPORTERS
from nlp_suite.training.run import Run


class CTranslate2Settings(ComponentSettings):
    """Settings of the CTranslate2 format."""

    tolerance: float = Field(1e-4, gt=0, description="largest difference of log-probabilities in the self-check")


@EXPORTERS.register(CTranslate2Settings)
class CTranslate2Exporter(Exporter):
    """Float32 weights for CTranslate2 (4.x), which also runs them as int8 and float16 (its `compute_type`).

    The folder has what `ctranslate2.Translator` opens (`model.bin`, `config.json`, the vocabularies), our text layers
    (`text`, and `target_text` where the targets have another one), `config.yaml` and the model card. Source rows end
    with `</s>`, which the text layer adds; the decoder starts with `<s>` and ends with `</s>`. `nlp_suite.load` does not
    open it. With one vocabulary for both languages:

        >>> text, target_text = nlp_suite.data.prepare.open_texts(Path(folder))
        >>> tokens = json.loads((Path(folder) / "shared_vocabulary.json").read_text("utf-8"))
        >>> rows = [[tokens[i] for i in row] for row in text.encode(["A man rides a bicycle."])]
        >>> translator = ctranslate2.Translator(folder)
        >>> answers = translator.translate_batch(rows, beam_size=4, length_penalty=0.6, disable_unk=True)
        >>> target_text.decode([[tokens.index(token) for token in answer.hypotheses[0]] for answer in answers])

    With two, they are `source_vocabulary.json` and `target_vocabulary.json`. CTranslate2 divides log-probabilities by
    `length ** length_penalty`, we by `((5 + length) / 6) ** length_penalty`, so the best penalty may be another one.

    Args:
        tolerance: largest difference of a token's log-probability that the self-check allows.
    """

    for_named_tasks = True

    def __init__(self, tolerance: float = 1e-4):
        self._tolerance = tolerance

    def check(self, run: Run, to: Path) -> None:
        check_new_folder(to, "a CTranslate2 model", "saved_models/NAME-ct2")
        if run.text is None or run.target_text is None:
            raise ExportError(f"{run.directory} has no text layers, which a CTranslate2 model is made with")

    def export(self, run: Run, to: Path) -> ExportResult:
        ctranslate2 = _package()
        assert run.text and run.target_text
        model = run.model()
        spec = transformer_spec(model, run.text, run.target_text, run.experiment.task.max_tokens)
        to = to.resolve()
        with staging(to.parent) as folder:
            written = folder / "written"
            written.mkdir()
            spec.validate()
            spec.optimize()
            spec.save(str(written))
            save_texts(written, run.text, run.target_text)
            (written / "config.yaml").write_text(run.task.freeze_data_defaults(run).to_yaml(), "utf-8")
            write_card(written, model_card(run, model, to.name))
            translator = ctranslate2.Translator(str(written), compute_type="float32", intra_threads=1)
            check = check_translator(translator, model, open_run(run, model), check_texts(run), self._tolerance)
            size = sum(file.stat().st_size for file in written.rglob("*") if file.is_file())
            place_new_folder(written, to)
        return ExportResult(to, report={"self_check": check, "bytes": size}, use=f"ctranslate2.Translator({str(to)!r})")


def _package() -> Any:
    try:
        import ctranslate2
    except ImportError as error:
        raise ExportError(
            f"the package ctranslate2 cannot be imported ({error}): install the extra, pip install 'nlp-suite[ctranslate2]'"
        ) from error
    return ctranslate2
