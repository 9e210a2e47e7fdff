"""The weights as one safetensors file, named by their paths in Keras; the config lies in its metadata."""

import json
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
    """Every weight of the network in its dtype and shape, under the name that Keras gives it (`Variable.path`).

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
        arrays: dict[str, np.ndarray] = {}
        for weight in model.weights:
            if weight.path in arrays:
                raise ExportError(
                    f"two weights are called {weight.path!r}, and names are all that a safetensors file has"
                )
            arrays[weight.path] = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
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
        return ExportResult(to, report={"self_check": check, "bytes": size})


def _package() -> Any:
    try:
        from safetensors import numpy
    except ImportError as error:
        raise ExportError(
            f"the package safetensors cannot be imported ({error}): install the extra, pip install 'nlp-suite[safetensors]'"
        ) from error
    return numpy
