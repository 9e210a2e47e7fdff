"""A `.keras` file with the text layer and the labels inside, so that one file predicts strings again.

Keras reads its own members of the archive and leaves ours alone; `nlp_suite.load` reads both.
"""

import json
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.backend import import_backend
from nlp_suite.config import load_recorded
from nlp_suite.data.prepare import open_assets, save_texts
from nlp_suite.errors import ExportError, UsageError
from nlp_suite.export.formats.base import Exporter, ExportResult
from nlp_suite.export.model_card import model_card
from nlp_suite.export.samples import check_texts
from nlp_suite.export.self_check import TOLERANCE, check_keras
from nlp_suite.export.staging import check_parent, place_file, staging
from nlp_suite.predictor import Predictor
from nlp_suite.training.run import Run, make_task

MEMBERS = "nlp_suite"  # folder of our members in the archive
_UNREADABLE = (  # what reading an archive raises, by the kind of damage; a RuntimeError: its bit for encryption is set
    zipfile.BadZipFile, zlib.error, struct.error, ValueError, OSError, EOFError, LookupError, RuntimeError,
)  # fmt: skip


class KerasFileExporter(Exporter):
    """A format that is one `.keras` file."""

    def check(self, run: Run, to: Path) -> None:
        if to.suffix != ".keras":
            raise ExportError(f"{str(to)!r}: a Keras file ends in .keras")
        if to.is_dir():
            raise ExportError(f"{str(to)!r} is a folder: give a path for a file")
        check_parent(to.resolve().parent)


def write_keras_file(run: Run, to: Path, convert: Callable[[Any], Any]) -> ExportResult:
    """Saves `convert(model)`, checks it in a fresh process and renames it into place.

    Args:
        run: the run whose weights are taken.
        to: a path that ends in `.keras`; a file there is replaced.
        convert: from the run's network to the model that is saved.

    Raises:
        ExportError: a network that cannot be converted, or one that answers otherwise once loaded.
    """
    import keras

    network = run.model()
    model = convert(network)
    inputs = run.task.check_inputs(run, check_texts(run))
    logits = keras.ops.convert_to_numpy(network(inputs, training=False))  # [N, C] or [N, T, V]
    with staging(to.resolve().parent) as folder:
        file = folder / to.name
        try:
            model.save(file)
        except (TypeError, ValueError, NotImplementedError) as error:
            raise ExportError(f"the model cannot be saved as a Keras file: {error}") from error
        append_members(file, run, model_card(run, network, to.stem))
        tolerance = TOLERANCE * max(1.0, float(np.abs(logits).max()))
        check = check_keras(file, inputs, logits, with_package=True, tolerance=tolerance)
        size = file.stat().st_size
        place_file(file, to.resolve())
    use = f"import nlp_suite; keras.saving.load_model({str(to)!r})"
    return ExportResult(to, report={"self_check": check, "bytes": size}, use=use)


def append_members(file: Path, run: Run, card: Mapping[str, Any], part: str = "") -> None:
    """Adds labels, model card, config and text layer to the archive; and which part of several of a network it is."""
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(file, "a") as archive:
        if run.text is not None:
            save_texts(Path(folder), run.text, run.target_text)
        for asset in sorted(Path(folder).glob("*/*")):
            archive.write(asset, f"{MEMBERS}/{asset.parent.name}/{asset.name}")
        archive.writestr(f"{MEMBERS}/labels.json", json.dumps(list(run.labels), ensure_ascii=False))
        for name, facts in (("facts", run.assets.facts), ("fitted", run.assets.fitted)):
            archive.writestr(f"{MEMBERS}/{name}.json", json.dumps(dict(facts), ensure_ascii=False))
        archive.writestr(f"{MEMBERS}/model_card.json", json.dumps(card, indent=1, ensure_ascii=False))
        if part:
            archive.writestr(f"{MEMBERS}/part.txt", part)
        archive.writestr(f"{MEMBERS}/config.yaml", run.task.freeze_data_defaults(run).to_yaml())


def open_keras_file(path: Path) -> Predictor:
    """The predictor of a file that `write_keras_file` made.

    Raises:
        ExportError: a `.keras` file without our members, or a damaged one.
        UsageError: see `import_backend`.
    """
    try:
        with zipfile.ZipFile(path) as archive, tempfile.TemporaryDirectory() as folder:
            if damaged := archive.testzip():  # Keras reads its members without their checksums
                raise zipfile.BadZipFile(f"the checksum of its member {damaged} is wrong")
            names = [name for name in archive.namelist() if name.startswith(MEMBERS + "/")]
            if not names:
                raise ExportError(f"{str(path)!r} holds no text layer: it was not written by nlp-suite export")
            archive.extractall(folder, names)
            if f"{MEMBERS}/part.txt" in names:
                part = (Path(folder) / MEMBERS / "part.txt").read_text("utf-8")
                raise ExportError(
                    f"{str(path)!r} is a part of a network ({part}) for programs without nlp_suite, which nlp_suite.load does not "
                    "open: give the run, or export it with --format keras"
                )
            labels = json.loads((Path(folder) / MEMBERS / "labels.json").read_text("utf-8"))
            experiment = load_recorded(Path(folder) / MEMBERS / "config.yaml")
            facts, fitted = (  # older files lack them
                json.loads(path.read_text("utf-8")) if path.exists() else {}
                for path in (Path(folder) / MEMBERS / name for name in ("facts.json", "fitted.json"))
            )
            assets = replace(open_assets(experiment, Path(folder) / MEMBERS, labels, facts), fitted=fitted)
        import_backend()
        import keras

        model = keras.saving.load_model(path)
    except (ExportError, UsageError):  # each of them would be one of `_UNREADABLE`
        raise
    except _UNREADABLE as error:
        raise ExportError(
            f"{str(path)!r} is no Keras file of nlp-suite export, or a damaged one: {error}; export the run again"
        ) from None
    predictor = make_task(experiment).predictor(model, assets, experiment)
    predictor.experiment = experiment
    return predictor
