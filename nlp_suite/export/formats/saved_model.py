"""A SavedModel for TensorFlow Serving: raw text in, answers out, as the next version of saved_models/NAME."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.data.prepare import save_texts
from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import Exporter, ExportResult
from nlp_suite.export.load import open_run
from nlp_suite.export.model_card import model_card, write_card
from nlp_suite.export.op_check import OpReport, check_ops, server_version
from nlp_suite.export.samples import check_texts, warmup_texts
from nlp_suite.export.self_check import check_saved_model
from nlp_suite.export.serving_hints import ServingHints
from nlp_suite.export.staging import check_parent, place_version, staging, write_record
from nlp_suite.export.stored_weights import StoredType, largest_change, narrowable, round_weights, store_as
from nlp_suite.export.warmup import read_warmup, write_warmup
from nlp_suite.registry import EXPORTERS, TASKS
from nlp_suite.training.run import Run

GRAPH_BYTES = 2**31  # of one message of protobuf


class SavedModelSettings(ComponentSettings):
    """Settings of the SavedModel format."""

    server_version: str | None = Field(None, description="TensorFlow Serving version; default: the config's")
    weights: StoredType | None = Field(None, description="how weights are stored; default: the config's export.weights")
    xla: bool = Field(False, description="also the signatures that XLA compiles, where the task has any")


@EXPORTERS.register(SavedModelSettings)
class SavedModelExporter(Exporter):
    """Writes a version that a stock server of the chosen version can run, and proves it before it is seen.

    The graph has no XLA, cuDNN or Python op, except in signatures that are asked for with `xla`; the version folder appears
    complete or not at all.

    Args:
        server_version: TensorFlow Serving version that must be able to run it; default: the config's.
        weights: how they are stored, see `nlp_suite.export.stored_weights`; default: the config's.
        xla: whether signatures compiled by XLA stand beside the others, where the task has any.
    """

    def __init__(self, server_version: str | None = None, weights: StoredType | None = None, xla: bool = False):
        self._server, self._weights, self._xla = server_version, weights, xla

    def check(self, run: Run, to: Path) -> None:
        server_version(self._server or run.experiment.export.server_version)
        _check_destination(to)
        _check_size(run)
        if self._xla and not run.task.compiles:
            able = ", ".join(name for name in TASKS.names() if TASKS.get(name).compiles)
            raise ExportError(f"xla: {run.task.title} has no signature for XLA (tasks that have: {able})")

    def export(self, run: Run, to: Path) -> ExportResult:
        server = self._server or run.experiment.export.server_version
        tf = _tensorflow()
        from nlp_suite.layers.serving_graph import serving_graph  # imports Keras

        model = run.model()
        signatures = run.task.signatures(model, open_run(run, model), xla=self._xla)
        compiled = tuple(signatures.compiled.values())
        rounding = _narrow(signatures, self._weights or run.experiment.export.weights, check_texts(run))
        try:
            with staging(to) as folder, without_cudnn(model):
                written = folder / "written"
                options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
                functions = signatures.functions()
                with serving_graph():
                    tf.saved_model.save(signatures.module, str(written), signatures=functions, options=options)
                _set_methods(tf, written, signatures.methods)
                ops = check_ops(written, server, compiled)
                ops.refuse()
                _refuse_paths(written, [folder.resolve(), *_text_files(run)])
                warmup = signatures.cases(warmup_texts(run))
                warmup = [request for case in warmup for request in (case.rows(slice(1)), case)]  # one text, then all
                if compiled:
                    warmup += signatures.compiled_warmup(warmup_texts(run))
                write_warmup(written, warmup, signatures.methods, to.name)
                _write_extras(written / "assets.extra", run, model, to.name, ops)
                ServingHints(signatures.compiled, run.task.page_form, independent_rows=True).write(written)
                write_record(written)
                moved = written.rename(folder / "moved")
                answers, tolerance = signatures.cases(check_texts(run)), signatures.tolerance
                check = check_saved_model(moved, answers, read_warmup(moved), tolerance)
                if compiled:
                    answers = signatures.compiled_cases(check_texts(run))
                    check["compiled"] = check_saved_model(moved, answers, [], tolerance, alone=4, xla=True)
                described = _describe(tf, moved)
                size = sum(file.stat().st_size for file in moved.rglob("*") if file.is_file())
                path = place_version(moved, to)
        except tf.errors.OpError as error:
            raise ExportError(f"cannot write the export in {str(to)!r}: {error.message}") from error
        check["tolerance"] = tolerance
        report = {"self_check": check, "ops": ops.as_dict(), "bytes": size, **rounding}
        return ExportResult(path, described, _curl(to.name, signatures.example), report=report)


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


def _check_destination(to: Path) -> None:
    if to.name.isdigit():
        raise ExportError(
            f"{str(to)!r} is a version: give the model's folder, {str(to.parent)!r}; the next one is chosen"
        )
    if to.suffix == ".keras" or to.is_file():
        raise ExportError(f"{str(to)!r} is a file: a SavedModel goes to a folder such as saved_models/NAME")
    check_parent(to)


def _check_size(run: Run) -> None:
    """Weights lie beside the graph, and may be of any size; what the text layers know lies within it, words twice."""
    size = 2 * sum(file.stat().st_size for file in _text_files(run))
    if size >= GRAPH_BYTES:
        raise ExportError(
            f"the vocabularies take up to {size / 2**20:,.0f} MiB of the graph, and its file saved_model.pb can have "
            f"{GRAPH_BYTES / 2**20:,.0f}, protobuf's limit: train a tokenizer with a smaller vocabulary_size"
        )


def _tensorflow() -> Any:
    """TensorFlow, with GPUs out of sight as far as it can still be done: the graph is for any machine."""
    import keras

    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            f"a SavedModel is written under Keras's TensorFlow backend, not {keras.backend.backend()!r}: "
            "use `nlp-suite export`, or set KERAS_BACKEND=tensorflow (the run may come from any backend)"
        )
    import tensorflow as tf

    with suppress(RuntimeError):  # raised where TensorFlow has already started them, as after training
        tf.config.set_visible_devices([], "GPU")
    return tf


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


def _set_methods(tf: Any, directory: Path, methods: Mapping[str, str]) -> None:
    """Gives signatures the method names that TensorFlow Serving's Classify and Regress look for."""
    updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(directory))
    for signature, method in methods.items():
        updater.replace_method_name(signature, method)
    updater.save()


