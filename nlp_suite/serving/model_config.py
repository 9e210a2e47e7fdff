"""The list of models: read from a file or made of flags, and checked as the stock server does."""

import re
from pathlib import Path
from typing import Any

from nlp_suite.serving.status import invalid_argument
from nlp_suite.serving.text_protos import message, read_text_proto

PLATFORM = "tensorflow"


def read_model_config(path: str | Path) -> Any:
    """The `ModelServerConfig` of a text-format file.

    Raises:
        ServingError: it cannot be read, or is no model list.
    """
    return read_text_proto(path, "ModelServerConfig")


def one_model(name: str, base_path: str) -> Any:
    """The `ModelServerConfig` of one model; `base_path` is a folder, also relative, or a URI."""
    config = message("ModelServerConfig")
    path = base_path if _scheme(base_path) else str(Path(base_path).absolute())
    config.model_config_list.config.add(name=name, base_path=path, model_platform=PLATFORM)
    return config


def model_folder(config: Any) -> Path:
    """The folder that a checked `ModelConfig` names, as a path or as a `file://` URI.

    Example:
        >>> model_folder(one_model("m", "file:///models/m").model_config_list.config[0])
        PosixPath('/models/m')
    """
    return Path(config.base_path.removeprefix("file://"))


def _scheme(base_path: str) -> str:
    """The scheme of a URI; empty for a path."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", base_path)
    return match[1] if match else ""


def check_model_config(config: Any) -> None:
    """Refuses a list that cannot be served.

    Args:
        config: a `ModelServerConfig`.

    Raises:
        ServingError: no list at all, a model without name or with another platform than TensorFlow, two models of one
            name, a path that is neither absolute nor a `file://` URI or has a NUL, or a log of requests, which is not kept
            here.
    """
    if config.WhichOneof("config") != "model_config_list":
        raise invalid_argument("Only ModelConfigList is currently supported")
    names = set()
    for model in config.model_config_list.config:
        if not model.name:
            raise invalid_argument(f"Illegal model config without a name: base_path {model.base_path!r}")
        if model.name in names:
            raise invalid_argument(f"Illegal to list model {model.name} multiple times in config list")
        names.add(model.name)
        if not model.model_platform and not model.model_type:
            raise invalid_argument(
                "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
                f"ModelServerConfig::model_platform, model name is {model.name}"
            )
        if model.model_platform not in ("", PLATFORM) or (model.model_type and model.model_type != 1):
            raise invalid_argument(
                f"model {model.name} has platform {model.model_platform or model.model_type!r}; allowed: {PLATFORM}"
            )
        if model.HasField("logging_config"):
            raise invalid_argument(
                f"model {model.name} has a logging_config, which is not supported: requests are not logged"
            )
        if _scheme(model.base_path) not in ("", "file"):
            raise invalid_argument(
                f"model {model.name} has base_path {model.base_path!r}; allowed: absolute paths and file:// URIs, "
                f"{_scheme(model.base_path)}:// is not read"
            )
        if "\0" in model.base_path:
            raise invalid_argument(f"model {model.name} has base_path {model.base_path!r}; no path has a NUL character")
        if not model_folder(model).is_absolute():
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; got base_path()={model.base_path}"
            )
