"""Starting a backbone from a pretrained model's folder: its weights, and its tokenizer as the text layer."""

from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from nlp_suite.config import Experiment
from nlp_suite.errors import ConfigError
from nlp_suite.pretrained.architecture import Architecture, architecture_of
from nlp_suite.pretrained.encoder import Encoder
from nlp_suite.pretrained.families.bart import Bart
from nlp_suite.pretrained.folder import KERAS_WEIGHTS, PretrainedFolder, open_folder
from nlp_suite.pretrained.weights import find_weights
from nlp_suite.task import task_class
from nlp_suite.text.text_layer import TextLayer
from nlp_suite.text.tokenizers.preset import PresetTokenizer

Weights = Callable[[str], list[np.ndarray]]
"""A module of `PresetBackbone.modules` → the arrays of its weights, in their order."""

_FREE = {
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
}  # no number depends on them


class PresetStart:
    """The weights and the tokenizer of a pretrained model, for a backbone `preset`.

    Attributes:
        text: the model's tokenizer with the text settings of the experiment.
        pretrained: where the model is from, and its licence as it states it itself, or None; for the model card.

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
        self.pretrained = {"from": folder.address, "licence": folder.licence}
        architecture = architecture_of(folder)
        _check_same(folder, architecture, backbone.encoder)
        writes = task_class(experiment.task.name, experiment.task.arguments()).causal
        self._open_weights = find(folder, architecture, without=() if writes else ("head",))
        if isinstance(architecture, Bart):
            decoder_weights(folder, architecture)  # whatever is missing is missing now
        self._tokenizer = PresetTokenizer.of_folder(folder)
        if (ids := int(self._tokenizer.model_ids.max()) + 1) > architecture.vocab_size:
            raise ConfigError(
                f"{folder.path}: its tokenizer has {ids} ids, and config.json says that there are {architecture.vocab_size}"
            )
        self.text = TextLayer(experiment.text, self._tokenizer)

    def copy_to(self, backbone: Any, decoder: Any = None) -> str:
        """Copies the weights into a built `PresetBackbone`; returns a line that says so.

        Args:
            backbone: where they go.
            decoder: a built decoder `preset`, where those of the model's decoder go; None: there is none.

        Raises:
            ConfigError: a file of weights that KerasHub cannot read.
        """
        count = copy_weights(backbone, self._open_weights(), self._tokenizer.model_ids)
        if decoder is None:
            return f"backbone: {count} arrays of {self._folder.path}"
        count += decoder.take(decoder_weights(self._folder, decoder.whole))
        return f"backbone and decoder: {count} arrays of {self._folder.path}"


def copy_weights(backbone: Any, weights: Weights, model_ids: np.ndarray) -> int:
    """Copies weights into a built `PresetBackbone`; returns how many arrays there were.

    Args:
        backbone: where they go.
        weights: where they come from, see `find`.
        model_ids: the model's id of each of our ids, int64 `[V]`; −1 where it has none: the embedding is zero then.
    """
    from nlp_suite.layers.lora import weights_without_updates

    count = 0
    for module, layer in backbone.modules().items():
        for variable, value in zip(weights_without_updates(layer), weights(module), strict=True):
            value = np.asarray(value, np.float32)
            if module in ("tokens", "head"):
                value = np.where(model_ids[:, None] >= 0, value[np.maximum(model_ids, 0)], np.float32(0))
            variable.assign(value.reshape(variable.shape))
            count += 1
    return count


def find(folder: PretrainedFolder, architecture: Architecture, without: Collection[str] = ()) -> Callable[[], Weights]:
    """Finds the weights of a folder; what it returns reads them.

    Args:
        folder: of the model.
        architecture: that its config.json tells.
        without: modules that the network does without, such as the `head` that only a language model has.

    Raises:
        ConfigError: weights are missing, or have other shapes than config.json says.
    """
    if isinstance(architecture, Encoder) and folder.layout == "kerashub":
        return _kerashub_weights(folder, architecture)
    return _huggingface_weights(folder, architecture, without)


def decoder_weights(folder: PretrainedFolder, whole: Bart) -> Weights:
    """Those of the decoder of a pretrained encoder-decoder.

    Raises:
        ConfigError: weights are missing, have other shapes than config.json says, or there is an output bias.
    """
    tensors, decoder = folder.tensors(), whole.decoder()
    names = find_weights(decoder, tensors.shapes(), str(folder.path))
    if "final_logits_bias" in tensors and np.any(tensors["final_logits_bias"]):
        raise ConfigError(f"{folder.path}: final_logits_bias is not zero, which is not supported")

    def weights(module: str) -> list[np.ndarray]:
        arrays = [tensors[names[module, kind]] for kind in ("weight", "bias") if (module, kind) in names]
        return [decoder.as_here(module, array) for array in arrays]

    return weights


def _huggingface_weights(
    folder: PretrainedFolder, architecture: Architecture, without: Collection[str]
) -> Callable[[], Weights]:
    """Safetensors under the family's names; looked up now, read later."""
    tensors = folder.tensors()
    names = find_weights(architecture, tensors.shapes(), str(folder.path), without)

    def weights(module: str) -> list[np.ndarray]:
        arrays = [tensors[names[module, kind]] for kind in ("weight", "bias") if (module, kind) in names]
        return [architecture.as_here(module, array) for array in arrays]

    return lambda: weights


def _kerashub_weights(folder: PretrainedFolder, encoder: Encoder) -> Callable[[], Weights]:
    """Those of KerasHub's own backbone."""
    folder.file(KERAS_WEIGHTS)

    def read() -> Weights:
        import keras
        import keras_hub

        from nlp_suite.backbones.preset import block_modules

        try:
            theirs = keras_hub.models.Backbone.from_preset(str(folder.path))
        except (ValueError, KeyError, OSError) as error:
            raise ConfigError(f"{folder.path}: KerasHub cannot open it: {error}") from None
        modules = {
            "tokens": theirs.token_embedding,
            "positions": getattr(theirs, "position_embedding", None) or theirs.embeddings.position_embedding,
            "segments": getattr(theirs, "segment_embedding", None),
            "norm": theirs.embeddings_layer_norm,
            "projection": getattr(theirs, "embeddings_projection", None),
        }
        for number, block in enumerate(keras.tree.flatten(theirs.transformer_layers)):
            modules |= {f"block {number} {name}": layer for name, layer in block_modules(block).items()}

        def weights(module: str) -> list[np.ndarray]:
            if module == "segments" and modules[module] is None:  # RoBERTa's one row, which KerasHub leaves out
                return [np.zeros((encoder.segments, encoder.embedding_features), np.float32)]
            return [keras.ops.convert_to_numpy(weight) for weight in modules[module].weights]

        return weights

    return read


def _check_same(folder: PretrainedFolder, theirs: Architecture, ours: Architecture) -> None:
    """Refuses an architecture of the config that is not the folder's, dropouts aside."""
    there, here = theirs.model_dump(), ours.model_dump()
    differing = [key for key in there if key not in _FREE and there[key] != here.get(key)]
    if differing:
        listed = ", ".join(f"{key}: {there[key]} → {here.get(key)}" for key in differing)
        raise ConfigError(
            f"backbone.architecture is not that of {folder.path} (there → here): {listed}; leave it out, or give the model "
            "that it is of as init_from"
        )
