"""What a file of someone else's Keras model is, and what it would build: read as data, before anything is built from it.

Nothing here runs code of the file: configs are JSON, and a pickle is never opened.
"""

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nlp_suite.errors import ExportError

_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_KINDS = {".keras": "keras", ".h5": "h5", ".hdf5": "h5"}
_CALLED = {"keras": "a Keras 3 file (.keras)", "h5": "an H5 file (.h5)"}
EXPECTED = "a .keras file, an H5 file (.h5) or the folder of a SavedModel"
_UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, OSError, EOFError, KeyError, RuntimeError)
_OWN_FILES = {"WriteFile", "ReadFile", "MatchingFiles", "PyFunc", "PyFuncStateless", "EagerPyFunc", "WholeFileReaderV2"}


@dataclass(frozen=True)
class Foreign:
    """A file of someone else's model that may be opened.

    Attributes:
        path: the file or folder.
        kind: its format.
        config: the config of the model in it; empty for a SavedModel.
    """

    path: Path
    kind: Literal["keras", "h5", "saved_model"]
    config: dict[str, Any]

    @property
    def called(self) -> str:
        """The format in words."""
        if self.kind == "saved_model":
            return "SavedModel"
        return "H5 (Keras 2 or 3)" if self.kind == "h5" else "Keras 3"


def look_at(path: Path) -> Foreign:
    """Finds out what a path holds; imports neither TensorFlow nor Keras.

    Raises:
        ExportError: there is no such file, it is damaged or of another format than its name says, or what it holds is refused:
            Lambda layers, classes of another package, pickled attributes, several inputs.
    """
    if not path.exists():
        raise ExportError(f"{str(path)!r} does not exist; expected {EXPECTED}")
    if path.is_dir():
        return _saved_model(path)
    kind = _KINDS.get(path.suffix.lower())
    with path.open("rb") as file:
        head = file.read(8)
    is_really = "keras" if head.startswith(_ZIP) else "h5" if head == _HDF5 else None
    if kind is None:
        hint = f"; by what is in it, it is {_CALLED[is_really]}: rename it" if is_really else ""
        raise ExportError(f"{str(path)!r} is none of these: {EXPECTED}{hint}")
    if is_really is None:
        raise ExportError(f"{str(path)!r} is damaged or no model: it does not begin as {_CALLED[kind]} does")
    if is_really != kind:
        raise ExportError(f"{str(path)!r} is {_CALLED[is_really]} by what is in it, not {_CALLED[kind]}: rename it")
    config = _config_of_keras(path) if kind == "keras" else _config_of_h5(path)
    config = {key: value for key, value in config.items() if key != "compile_config"}  # it is opened to be asked
    _refuse_code(path, config, names_modules=kind == "keras")
    _refuse_inputs(path, config)
    return Foreign(path, kind, config)  # type: ignore[arg-type]


def _saved_model(path: Path) -> Foreign:
    """A folder with a SavedModel in it, which is a graph of TensorFlow's ops: those that open files of their own are refused."""
    if not (path / "saved_model.pb").is_file():
        raise ExportError(f"{str(path)!r} is a folder without saved_model.pb; expected {EXPECTED}")
    if (path / "assets.extra" / "config.yaml").is_file():
        raise ExportError(f"{str(path)!r} was written by nlp-suite: load it, or serve it, as it is")
    content = (path / "saved_model.pb").read_bytes()
    if used := sorted(op for op in _OWN_FILES if op.encode() in content):
        raise ExportError(f"{str(path)!r} is refused: its graph has {', '.join(used)}, which reaches beyond the graph")
    return Foreign(path, "saved_model", {})


