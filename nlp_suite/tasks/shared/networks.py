"""What the networks of several tasks share: their layers are saved with them, and the loss of a batch of tokens."""

from typing import Any, ClassVar

import keras
from keras import ops


class ModelOfLayers(keras.Model):
    """A model whose constructor takes layers and `settings`, all of which are saved in its config.

    Attributes:
        saved_layers: arguments of the constructor that are layers; each is an attribute of the same name.
        settings: the other arguments of the constructor, as JSON takes them.
        quantized: `"int8"` once `quantize_int8` was called; else None.
    """

    saved_layers: ClassVar[tuple[str, ...]] = ("backbone",)
    settings: dict[str, Any]
    quantized: str | None = None

    def quantize_int8(self) -> None:
        """Makes embeddings and dense layers int8, for good: what was quantised is asked, saved and loaded, and not trained."""
        self.quantize("int8", filters=_quantizes)
        self.quantized = "int8"

    @property
    def pretrained_decoder(self) -> Any:
        """The decoder whose weights come from the folder of a pretrained model, as the backbone's do; None: there is none."""
        return None

    def get_config(self) -> dict[str, Any]:
        layers = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in self.saved_layers}
        quantized = {"quantized": self.quantized} if self.quantized else {}
        return {**super().get_config(), **layers, **self.settings, **quantized}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> "ModelOfLayers":
        is_quantized = bool(config.get("quantized"))
        layers = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects) for name in cls.saved_layers
        }
        config = {key: value for key, value in config.items() if key != "quantized"} | layers
        model = cls(**config)
        if is_quantized:  # its weights have other shapes and types, which are those of a model that was quantised
            model.build((None, None))
            model.quantize_int8()
        return model


def _quantizes(layer) -> bool:
    """Whether Keras can quantise a layer; it warns of each one that it cannot."""
    return type(layer).quantize is not keras.Layer.quantize


def token_losses(softmax, table, features, targets, weights, training, **options) -> tuple[Any, Any, Any]:
    """Loss of a batch of tokens, summed, with what it may be divided by.

    Args:
        softmax: a `FullSoftmax` or `AdaptiveSoftmax`.
        table: the embedding table where it is tied, else None.
        features: `[B, T, D]`.
        targets: int32 `[B, T]`.
        weights: float `[B, T]`, 0 at padding.
        training: whether the sum has a gradient.
        **options: of the softmax's `loss`, which is asked in training.

    Returns:
        The weighted sum of the negative log-likelihoods (float32 `[]`), the sum of the weights, and the negative
        log-likelihood of every target (float32 `[B, T]`).
    """
    shape = ops.shape(targets)
    flat = ops.reshape(features, (-1, features.shape[-1]))  # [B·T, D]
    targets, weights = ops.reshape(targets, (-1,)), ops.reshape(weights, (-1,))
    if training:
        total, nll = softmax.loss(flat, targets, weights, table, **options)
    else:
        nll = softmax.nll(flat, targets, table)
        total = ops.sum(ops.where(weights > 0, nll, 0.0) * weights)
    return total, ops.sum(weights), ops.reshape(nll, shape)
