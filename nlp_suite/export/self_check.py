"""An export proves itself in a fresh process before it is renamed into place.

The process is started without site packages' start-up files and with this package barred from import (it may lie in
the same folder as TensorFlow); it gets requests and the answers that Python gave, and must give the same, alone and
co-batched, with XLA switched off as in a stock server.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.backend import UNUSED
from nlp_suite.errors import ExportError
from nlp_suite.export.cases import Case, tensor_proto
from nlp_suite.export.parts import Tensors
from nlp_suite.progress import work

TOLERANCE = 1e-5
_SCRIPT = Path(__file__).with_name("fresh_process.py")


def check_saved_model(
    path: Path, cases: list[Case], warmup: list[Case], tolerance: float = TOLERANCE, alone: int = 16, xla: bool = False
) -> dict[str, Any]:
    """Runs cases and warm-up records on the SavedModel in `path`, in a process with TensorFlow and TF Text only.

    Args:
        path: folder with `saved_model.pb`; should not be the one that the SavedModel was written to.
        cases: requests with expected outputs.
        warmup: requests that must not fail.
        tolerance: largest difference allowed, absolute for numbers up to 1 and relative above.
        alone: how many rows of a case are also asked one by one.
        xla: whether XLA is left on.

    Returns:
        `largest_difference`, `rows`, `warmup_records`, `xla_off`.

    Raises:
        ExportError: an answer differs, a record fails, or the SavedModel does not load.
    """
    return _fresh_process(
        {
            "kind": "saved_model",
            "path": str(path.resolve()),
            "cases": [_encode_case(case) for case in cases],
            "warmup": [_encode_case(case) for case in warmup],
            "tolerance": tolerance,
            "alone": alone,
            "xla": xla,
            "forbidden": ["nlp_suite", "keras_hub", "keras", "tf_keras"],  # a stock server has none of them
        }
    )


def check_keras(
    path: Path, inputs: Any, outputs: np.ndarray, *, with_package: bool, tolerance: float
) -> dict[str, Any]:
    """Runs the model of a `.keras` file on token ids, together and row by row without padding.

    Args:
        path: the file.
        inputs: token ids int32 `[B, T]`, padded with 0, or a mapping of several such arrays.
        outputs: expected outputs `[B, …]`.
        with_package: import this package first, or bar it from import.
        tolerance: largest absolute difference allowed.

    Raises:
        ExportError: an output differs or the file does not load.
    """
    import keras

    with tempfile.TemporaryDirectory() as folder:
        arrays = Path(folder) / "arrays.npz"
        named = inputs if isinstance(inputs, dict) else {"": inputs}
        np.savez(arrays, outputs=outputs, **{f"input {name}": array for name, array in named.items()})
        job = {
            "kind": "keras",
            "path": str(path.resolve()),
            "arrays": str(arrays),
            "with_package": with_package,
            "forbidden": [] if with_package else ["nlp_suite", "keras_hub"],
            "tolerance": tolerance,
            "alone": 8,
        }
        return _fresh_process(job, {"KERAS_BACKEND": keras.backend.backend()})


def check_parts(
    kind: str, files: Mapping[Path, Sequence[tuple[Tensors, Tensors]]], tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Runs parts of a network in the program that their files are for, without this package.

    Args:
        kind: `"keras"`, `"keras2"`, `"onnx"` or `"litert"`.
        files: file → inputs, and the outputs that are expected of them, by name; the last ones are timed, too.
        tolerance: largest difference allowed, absolute for numbers up to 1 and relative above; infinite: it is measured only. What
            reads `values`, a forecaster, adds numbers of their size, whose float32 rounding stays where the sum is small: there it
            is relative to the largest value of the row, whatever the unit of the values.

    Returns:
        `largest_difference`, `largest_output`, `rows`, `other_best` (logits whose largest is another one, where there are any), `tolerance`, and
        `milliseconds` by file.

    Raises:
        ExportError: an output differs, an input or output is missing or too many, or a file does not load.
    """
    barred = {
        "keras": ["nlp_suite", "keras_hub"],
        "keras2": ["nlp_suite", "keras_hub"],
        "onnx": ["nlp_suite", "keras", "tensorflow", "onnx"],
        "litert": ["nlp_suite", "keras_hub", "keras", "tf_keras"],
    }
    with tempfile.TemporaryDirectory() as folder:
        described = []
        for number, (file, cases) in enumerate(files.items()):
            arrays = Path(folder) / f"{number}.npz"
            named: dict[str, Any] = {
                f"{i}/{side}/{name}": array
                for i, case in enumerate(cases)
                for side in (0, 1)
                for name, array in case[side].items()
            }
            np.savez(arrays, **named)
            described.append({"path": str(file.resolve()), "arrays": str(arrays), "cases": len(cases)})
        job = {"kind": "parts", "runtime": kind, "files": described, "tolerance": tolerance, "forbidden": barred[kind]}
        seen = _fresh_process(job, {"KERAS_BACKEND": "tensorflow"})
        return {**seen, "tolerance": tolerance} if np.isfinite(tolerance) else seen


