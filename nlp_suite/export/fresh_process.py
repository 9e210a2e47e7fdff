"""Runs in a separate process that knows nothing of this package, and says whether an export answers as expected.

    python -I -S fresh_process.py JOB.json

Never imported. It prints one line of JSON: `{"ok": true, …}` or `{"ok": false, "error": …}`.
"""

import base64
import gc
import json
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

Job = dict[str, Any]


def main(job: Job) -> dict[str, Any]:
    """Does what a job says; returns what it saw."""
    gc.set_threshold(50_000, 10, 10)  # graphs are many small objects, of which few become unreachable
    sys.path[:] = [*sys.path, *job["sys_path"]]
    for name in job["forbidden"]:
        sys.modules[name] = None  # type: ignore[assignment]  # `import` of it fails, installed or not
    kinds = {"saved_model": _saved_model, "keras": _keras, "huggingface": _huggingface}
    result = {**kinds, "parts": _parts, "safetensors": _safetensors}[job["kind"]](job)
    imported = [name for name, module in sys.modules.items() if name.split(".")[0] in job["forbidden"] and module]
    if imported:
        raise AssertionError(f"{imported} were imported")
    return result


def _saved_model(job: Job) -> dict[str, Any]:
    """Every case through the TF1 session loader (the server's own path), together and row by row; then the warm-up."""
    import numpy as np
    import tensorflow as tf

    # TF Text's layers are of Keras, which is barred; the graph needs its ops alone.
    sys.modules["tensorflow_text.python.keras"] = ModuleType("tensorflow_text.python.keras")
    import tensorflow_text  # noqa: F401

    xla_off = not job["xla"] and _disable_xla(tf)
    loader = tf.compat.v1.saved_model
    largest, rows, records = 0.0, 0, 0
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        signatures = loader.load(session, ["serve"], job["path"]).signature_def

        def run(signature: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
            """All outputs, whatever is asked for: TensorFlow optimises the graph anew for every choice of them."""
            definition = signatures[signature]
            if set(inputs) != set(definition.inputs):
                raise AssertionError(f"signature {signature!r} takes {sorted(definition.inputs)}, not {sorted(inputs)}")
            feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
            names = sorted(definition.outputs)
            return dict(zip(names, session.run([definition.outputs[name].name for name in names], feeds)))

        for case in job["cases"]:
            inputs, expected = _tensors(tf, case["inputs"]), _tensors(tf, case["outputs"])
            count = len(next(iter(inputs.values())))
            together = run(case["signature"], inputs)
            alone = [
                run(case["signature"], {name: value[i : i + 1] for name, value in inputs.items()})
                for i in range(min(count, job["alone"]))
            ]
            for how, answers, first in [("co-batched", together, 0), *(("alone", a, i) for i, a in enumerate(alone))]:
                for name in expected:
                    answer = answers[name]
                    wanted = expected[name][first : first + len(answer)]
                    where = f"signature {case['signature']!r}, output {name!r}, {how}, row {first}"
                    largest = max(largest, _compare(np, answer, wanted, job["tolerance"], where))
            rows += count
        for number, record in enumerate(job["warmup"], 1):
            try:
                run(record["signature"], _tensors(tf, record["inputs"]))
            except Exception as error:
                raise AssertionError(f"warm-up record {number} ({record['signature']}) fails: {error}") from error
            records += 1
    _object_loader(tf, np, job)
    return {"largest_difference": largest, "rows": rows, "warmup_records": records, "xla_off": xla_off}


def _object_loader(tf: Any, np: Any, job: Job) -> None:
    """The first case once more through `tf.saved_model.load`, as a Python program would call it."""
    case = job["cases"][0]
    function = tf.saved_model.load(job["path"]).signatures[case["signature"]]
    answers = function(**{name: tf.constant(value) for name, value in _tensors(tf, case["inputs"]).items()})
    for name, wanted in _tensors(tf, case["outputs"]).items():
        _compare(np, answers[name].numpy(), wanted, job["tolerance"], f"tf.saved_model.load, output {name!r}")


def _disable_xla(tf: Any) -> bool:
    """Switches XLA off for good, as a stock server does at its start; False where this build hides the switch."""
    import ctypes
    import os

    library = os.path.join(tf.sysconfig.get_lib(), "libtensorflow_cc.so.2")
    try:
        ctypes.CDLL(library)._ZN10tensorflow21DisableXlaCompilationEv()
    except (OSError, AttributeError):
        return False
    return True


def _keras(job: Job) -> dict[str, Any]:
    """The model of a `.keras` file on padded token ids, together and row by row."""
    import numpy as np

    if job["with_package"]:
        import nlp_suite  # noqa: F401  its classes register themselves
        from nlp_suite.backend import import_backend, own_process

        own_process()
        import_backend()
    import keras

    with np.load(job["arrays"]) as arrays:
        inputs = {name.removeprefix("input "): arrays[name] for name in arrays.files if name != "outputs"}
        expected = arrays["outputs"]
    model = keras.saving.load_model(job["path"])

    def answer(inputs: Mapping[str, Any]) -> Any:
        return keras.ops.convert_to_numpy(model(inputs.get("", inputs), training=False))

    largest = _compare(np, answer(inputs), expected, job["tolerance"], "co-batched")
    for i in range(min(len(expected), job["alone"])):
        alone = {name: rows[i : i + 1, : max(1, int((rows[i] != 0).sum()))] for name, rows in inputs.items()}
        row = _compare(np, answer(alone), expected[i : i + 1], job["tolerance"], f"alone, row {i}")
        largest = max(largest, row)
    return {"largest_difference": largest, "rows": len(expected)}


def _parts(job: Job) -> dict[str, Any]:
    """Every case of every file, in the program that the files are for."""
    import numpy as np

    opens = {"keras": _open_keras, "keras2": _open_keras, "onnx": _open_onnx, "litert": _open_litert}[job["runtime"]]
    seen: dict[str, Any] = {"largest_difference": 0.0, "largest_output": 0.0, "rows": 0}
    milliseconds = {}
    for file in job["files"]:
        answer = opens(np, file["path"])
        with np.load(file["arrays"]) as arrays:
            cases: list[tuple[Job, Job]] = [({}, {}) for _ in range(file["cases"])]
            for key in arrays.files:
                number, side, name = key.split("/", 2)
                cases[int(number)][int(side)][name] = arrays[key]
        for number, (inputs, expected) in enumerate(cases):
            answers = answer(inputs)
            scale: Any = 1.0
            if "values" in inputs:
                largest = np.abs(inputs["values"]).max(-1)
                scale = np.where(np.isfinite(largest) & (largest > 0), largest, 1.0)
            if len(answers) == len(expected) == 1 and None in answers:  # a program that gives its one output no name
                answers = dict.fromkeys(expected, answers[None])
            if set(answers) != set(expected):
                raise AssertionError(f"{file['path']} answers {sorted(answers)}, expected {sorted(expected)}")
            for name, wanted in expected.items():
                where = f"{file['path']}, case {number}, output {name!r}"
                difference = _compare(np, answers[name], wanted, job["tolerance"], where, scale)
                seen["largest_difference"] = max(seen["largest_difference"], difference)
                if wanted.dtype.kind == "f":
                    seen["largest_output"] = max(seen["largest_output"], float(np.abs(wanted).max(initial=0)))
            if "logits" in expected:
                others = int((answers["logits"].argmax(-1) != expected["logits"].argmax(-1)).sum())
                seen["other_best"] = seen.get("other_best", 0) + others
            seen["rows"] += len(next(iter(inputs.values())))
        milliseconds[file["path"].rsplit("/", 1)[-1]] = _milliseconds(answer, cases[-1][0])
    return {**seen, "milliseconds": milliseconds}


def _milliseconds(answer: Callable[[Mapping[str, Any]], Any], inputs: Mapping[str, Any]) -> float:
    """Of a call: the median of nine."""
    import statistics
    import time

    def once() -> float:
        start = time.perf_counter()
        answer(inputs)
        return time.perf_counter() - start

    return round(1000 * statistics.median(once() for _ in range(9)), 3)


def _open_onnx(np: Any, path: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What answers named arrays: an ONNX file in onnxruntime, which must ask for these arrays and no others."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names, outputs = ([tensor.name for tensor in side] for side in (session.get_inputs(), session.get_outputs()))

    def answer(inputs: Mapping[str, Any]) -> dict[str, Any]:
        if sorted(names) != sorted(inputs):
            raise AssertionError(f"{path} takes {sorted(names)}, not {sorted(inputs)}")
        return dict(zip(outputs, session.run(outputs, dict(inputs))))

    return answer


def _open_keras(np: Any, path: str) -> Callable[[Mapping[str, Any]], dict[Any, Any]]:
    """What answers named arrays: a `.keras` file, or one of Keras 2; one input or output is no dict there."""
    if path.endswith(".h5"):
        import tf_keras as keras
    else:
        import keras
    model = keras.models.load_model(path)

    def answer(inputs: Mapping[str, Any]) -> dict[Any, Any]:
        outputs = model(inputs if len(inputs) > 1 else next(iter(inputs.values())), training=False)
        named = outputs if isinstance(outputs, dict) else {None: outputs}
        return {name: np.asarray(value) for name, value in named.items()}

    return answer


def _open_litert(np: Any, path: str) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """What answers named arrays: a LiteRT file in its own runtime where that is installed, else in TensorFlow's."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow

        Interpreter = tensorflow.lite.Interpreter  # which is imported lazily, so that it has no module to import from
    runner = Interpreter(model_path=path).get_signature_runner()
    return lambda inputs: dict(runner(**inputs))


def _safetensors(job: Job) -> dict[str, Any]:
    """The arrays of a safetensors file, to the bit."""
    import numpy as np
    from safetensors.numpy import load_file

    found = load_file(job["path"])
    if set(found) != set(job["names"]):
        raise AssertionError(f"the file holds {sorted(found)}, expected {sorted(job['names'])}")
    with np.load(job["arrays"]) as arrays:
        for i, name in enumerate(job["names"]):
            wanted = arrays[f"arr_{i}"]
            if found[name].dtype != wanted.dtype or found[name].shape != wanted.shape or (found[name] != wanted).any():
                raise AssertionError(f"{name!r} is not the weight that was written")
    return {"largest_difference": 0.0, "rows": len(found)}


def _huggingface(job: Job) -> dict[str, Any]:
    """The encoder, classifier and tokenizer of a folder in Hugging Face's layout, together and row by row."""
    import runpy

    import numpy as np
    import torch
    import transformers

    path = job["path"]
    with np.load(job["arrays"]) as arrays:
        given = {name: arrays[name] for name in arrays.files}
    mask, features, logits = given["mask"], given.pop("features"), given.pop("logits", None)
    names = {"ids": "input_ids", "mask": "attention_mask", "segments": "token_type_ids"}
    encoder = transformers.AutoModel.from_pretrained(path).eval()
    classifier, head = None, None
    if job["classifier"] == "class":
        auto = transformers.AutoModelForSequenceClassification
        classifier, loaded = auto.from_pretrained(path, output_loading_info=True)
        classifier.eval()
        if wrong := [*loaded["missing_keys"], *loaded["unexpected_keys"], *loaded["mismatched_keys"]]:
            raise AssertionError(f"weights that the classifier lacks, or does not know: {sorted(wrong)[:5]}")
    elif job["classifier"] == "file":
        own = runpy.run_path(f"{path}/head.py", run_name="head")
        opened = own["open_head"](own["Path"](path))
        head = lambda states, mask: own["logits"](states, mask, opened)  # noqa: E731

    def compare(rows: slice, width: int, how: str) -> float:
        feeds = {names[name]: torch.tensor(array[rows, :width]) for name, array in given.items()}
        seen = mask[rows, :width, None]
        with torch.no_grad():
            states = encoder(**feeds).last_hidden_state
            answers = {"features": (states.numpy() * seen, features[rows, :width] * seen)}
            if classifier is not None:
                answers["logits"] = classifier(**feeds).logits.numpy(), logits[rows]
            elif head is not None:
                answers["logits"] = head(states, feeds["attention_mask"]).numpy(), logits[rows]
        return max(_compare(np, *pair, job["tolerance"], f"{name}, {how}") for name, pair in answers.items())

    lengths = mask.sum(1).tolist()
    largest = compare(slice(None), mask.shape[1], "co-batched")
    for i in range(min(len(lengths), job["alone"])):
        largest = max(largest, compare(slice(i, i + 1), lengths[i], f"alone, row {i}"))
    tokenizer, wrong = transformers.AutoTokenizer.from_pretrained(path), []
    for sides, ids in job["texts"]:
        found = tokenizer(*sides, truncation=True)["input_ids"]
        wrong += [(sides, found, ids)] if found != ids else []
    if len(wrong) > job["unequal"] * len(job["texts"]):
        sides, found, ids = wrong[0]
        raise AssertionError(f"the tokenizer gives {found[:20]} of {sides!r}"[:400] + f", expected {ids[:20]}")
    return {
        "largest_difference": largest,
        "rows": len(lengths),
        "texts": len(job["texts"]),
        "texts_unequal": len(wrong),
    }


def _tensors(tf: Any, encoded: Mapping[str, str]) -> dict[str, Any]:
    from tensorflow.core.framework.tensor_pb2 import TensorProto

    return {name: tf.make_ndarray(TensorProto.FromString(base64.b64decode(value))) for name, value in encoded.items()}


def _compare(np: Any, answer: Any, wanted: Any, tolerance: float, where: str, scale: Any = 1.0) -> float:
    """The largest difference of two arrays; raises if it is too large or, of strings, if there is any.

    Differences are taken relative to the number, or to `scale`, of all rows or one for each, where that is larger. An answer
    may be narrower than what is expected of the whole batch in every dimension but the first, if only padding (0 or an empty string) is left out.
    """
    answer, wanted = np.asarray(answer), np.asarray(wanted)
    for axis in range(1, wanted.ndim if answer.ndim == wanted.ndim else 0):
        size, wanted_size = answer.shape[axis], wanted.shape[axis]
        wanted, padding = np.split(wanted, [min(size, wanted_size)], axis=axis)
        if not (padding == (0 if padding.dtype.kind in "fiu" else b"")).all():
            raise AssertionError(f"{where}: size {size} in dimension {axis}, expected {wanted_size}")
    if answer.shape != wanted.shape:
        raise AssertionError(f"{where}: shape {answer.shape}, expected {wanted.shape}")
    if wanted.dtype.kind not in "fiu":
        if (answer != wanted).any():
            raise AssertionError(f"{where}: {answer[answer != wanted][0]!r}, expected {wanted[answer != wanted][0]!r}")
        return 0.0
    answer, wanted = answer.astype("float64"), wanted.astype("float64")
    scale = np.reshape(scale, (-1,) + (1,) * (wanted.ndim - 1)) if np.ndim(scale) else scale
    difference = np.abs(answer - wanted) / np.maximum(np.abs(wanted), scale)
    if not np.all(difference <= tolerance):  # also where there is a NaN
        raise AssertionError(f"{where}: differs by {difference.max():.3g}, allowed {tolerance:g}")
    return float(difference.max(initial=0.0))


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        work = json.load(file)
    try:
        print(json.dumps({"ok": True, **main(work)}))
    except Exception as error:
        print(json.dumps({"ok": False, "error": f"{type(error).__name__}: {error}"[:4000]}))
