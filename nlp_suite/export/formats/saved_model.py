"""A SavedModel for TensorFlow Serving: raw text in, answers out, as the next version of saved_models/NAME."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.data.prepare import save_texts
from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import Exporter, ExportResult
from nlp_suite.export.load import open_run
from nlp_suite.export.model_card import model_card, write_card
from nlp_suite.export.op_check import server_version
from nlp_suite.export.quantized import Quantize, check_quantizable, quantize
from nlp_suite.export.samples import check_texts, warmup_texts
from nlp_suite.export.stored_weights import (
    NarrowType,
    StoredType,
    largest_change,
    narrowable,
    round_weights,
    store_as,
)
from nlp_suite.export.version_writing import Version, check_model_folder, tensorflow_for_graphs, write_version
from nlp_suite.registry import EXPORTERS, TASKS
from nlp_suite.training.run import MEMBERS, Run

GRAPH_BYTES = 2**31  # of one message of protobuf


class SavedModelSettings(ComponentSettings):
    """Settings of the SavedModel format."""

    server_version: str | None = Field(None, description="TensorFlow Serving version; default: the config's")
    weights: StoredType | None = Field(None, description="how weights are stored; default: the config's export.weights")
    quantize: Quantize = Field("none", description="int8: matrices in a quarter of the bytes")
    xla: bool = Field(False, description="also the signatures that XLA compiles, where the task has any")


@EXPORTERS.register(SavedModelSettings)
class SavedModelExporter(Exporter):
    """Writes a version that a stock server of the chosen version can run, and proves it before it is seen.

    The graph has no XLA, cuDNN or Python op, except in signatures that are asked for with `xla`; the version folder appears
    complete or not at all.

    Args:
        server_version: TensorFlow Serving version that must be able to run it; default: the config's.
        weights: how they are stored, see `nlp_suite.export.stored_weights`; default: the config's.
        quantize: `"int8"` or `"none"`, see `nlp_suite.export.quantized`.
        xla: whether signatures compiled by XLA stand beside the others, where the task has any.
    """

    def __init__(
        self,
        server_version: str | None = None,
        weights: StoredType | None = None,
        quantize: Quantize = "none",
        xla: bool = False,
    ):
        self._server, self._weights, self._quantize, self._xla = server_version, weights, quantize, xla

    def check(self, run: Run, to: Path) -> None:
        server_version(self._server or run.experiment.export.server_version)
        check_model_folder(to)
        _check_size(run)
        if self._quantize != "none":
            check_quantizable(run)
        if self._xla and not run.task.compiles:
            able = ", ".join(name for name in TASKS.names() if TASKS.get(name).compiles)
            raise ExportError(f"xla: {run.task.title} has no signature for XLA (tasks that have: {able})")

    def export(self, run: Run, to: Path) -> ExportResult:
        tensorflow_for_graphs()
        model = run.model()
        kind = self._weights or run.experiment.export.weights
        others: NarrowType = "int8" if kind == "float32" else kind
        quantized = quantize(run, model, others) if self._quantize != "none" else None
        signatures = run.task.signatures(model, open_run(run, model), xla=self._xla)
        if quantized:
            signatures.module.weights = store_as(signatures.module.weights, others)
        rounding = {} if quantized else _narrow(signatures, kind, check_texts(run))
        version = Version(
            server=self._server or run.experiment.export.server_version,
            page_form=run.task.page_form,
            warmup_texts=warmup_texts(run),
            check_texts=check_texts(run),
            hidden_paths=_text_files(run),
            write_extras=lambda directory: _write_extras(directory, run, model, to.name),
        )
        with without_cudnn(model):
            written = write_version(signatures, to, version)
        report = {**written.report, **rounding}
        if quantized:
            report |= {"quantized": quantized, "remarks": quantized.pop("remarks")}
        return ExportResult(written.path, written.signatures, written.curl, report=report)


def _narrow(signatures: Any, kind: StoredType, texts: Sequence[bytes]) -> dict[str, Any]:
    """Rounds the weights to how they are stored, and has the graph hold those; what that changed, for the report.

    The answers that the export must give are from then on those of the rounded weights.
    """
    if kind == "float32":
        return {}
    weights, before = signatures.module.weights, signatures.cases(texts)
    round_weights(narrowable(weights), kind)
    signatures.module.weights = store_as(weights, kind)
    change = largest_change(before, signatures.cases(texts))
    return {"weights": {"stored_as": kind, "largest_change": change}}


def _check_size(run: Run) -> None:
    """Weights lie beside the graph, and may be of any size; what the text layers know lies within it, words twice."""
    size = 2 * sum(file.stat().st_size for file in _text_files(run))
    if size >= GRAPH_BYTES:
        raise ExportError(
            f"the vocabularies take up to {size / 2**20:,.0f} MiB of the graph, and its file saved_model.pb can have "
            f"{GRAPH_BYTES / 2**20:,.0f}, protobuf's limit: train a tokenizer with a smaller vocabulary_size"
        )


@contextmanager
def without_cudnn(model: Any) -> Iterator[None]:
    """Within the context the model's recurrent layers use no cuDNN, whatever the machine."""
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "use_cudnn")]
    before = [layer.use_cudnn for layer in layers]
    try:
        for layer in layers:
            layer.use_cudnn = False
        yield
    finally:
        for layer, value in zip(layers, before):
            layer.use_cudnn = value


def _text_files(run: Run) -> list[Path]:
    root = run.directory.resolve()
    folders = [root / MEMBERS / name for name in run.assets.members] or [root]
    return [file for folder in folders for side in ("text", "target_text") for file in (folder / side).glob("*")]


def _write_extras(directory: Path, run: Run, model: Any, name: str) -> None:
    (directory / "config.yaml").write_text(run.task.freeze_data_defaults(run).to_yaml(), "utf-8")
    write_card(directory, model_card(run, model, name))
    if not run.assets.members:
        save_texts(directory, run.text, run.target_text)  # for clients that tokenise themselves and ask `tokens`
