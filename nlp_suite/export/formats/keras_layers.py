"""A classifier of stock Keras layers alone, ids in and logits out: .keras, the .h5 of Keras 2, or a TensorFlow.js folder."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.export.client_folder import write_client_folder
from nlp_suite.export.formats.base import Exporter, ExporterSettings, ExportResult
from nlp_suite.export.formats.keras_file import append_members
from nlp_suite.export.keras2_config import VERSION, keras2_config, keras2_weights
from nlp_suite.export.model_card import model_card
from nlp_suite.export.parts import Tensors, network_part, padded_examples
from nlp_suite.export.samples import check_texts
from nlp_suite.export.self_check import TOLERANCE, check_parts
from nlp_suite.export.staging import check_new_folder, check_parent, place_file, place_new_folder, staging
from nlp_suite.registry import EXPORTERS
from nlp_suite.training.run import Run

NOT_IN_TFJS = {  # layers that TensorFlow.js lacks → what to change
    "GRU": "it has no GRU with reset_after: train backbone lstm or rnn",
    "Cropping1D": "it has no Cropping1D, of task.pooling first and last: train with max, mean or attention",
}


@EXPORTERS.register(ExporterSettings)
class KerasLayersExporter(Exporter):
    """Token ids int32 `[B, T]`, padded on the right with 0 → logits `[B, C]`, with no operation of `keras.ops` between layers.

    The destination says what is written: `NAME.keras` for Keras 3, `NAME.h5` for Keras 2 and what is built on it, and a new
    folder for TensorFlow.js (`model.json`, `weights.bin` and `client`). Masks are looked up from frozen embeddings, so that every
    reader that knows the layers gives the same numbers. Checked by Keras without this package, by `tf_keras`, and in Node by
    `@tensorflow/tfjs` where NODE_PATH has it. Other readers of the `.h5`, such as Deeplearning4j, were not tried.

    Backbones lstm, gru, rnn and cnn, and bag with `ngrams: 1`; what layers cannot express is refused by name.
    """

    for_named_tasks = True

    def check(self, run: Run, to: Path) -> None:
        if to.suffix not in (".keras", ".h5"):
            check_new_folder(to, "a TensorFlow.js model", "saved_models/NAME-tfjs")
            return
        if to.is_dir():
            raise ExportError(f"{str(to)!r} is a folder: give a path for a file")
        check_parent(to.resolve().parent)
        if to.suffix == ".h5":
            _tf_keras()

    def export(self, run: Run, to: Path) -> ExportResult:
        from nlp_suite.export.layers_model import layers_model  # which needs Keras

        network, to = run.model(), to.resolve()
        plain = layers_model(network, run.task.classifier_head(run, network))
        tokens = run.task.check_inputs(run, check_texts(run))
        part = network_part(network)
        cases = [(inputs, *_answers(network, inputs)) for inputs in padded_examples(tokens)]
        report: dict[str, Any] = {}
        with staging(to.parent) as folder:
            file = folder / to.name
            if to.suffix == ".keras":
                plain.save(file)
                append_members(file, run, model_card(run, network, to.stem))
            elif to.suffix == ".h5":
                write_keras2(plain, file)
            else:
                write_tfjs(plain, file)
                write_client_folder(file, run, {"model.json": part})
            kind = {".keras": "keras", ".h5": "keras2"}.get(to.suffix)
            if kind:
                report["self_check"] = check_parts(kind, {file: cases})
                report["bytes"] = file.stat().st_size
                place_file(file, to)
            else:
                report |= checked_in_node(file, cases)
                report["bytes"] = sum(each.stat().st_size for each in file.iterdir() if each.is_file())
                place_new_folder(file, to)
        use = {".keras": f"keras.saving.load_model({str(to)!r})", ".h5": f"tf_keras.models.load_model({str(to)!r})"}
        return ExportResult(to, report=report, use=use.get(to.suffix, f"tf.loadLayersModel('…/{to.name}/model.json')"))


def _answers(network: Any, inputs: Tensors) -> tuple[Tensors]:
    import keras

    return ({"logits": keras.ops.convert_to_numpy(network(inputs["tokens"], training=False))},)


def write_keras2(plain: Any, file: Path) -> None:
    """Writes a model of `layers_model` as Keras 2 would have."""
    import h5py

    with h5py.File(file, "w") as archive:
        archive.attrs.update(keras_version=VERSION, backend="tensorflow", model_config=json.dumps(keras2_config(plain)))
        weights = archive.create_group("model_weights")
        weights.attrs.update(keras_version=VERSION, backend="tensorflow")
        names = []
        for layer, arrays in keras2_weights(plain):
            group = weights.create_group(layer)
            group.attrs["weight_names"] = [f"{name}:0".encode() for name, _ in arrays]
            for name, array in arrays:
                group.create_dataset(f"{name}:0", data=array)
            names.append(layer.encode())
        weights.attrs["layer_names"] = names


def write_tfjs(plain: Any, folder: Path) -> None:
    """Writes a model of `layers_model` as a TensorFlow.js layers model.

    Raises:
        ExportError: a layer that TensorFlow.js lacks.
    """
    config = keras2_config(plain)
    for layer in config["config"]["layers"]:
        inner = layer["config"].get("layer", layer)
        if reason := NOT_IN_TFJS.get(inner["class_name"]):
            raise ExportError(
                f"TensorFlow.js cannot express this network: {reason}, or take --format onnx (onnxruntime-web)"
            )
    folder.mkdir()
    arrays = [pair for _, pairs in keras2_weights(plain) for pair in pairs]
    manifest = [{"name": name, "shape": list(array.shape), "dtype": "float32"} for name, array in arrays]
    topology = {"keras_version": VERSION, "backend": "tensorflow", "model_config": config}
    model = {
        "format": "layers-model",
        "generatedBy": f"keras v{VERSION}",
        "convertedBy": "nlp-suite",
        "modelTopology": topology,
        "weightsManifest": [{"paths": ["weights.bin"], "weights": manifest}],
    }
    (folder / "model.json").write_text(json.dumps(model), "utf-8")
    (folder / "weights.bin").write_bytes(b"".join(np.asarray(array, "<f4").tobytes() for _, array in arrays))


_NODE = """
const fs = require('fs'), tf = require('@tensorflow/tfjs'), job = JSON.parse(fs.readFileSync(process.argv[1]));
const model = JSON.parse(fs.readFileSync(job.folder + '/model.json')), bytes = fs.readFileSync(job.folder + '/weights.bin');
const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
const load = async () => ({modelTopology: model.modelTopology, weightSpecs: model.weightsManifest[0].weights, weightData});
tf.loadLayersModel({load}).then(network => {
  const answers = job.tokens.map(rows => network.predict(tf.tensor2d(rows, undefined, 'int32')).arraySync());
  console.log(JSON.stringify(answers));
});
"""


def node_with_tfjs() -> str | None:
    """Node, where it finds TensorFlow.js."""
    node = shutil.which("node")
    found = node and subprocess.run([node, "-e", "require('@tensorflow/tfjs')"], capture_output=True)
    return node if found and found.returncode == 0 else None


def checked_in_node(folder: Path, cases: Sequence[tuple[Tensors, Tensors]]) -> dict[str, Any]:
    """The report of a check in Node; of none where Node or TensorFlow.js is not there.

    Args:
        folder: of `write_tfjs`.
        cases: `tokens` and the `logits` that are expected of them.

    Raises:
        ExportError: it answers otherwise, or does not load the model.
    """
    node = node_with_tfjs()
    if not node:
        return {"unchecked": "Node with @tensorflow/tfjs was not found (set NODE_PATH to a node_modules that has it)"}
    job = folder.parent / "job.json"
    job.write_text(
        json.dumps({"folder": str(folder), "tokens": [inputs["tokens"].tolist() for inputs, _ in cases]}), "utf-8"
    )
    process = subprocess.run([node, "-e", _NODE, str(job)], capture_output=True, text=True, env=dict(os.environ))
    job.unlink()
    lines = process.stdout.strip().splitlines()
    if process.returncode or not lines:
        raise ExportError(f"TensorFlow.js does not run the model: {_first_error(process.stderr)}")
    largest = 0.0
    for answer, (_, expected) in zip(json.loads(lines[-1]), cases, strict=True):
        wanted = expected["logits"]
        difference = float((np.abs(np.array(answer) - wanted) / np.maximum(1, np.abs(wanted))).max())
        if not difference <= TOLERANCE:
            raise ExportError(
                f"TensorFlow.js answers otherwise: the logits differ by {difference:.3g}, allowed {TOLERANCE:g}"
            )
        largest = max(largest, difference)
    rows = sum(len(inputs["tokens"]) for inputs, _ in cases)
    return {"self_check": {"largest_difference": largest, "rows": rows, "tolerance": TOLERANCE}}


def _tf_keras() -> None:
    try:
        version("tf_keras")
    except PackageNotFoundError:
        raise ExportError(
            "the package tf_keras, which checks files of Keras 2, is not installed: install the extra, "
            "pip install 'nlp-suite[keras2]'"
        ) from None


def _first_error(output: str) -> str:
    """The line of Node's output that names the error."""
    return next((line.strip() for line in output.splitlines() if "Error" in line), output.strip()[-300:])