def _refuse_paths(directory: Path, paths: Sequence[Path]) -> None:
    """A graph that names a file of this machine does not survive being moved."""
    content = (directory / "saved_model.pb").read_bytes()
    for path in paths:
        if str(path).encode() in content:
            raise ExportError(f"the graph refers to {str(path)!r} and would not work when moved")


def _text_files(run: Run) -> list[Path]:
    return [file for side in ("text", "target_text") for file in (run.directory.resolve() / side).glob("*")]


def _write_extras(directory: Path, run: Run, model: Any, name: str, ops: OpReport) -> None:
    (directory / "config.yaml").write_text(run.task.freeze_data_defaults(run).to_yaml(), "utf-8")
    (directory / "ops.json").write_text(json.dumps(ops.as_dict(), indent=1), "utf-8")
    write_card(directory, model_card(run, model, name))
    save_texts(directory, run.text, run.target_text)  # for clients that tokenise themselves and ask `tokens`


def _describe(tf: Any, directory: Path) -> dict[str, Any]:
    """Signature → names, types and shapes of its inputs and outputs, read from the file."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved_model = saved_model_pb2.SavedModel.FromString((directory / "saved_model.pb").read_bytes())
    return {
        name: {
            "inputs": {key: _tensor(tf, info) for key, info in sorted(definition.inputs.items())},
            "outputs": {key: _tensor(tf, info) for key, info in sorted(definition.outputs.items())},
            "method": definition.method_name,
        }
        for name, definition in sorted(saved_model.meta_graphs[0].signature_def.items())
        if not name.startswith("__")
    }


def _tensor(tf: Any, info: Any) -> str:
    sizes = ["?" if dim.size < 0 else str(dim.size) for dim in info.tensor_shape.dim]
    if sizes:
        sizes[0] = "B"
    return f"{tf.as_dtype(info.dtype).name} [{', '.join(sizes)}]"


def _curl(name: str, example: str | Mapping[str, str]) -> str:
    body = json.dumps({"instances": [example]})
    return f"curl -d '{body}' http://localhost:8501/v1/models/{name}:predict"
