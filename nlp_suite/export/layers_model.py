"""A classifier as a functional model of stock Keras layers alone, without an operation of `keras.ops` between them.

Masks are columns `[B, T, 1]` looked up from frozen embeddings by token id: 1 at tokens and 0 at padding, or 0 at tokens and -6e4 at
padding. So nothing depends on which layers of another program honour masks, but for recurrent layers, which all do.
"""

from typing import Any

import keras
import numpy as np

from nlp_suite.backbones.bag import BagBackbone
from nlp_suite.backbones.cnn import CNNBackbone
from nlp_suite.backbones.recurrent import RecurrentBackbone
from nlp_suite.errors import ExportError
from nlp_suite.export.classifier_head import ClassifierHead
from nlp_suite.layers.inline import stock_recurrent

LOW = -6e4  # what `SequencePooling` takes the maximum of where there is padding
OTHERS = "take --format keras-plain, onnx or saved_model"


def layers_model(model: Any, head: ClassifierHead) -> Any:
    """Token ids int32 `[B, T]`, padded on the right with 0 → logits `[B, C]`.

    Args:
        model: a classifier's network: `backbone`, and `embedding` in it.
        head: what it computes of the backbone's features.

    Raises:
        ExportError: naming what stock layers cannot express, and the setting to change.
    """
    backbone = model.backbone
    if not head.layers:
        raise ExportError(f"the classifier on top, {type(model.classifier).__name__}, is no dense layer: {OTHERS}")
    makes = {RecurrentBackbone: _Recurrent, CNNBackbone: _Convolutions, BagBackbone: _Bag}
    kind = next((made for base, made in makes.items() if isinstance(backbone, base)), None)
    if kind is None:
        raise ExportError(f"stock layers without keras.ops cannot express {type(backbone).__name__}: {OTHERS}")
    return kind(backbone, head).model(model.name)


class _Layers:
    """What the networks share: columns by token, poolings, the dense layers."""

    masks = False

    def __init__(self, backbone: Any, head: ClassifierHead):
        self.backbone, self.head = backbone, head
        self.tokens = keras.Input((None,), dtype="int32", name="tokens")
        self._columns: dict[tuple[float, float], Any] = {}

    def model(self, name: str) -> Any:
        """The functional model."""
        table = keras.ops.convert_to_numpy(self.backbone.embedding.embeddings)
        embedded = self._embedding(table, "embedding", mask_zero=self.masks)(self.tokens)  # [B, T, E]
        x = self.pooled(self.encoded(embedded))  # [B, P]
        for i, (kernel, bias) in enumerate(self.head.layers):
            last = i == len(self.head.layers) - 1
            x = self._dense(kernel, bias, "linear" if last else "relu", name="logits" if last else f"hidden_{i}")(x)
        return keras.Model(self.tokens, x, name=name)

    def encoded(self, x: Any) -> Any:
        """The backbone above the embedding."""
        raise NotImplementedError

    def pooled(self, x: Any) -> Any:
        """Features `[B, T, D]` to `[B, P]`."""
        vectors = [getattr(self, f"_{kind}")(x) for kind in self.head.pooling]
        return vectors[0] if len(vectors) == 1 else keras.layers.Concatenate(name="pooled")(vectors)

    def column(self, at_token: float, at_padding: float) -> Any:
        """`[B, T, 1]`."""
        key = at_token, at_padding
        if key not in self._columns:
            table = np.full((self.backbone.vocabulary_size, 1), at_token, "float32")
            table[0] = at_padding
            name = "is_token" if at_padding == 0 else "low_at_padding"
            self._columns[key] = self._embedding(table, name, trainable=False)(self.tokens)
        return self._columns[key]

    def _max(self, x: Any) -> Any:
        return keras.layers.GlobalMaxPooling1D(name="max")(keras.layers.Add(name="seen")([x, self.column(0.0, LOW)]))

    def _mean(self, x: Any) -> Any:
        return self._weighted(x, self._softmax(self.column(0.0, LOW), "mean"), "mean")

    def _attention(self, x: Any) -> Any:
        assert self.head.scores is not None
        scores = self._dense(self.head.scores[:, None], None, name="score")(x)  # [B, T, 1]
        scores = keras.layers.Add(name="score_seen")([scores, self.column(0.0, LOW)])
        return self._weighted(x, self._softmax(scores, "attention"), "attention")

    def _first(self, x: Any) -> Any:
        return self._weighted(x, self._end("first", (0, 1), (1, 0)), "first")

    def _last(self, x: Any) -> Any:
        last = self._weighted(x, self._end("last", (1, 0), (0, 1)), "last")
        if not self.backbone.bidirectional:
            return last
        ends = [last, self._weighted(x, self._end("begin", (0, 1), (1, 0)), "begin")]
        size = x.shape[-1]
        halves = np.split(np.eye(size, dtype="float32"), 2, axis=1)
        return keras.layers.Concatenate(name="ends")(
            [
                self._dense(half, None, trainable=False, name=f"half_{i}")(end)
                for i, (half, end) in enumerate(zip(halves, ends))
            ]
        )

    def _end(self, name: str, cropping: tuple[int, int], padding: tuple[int, int]) -> Any:
        """1 at the tokens that have no neighbour on one side, else 0: `[B, 1, T]`."""
        is_token = self.column(1.0, 0.0)
        beside = keras.layers.ZeroPadding1D(padding, name=f"{name}_padded")(is_token)
        beside = keras.layers.Cropping1D(cropping, name=f"{name}_cropped")(beside)
        minus, one = np.full((1, 1), -1, "float32"), np.ones(1, "float32")
        alone = self._dense(minus, one, trainable=False, name=f"{name}_alone")(beside)
        is_end = keras.layers.Multiply(name=f"is_{name}")([is_token, alone])
        return keras.layers.Permute((2, 1), name=f"{name}_row")(is_end)

    @staticmethod
    def _softmax(scores: Any, name: str) -> Any:
        """Over the tokens: `[B, T, 1]` to `[B, 1, T]`, as TensorFlow.js has it over the last axis only.

        Not the layer `Softmax`, which other programs give a mask of the wrong shape.
        """
        row = keras.layers.Permute((2, 1), name=f"{name}_row")(scores)
        return keras.layers.Activation("softmax", name=f"{name}_weights")(row)

    @staticmethod
    def _weighted(x: Any, weights: Any, name: str) -> Any:
        """The sum of `[B, T, D]` times `[B, 1, T]`: `[B, D]`."""
        total = keras.layers.Dot(axes=(2, 1), name=f"{name}_sum")([weights, x])  # [B, 1, D]
        return keras.layers.Reshape((x.shape[-1],), name=name)(total)

    @staticmethod
    def _embedding(table: np.ndarray, name: str, **settings: Any) -> Any:
        layer = keras.layers.Embedding(*table.shape, name=name, **settings)
        layer.build((None, None))
        layer.set_weights([table])
        return layer

    @staticmethod
    def _dense(kernel: np.ndarray, bias: np.ndarray | None, activation: str = "linear", **settings: Any) -> Any:
        layer = keras.layers.Dense(kernel.shape[1], activation, use_bias=bias is not None, **settings)
        layer.build((None, kernel.shape[0]))
        layer.set_weights([weight for weight in (kernel, bias) if weight is not None])
        return layer


