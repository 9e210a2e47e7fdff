"""The weights as one safetensors file, named by their paths in Keras; the config lies in its metadata."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import Exporter, ExporterSettings, ExportResult
from nlp_suite.export.model_card import model_card
from nlp_suite.export.self_check import check_weights
from nlp_suite.export.staging import check_parent, place_file, staging
from nlp_suite.registry import EXPORTERS
from nlp_suite.training.run import Run


@EXPORTERS.register(ExporterSettings)
class SafetensorsExporter(Exporter):
    """Every weight of the network in its dtype and shape, under Keras's path of it, numbered anew (`stable_paths`).

    Metadata, strings each: `config` (the resolved YAML), `model_card` (JSON), `labels` (JSON). No program is in it; what the
    arrays mean is what the layers of that name say. It is read back in a process with NumPy and safetensors only.
    """

    def check(self, run: Run, to: Path) -> None:
        _package()
        if to.suffix != ".safetensors" or to.is_dir():
            raise ExportError(f"{str(to)!r}: give a path for a file that ends in .safetensors")
        check_parent(to.resolve().parent)

    def export(self, run: Run, to: Path) -> ExportResult:
        import keras

        model, to = run.model(), to.resolve()
        arrays = {
            name: np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
            for name, weight in zip(stable_paths([weight.path for weight in model.weights]), model.weights, strict=True)
        }
        metadata = {
            "config": run.task.freeze_data_defaults(run).to_yaml(),
            "model_card": json.dumps(model_card(run, model, to.stem), ensure_ascii=False),
            "labels": json.dumps(list(run.labels), ensure_ascii=False),
        }
        with staging(to.parent) as folder:
            file = folder / to.name
            _package().save_file(arrays, file, metadata)
            check = check_weights(file, arrays)
            size = file.stat().st_size
            place_file(file, to)
        use = f"safetensors.numpy.load_file({str(to)!r})"
        return ExportResult(to, report={"self_check": check, "bytes": size}, use=use)


def stable_paths(paths: Sequence[str]) -> list[str]:
    """Keras's paths of weights with the numbers that do not depend on what else a process has made.

    Keras numbers the layers of a class through a process (`dense_7`). Here they are numbered within the layer that they are
    in, in the order of the weights: `dense`, `dense_1`.

    Example:
        >>> stable_paths(["model_3/dense_7/kernel", "model_3/dense_9/kernel"])
        ['model/dense/kernel', 'model/dense_1/kernel']
    """
    known = {"": ""}  # path of a layer → its new path
    used: dict[str, int] = {}  # new path without number → how many have it

    def renamed(path: str) -> str:
        if path not in known:
            above, _, last = path.rpartition("/")
            base = f"{renamed(above)}/" * bool(above) + re.sub(r"_\d+$", "", last)
            used[base] = used.get(base, 0) + 1
            known[path] = base if used[base] == 1 else f"{base}_{used[base] - 1}"
        return known[path]

    return [f"{renamed(path.rpartition('/')[0])}/{path.rpartition('/')[2]}" for path in paths]


def _package() -> Any:
    try:
        from safetensors import numpy
    except ImportError as error:
        raise ExportError(
            f"the package safetensors cannot be imported ({error}): install the extra, pip install 'nlp-suite[safetensors]'"
        ) from error
    return numpy