def other_best(seen: Mapping[str, Any]) -> str:
    """What `check_parts` saw of logits, as the end of a sentence; empty of networks without, such as forecasters."""
    if "other_best" not in seen:
        return ""
    return f", and the largest logit is another one {seen['other_best']} times in {seen['rows']} rows"


def check_weights(file: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Reads a safetensors file in a process that has NumPy and safetensors only.

    Args:
        file: the file.
        arrays: what it must hold, to the bit.

    Raises:
        ExportError: something else is in it.
    """
    with tempfile.TemporaryDirectory() as folder:
        expected = Path(folder) / "expected.npz"
        np.savez(expected, *arrays.values())
        job = {"kind": "safetensors", "path": str(file), "arrays": str(expected), "names": list(arrays)}
        return _fresh_process({**job, "forbidden": ["nlp_suite", "keras", "tensorflow", "torch"]})


def check_huggingface(
    path: Path,
    arrays: Mapping[str, Any],
    texts: Sequence[tuple[list[str], list[int]]],
    tolerance: float,
    classifier: str,
    unequal: float = 0.0,
) -> dict[str, Any]:
    """Lets transformers, with torch, open a folder in Hugging Face's layout and compute what Python computed.

    Args:
        path: the folder.
        arrays: `ids`, `mask`, perhaps `segments`, all int64 `[N, T]`; what is expected: `features` `[N, T, D]` where the mask
            is 1, and perhaps `logits` `[N, C]`.
        texts: texts, each one or two, and the ids that the tokenizer must give.
        tolerance: largest difference allowed, absolute for numbers up to 1 and relative above.
        classifier: what has the logits: the model's `"class"`, the folder's `"file"` head.py, or nothing.
        unequal: share of the texts that may have other ids.

    Returns:
        `largest_difference`, `rows`, `texts` and of them `texts_unequal`.

    Raises:
        ExportError: something differs, or the folder does not load.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "arrays.npz"
        np.savez(file, **arrays)
        job = {
            "kind": "huggingface",
            "path": str(path.resolve()),
            "arrays": str(file),
            "texts": texts,
            "tolerance": tolerance,
            "classifier": classifier,
            "unequal": unequal,
            "alone": 8,
            "forbidden": ["nlp_suite", "keras_hub"],
        }
        return _fresh_process(job, {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"})


def _encode_case(case: Case) -> dict[str, Any]:
    return {"signature": case.signature, "inputs": _encode(case.inputs), "outputs": _encode(case.outputs)}


def _encode(tensors: Mapping[str, Any]) -> dict[str, str]:
    return {k: base64.b64encode(tensor_proto(v).SerializeToString()).decode() for k, v in tensors.items()}


def _fresh_process(job: dict[str, Any], environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    job["sys_path"] = [entry for entry in sys.path if entry] + [str(Path(__file__).parents[2])]
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    if not job.get("with_package"):  # what comes with it may import anything
        used = (environment or {}).get("KERAS_BACKEND")
        job["forbidden"] = [
            *job.get("forbidden", ()),
            *(name for name in UNUSED if name != used),
        ]  # so it starts sooner
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.json"
        file.write_text(json.dumps(job), "utf-8")
        with work("checking the export in a fresh process"):
            process = subprocess.run(
                [sys.executable, "-I", "-S", str(_SCRIPT), str(file)],
                env={**os.environ, **quiet, **(environment or {})},
                cwd=folder,
                capture_output=True,
                text=True,
                errors="replace",
            )
    lines = process.stdout.strip().splitlines()
    try:
        result: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        tail = "\n".join(process.stderr.strip().splitlines()[-5:])
        raise ExportError(f"the self-check ended with code {process.returncode} and no result:\n{tail}") from None
    if not result.pop("ok"):
        raise ExportError(f"the self-check refuses the export: {result['error']}")
    return result
