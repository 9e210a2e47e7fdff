"""A version folder that a server loads: written in a hidden folder, proved in a fresh process, and renamed into place."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_suite.errors import ExportError
from nlp_suite.export.op_check import OpReport, check_ops
from nlp_suite.export.self_check import check_saved_model
from nlp_suite.export.serving_hints import ServingHints
from nlp_suite.export.signatures import Signatures
from nlp_suite.export.staging import check_parent, place_version, staging, write_record
from nlp_suite.export.warmup import read_warmup, write_warmup


@dataclass(frozen=True)
class Version:
    """What is written, beside the signatures.

    Attributes:
        server: TensorFlow Serving version that must be able to run it.
        page_form: form of the endpoint's page that asks it.
        warmup_texts: of the warm-up requests.
        check_texts: that Python and the version must answer alike.
        hidden_paths: files of this machine that the graph must not name.
        write_extras: writes config, model card and the like into `assets.extra`, given that folder.
    """

    server: str
    page_form: str
    warmup_texts: Sequence[bytes]
    check_texts: Sequence[bytes]
    hidden_paths: Sequence[Path]
    write_extras: Callable[[Path], None]


@dataclass(frozen=True)
class Written:
    """A version that was written.

    Attributes:
        path: the version folder.
        signatures: see `ExportResult`.
        curl: likewise.
        report: `self_check`, `ops` and `bytes`.
    """

    path: Path
    signatures: dict[str, Any]
    curl: str
    report: dict[str, Any]


def check_model_folder(to: Path) -> None:
    """Refuses what cannot be the folder of a model's versions.

    Raises:
        ExportError: a version, a file, or see `check_parent`.
    """
    if to.name.isdigit():
        raise ExportError(
            f"{str(to)!r} is a version: give the model's folder, {str(to.parent)!r}; the next one is chosen"
        )
    if to.suffix == ".keras" or to.is_file():
        raise ExportError(f"{str(to)!r} is a file: a SavedModel goes to a folder such as saved_models/NAME")
    check_parent(to)


def tensorflow_for_graphs() -> Any:
    """TensorFlow, with GPUs out of sight as far as it can still be done: the graph is for any machine.

    Raises:
        ExportError: Keras runs on another backend.
    """
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


def write_version(signatures: Signatures, to: Path, version: Version) -> Written:
    """Saves signatures as the next version of a model's folder, which appears complete or not at all.

    Args:
        signatures: what is saved.
        to: the model's folder, such as `saved_models/imdb`.
        version: what stands beside them.

    Raises:
        ExportError: the server lacks an op, an answer differs from Python's, or the disk is full; nothing is left behind.
    """
    tf = tensorflow_for_graphs()
    from nlp_suite.layers.serving_graph import serving_graph  # imports Keras

    compiled, tolerance = tuple(signatures.compiled.values()), signatures.tolerance
    try:
        with staging(to) as folder:
            written = folder / "written"
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            functions = signatures.functions()
            with serving_graph():
                tf.saved_model.save(signatures.module, str(written), signatures=functions, options=options)
            _set_methods(tf, written, signatures.methods)
            ops = check_ops(written, version.server, compiled)
            ops.refuse()
            _refuse_paths(written, [folder.resolve(), *version.hidden_paths])
            warmup = signatures.cases(version.warmup_texts)
            warmup = [request for case in warmup for request in (case.rows(slice(1)), case)]  # one text, then all
            if compiled:
                warmup += signatures.compiled_warmup(version.warmup_texts)
            write_warmup(written, warmup, signatures.methods, to.name)
            _write_extras(written / "assets.extra", version, ops)
            ServingHints(signatures.compiled, version.page_form, True, signatures.columns).write(written)
            write_record(written)
            moved = written.rename(folder / "moved")
            check = check_saved_model(moved, signatures.cases(version.check_texts), read_warmup(moved), tolerance)
            if compiled:
                answers = signatures.compiled_cases(version.check_texts)
                check["compiled"] = check_saved_model(moved, answers, [], tolerance, alone=4, xla=True)
            described = _describe(tf, moved)
            size = sum(file.stat().st_size for file in moved.rglob("*") if file.is_file())
            path = place_version(moved, to)
    except tf.errors.OpError as error:
        raise ExportError(f"cannot write the export in {str(to)!r}: {error.message}") from error
    check["tolerance"] = tolerance
    report = {"self_check": check, "ops": ops.as_dict(), "bytes": size}
    return Written(path, described, _curl(to.name, signatures.example), report)


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


def _write_extras(directory: Path, version: Version, ops: OpReport) -> None:
    (directory / "ops.json").write_text(json.dumps(ops.as_dict(), indent=1), "utf-8")
    version.write_extras(directory)


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