def _config_of_keras(path: Path) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(f"the checksum of its member {damaged} is wrong")
            names = archive.namelist()
            if any(name.startswith("nlp_suite/") for name in names):
                raise ExportError(f"{str(path)!r} was written by nlp-suite: load it as it is")
            if lacking := {"config.json", "model.weights.h5"} - set(names):
                raise ExportError(
                    f"{str(path)!r} is an archive, but no Keras model: it lacks {', '.join(sorted(lacking))}"
                )
            config = json.loads(archive.read("config.json"))
    except ExportError:
        raise
    except _UNREADABLE as error:
        raise ExportError(f"{str(path)!r} is damaged: {error}; get the file again") from None
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ExportError(f"{str(path)!r} is no Keras model: its config.json is no config of one")
    return config


def _config_of_h5(path: Path) -> dict[str, Any]:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            attributes = {name: file.attrs[name] for name in file.attrs}
            has_weights = "model_weights" in file
    except _UNREADABLE as error:
        raise ExportError(f"{str(path)!r} is damaged: {error}; get the file again") from None
    given = attributes.get("model_config")
    if given is None:
        is_weights = "layer_names" in attributes or "keras_version" in attributes
        what = "weights without their model: save the whole model" if is_weights else "no model of Keras's"
        raise ExportError(f"{str(path)!r} has no model_config: it holds {what}")
    for name, value in attributes.items():
        content = value.tobytes() if hasattr(value, "tobytes") else value
        if (
            isinstance(content, bytes)
            and content[:1] == b"\x80"
            and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
        ):
            raise ExportError(
                f"{str(path)!r} is refused: its attribute {name} is a pickle, which may run code, and is not opened"
            )
    try:
        config = json.loads(given.decode("utf-8") if isinstance(given, bytes) else str(given))
    except (UnicodeDecodeError, ValueError) as error:
        raise ExportError(f"{str(path)!r}: its model_config is no JSON: {error}") from None
    if not has_weights or not isinstance(config, dict) or "config" not in config:
        raise ExportError(
            f"{str(path)!r} is no whole model of Keras's: it lacks its weights or the config of the model"
        )
    return config


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Every object that a config describes, the model itself included."""
    if isinstance(config, dict):
        if isinstance(config.get("class_name"), str):
            yield config
        for value in config.values():
            yield from _objects(value)
    elif isinstance(config, list):
        for value in config:
            yield from _objects(value)


def _refuse_code(path: Path, config: dict[str, Any], names_modules: bool) -> None:
    """Refuses what is Python code, and classes that are not Keras's own; those of an H5 are looked up by Keras alone."""
    for described in _objects(config):
        kind, inner = described["class_name"], described.get("config")
        name = inner.get("name", "") if isinstance(inner, dict) else ""
        called = f"{kind} {name!r}" if name else kind
        if kind in ("Lambda", "__lambda__") or (kind == "function" and isinstance(inner, dict)):
            raise ExportError(
                f"{str(path)!r} is refused: {called} is Python code in the file, and opening a model must run none (safe_mode stays "
                "on): write it with layers of Keras (Rescaling, Reshape, Activation, …) and save the model again"
            )
        module, registered = described.get("module"), described.get("registered_name")
        is_own = module is None or module.split(".")[0] in ("keras", "builtins")
        is_custom = isinstance(registered, str) and ">" in registered
        if names_modules and (not is_own or is_custom):
            where = registered if is_custom else module
            raise ExportError(
                f"{str(path)!r} is refused: {called} ({where}) is a custom object, whose code is not in the file: use layers of Keras, "
                "or export the model as a SavedModel (model.export) where it was made, and import that"
            )


def _refuse_inputs(path: Path, config: dict[str, Any]) -> None:
    inner = config["config"]
    if not isinstance(inner, dict):
        return
    for side in ("input", "output"):
        nodes = inner.get(f"{side}_layers") or []
        if isinstance(nodes, dict):
            names = list(nodes)
        else:
            names = [
                str(node[0]) for node in nodes if isinstance(node, list) and node
            ]  # of one alone, not nested, none
        if len(names) > 1:
            raise ExportError(
                f"{str(path)!r} has {len(names)} {side}s ({', '.join(names)}); a classifier of texts has one"
            )