class _Recurrent(_Layers):
    masks = True

    def encoded(self, x: Any) -> Any:
        for i, layer in enumerate(self.backbone.recurrent):
            y = stock_recurrent(layer, return_state=False)(x)
            if self.backbone.norms:
                y = _copy(self.backbone.norms[i], f"norm_{i}")(y)
            residual = self.backbone.residual and x.shape[-1] == y.shape[-1]
            x = keras.layers.Add(name=f"residual_{i}")([x, y]) if residual else y
        return x


class _Convolutions(_Layers):
    def encoded(self, x: Any) -> Any:
        for i, group in enumerate(self.backbone.convolutions):
            x = keras.layers.Multiply(name=f"tokens_{i}")([x, self.column(1.0, 0.0)])
            outputs = [_copy(convolution, f"convolution_{i}_{j}")(x) for j, convolution in enumerate(group)]
            x = outputs[0] if len(outputs) == 1 else keras.layers.Concatenate(name=f"widths_{i}")(outputs)
        return x


class _Bag(_Layers):
    def encoded(self, x: Any) -> Any:
        settings = self.backbone.settings
        for key, allowed in (("ngrams", 1), ("average", "mean"), ("naive_bayes", False), ("idf", False)):
            if settings[key] != allowed:
                raise ExportError(
                    f"stock layers without keras.ops cannot express backbone.{key} {settings[key]}, only {allowed}: {OTHERS}"
                )
        x = self._mean(x)
        for i, dense in enumerate(self.backbone.dense):
            x = _copy(dense, f"bag_hidden_{i}")(x)
        return x

    def pooled(self, x: Any) -> Any:
        count = len(self.head.pooling)  # of one vector every pooling is that vector
        return x if count == 1 else keras.layers.Concatenate(name="pooled")([x] * count)


def _copy(layer: Any, name: str) -> Any:
    """A layer of the same class with the same weights."""
    copy = type(layer).from_config({**layer.get_config(), "name": name})
    copy.build(
        (
            None,
            None,
            layer.get_weights()[0].shape[-2] if layer.get_weights()[0].ndim > 1 else layer.get_weights()[0].shape[-1],
        )
    )
    copy.set_weights(layer.get_weights())
    return copy
