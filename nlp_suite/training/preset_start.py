"""Starting a backbone from a pretrained model's folder: its weights, and its tokenizer as the text layer."""

from typing import Any

import numpy as np

from nlp_suite.config import Experiment
from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.encoder import Encoder, architecture_of
from nlp_suite.pretrained.folder import PretrainedFolder, open_folder
from nlp_suite.pretrained.weights import find_weights
from nlp_suite.text.text_layer import TextLayer
from nlp_suite.text.tokenizers.preset import PresetTokenizer

_FREE = {"hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout"}  # what no number depends on


class PresetStart:
    """The weights and the tokenizer of a pretrained model, for a backbone `preset`.

    Attributes:
        text: the model's tokenizer with the text settings of the experiment.

    Raises:
        ConfigError: there is no such folder, a part of it is missing, its weights have other shapes than its config.json
            says, or the experiment has another architecture or another tokenizer.
    """

    def __init__(self, experiment: Experiment):
        backbone = experiment.backbone
        if experiment.text.tokenizer.name != "preset":
            raise ConfigError(
                f"text.tokenizer is {experiment.text.tokenizer.name}, under which the embeddings of {backbone.init_from} "
                "would mean other tokens: give text.tokenizer: preset"
            )
        self._folder = folder = open_folder(backbone.init_from)
        self._encoder = architecture_of(folder)
        _check_same(folder, self._encoder, backbone.encoder)
        self._tensors = folder.tensors()
        self._names = find_weights(self._encoder, self._tensors.shapes(), str(folder.path))
        self._tokenizer = PresetTokenizer.of_folder(folder)
        self.text = TextLayer(experiment.text, self._tokenizer)

    def copy_to(self, backbone: Any) -> str:
        """Copies the weights into a built `PresetBackbone`; returns a line that says so."""
        modules, count = backbone.modules(), 0
        for (module, kind), name in self._names.items():
            value = np.asarray(self._tensors[name], np.float32)
            if module == "tokens":
                value = self._rows_by_our_ids(value)
            if module == "positions":
                value = value[self._encoder.skipped_positions :]
            layer = modules[module]
            is_table = layer.weights[0].name == "embeddings"
            variable = layer.weights[0] if kind == "weight" else layer.weights[1]
            value = value if is_table or value.ndim == 1 else value.T
            variable.assign(value.reshape(variable.shape))
            count += 1
        return f"backbone: {count} arrays of {self._folder.path}"

    def _rows_by_our_ids(self, table: np.ndarray) -> np.ndarray:
        """The rows of the model's table of tokens in the order of our ids; zeros for one that the model does not have."""
        ids = self._tokenizer.model_ids  # [V]
        rows: np.ndarray = np.where(ids[:, None] >= 0, table[np.maximum(ids, 0)], np.float32(0))
        return rows


def _check_same(folder: PretrainedFolder, theirs: Encoder, ours: Encoder) -> None:
    """Refuses an architecture of the config that is not the folder's, dropouts aside."""
    there, here = theirs.model_dump(), ours.model_dump()
    differing = [key for key in there if key not in _FREE and there[key] != here.get(key)]
    if differing:
        listed = ", ".join(f"{key}: {there[key]} → {here.get(key)}" for key in differing)
        raise ConfigError(
            f"backbone.architecture is not that of {folder.path} (there → here): {listed}; leave it out, or give the model "
            "that it is of as init_from"
        )
