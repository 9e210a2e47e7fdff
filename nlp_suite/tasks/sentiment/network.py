"""The network of sentiment classification: backbone, pooling, classifier."""

from typing import Any

import keras
from keras import ops

from nlp_suite.layers.inline import apply
from nlp_suite.layers.sequence_pooling import SequencePooling
from nlp_suite.tasks.shared.networks import ModelOfLayers


@keras.saving.register_keras_serializable("nlp_suite")
class SentimentModel(ModelOfLayers):
    """Token ids `[B, T]` to logits `[B, C]`: backbone, pooling over the tokens, dropout, one dense layer.

    Of floats `[B, P]`, vectors that `vectors_and_logits` gave before, it computes what stands above them: the head. Floats of
    another width, such as token ids that became floats on their way, are a ValueError.
    Padding is id 0 on the right and never changes the logits; every row has at least one token.

    Args:
        backbone: a `Backbone`.
        classes: number of classes C.
        pooling: kinds of `SequencePooling`, concatenated.
        dropout: rate on the pooled features.
        hidden: units of a dense layer (ReLU) between pooling and classifier; 0 for none.
        classifier: `"dense"`, or `"identity"`: the pooled features are the logits, but for a bias that is trained (P = C).

    Attributes:
        vector_size: features P that the head reads.
        class_weights: what a row of each class weighs in the loss of training, float32 `[C]`; `None`: all the same. Metrics
            count every row once.

    Example:
        >>> model = SentimentModel(LSTMBackbone(vocabulary_size=8000), classes=2, pooling=["max"])
        >>> keras.ops.softmax(model(tokens))
    """

    def __init__(self, backbone, classes, pooling=("max",), dropout=0.0, hidden=0, classifier="dense", **kwargs):
        super().__init__(**kwargs)
        self.settings = {
            "classes": classes,
            "pooling": list(pooling),
            "dropout": dropout,
            "hidden": hidden,
            "classifier": classifier,
        }
        policy = self.dtype_policy
        self.backbone = backbone
        self.pooling = SequencePooling(pooling, bidirectional=backbone.bidirectional, dtype=policy)
        self.drops = [keras.layers.Dropout(dropout, dtype=policy) for _ in range(1 + bool(hidden))]
        self.hidden = keras.layers.Dense(hidden, activation="relu", dtype=policy) if hidden else None
        self.classifier = self.make_classifier(classes)
        self.class_weights = None

    def make_classifier(self, classes) -> Any:
        """The layer that makes `[B, C]` of the pooled features `[B, P]`."""
        kernel = "identity" if self.settings["classifier"] == "identity" else "glorot_uniform"
        return keras.layers.Dense(classes, kernel_initializer=kernel, dtype=self.dtype_policy)

    def build(self, input_shape=None) -> None:
        if self.classifier.built:
            return
        self.backbone.build((None, None))
        size = self.backbone.output_size
        self.pooling.build((None, None, size))
        size *= len(self.pooling.kinds)
        if self.hidden is not None:
            self.hidden.build((None, size))
            size = self.hidden.units
        self.classifier.build((None, size))
        if self.settings["classifier"] == "identity":
            self.classifier.kernel.trainable = False
        self.built = True

    @property
    def vector_size(self) -> int:
        return int(self.backbone.output_size) * len(self.pooling.kinds)

    def call(self, tokens, training=None) -> Any:  # `fit` turns dropout on only in models whose call has this argument
        are_vectors = keras.backend.is_float_dtype(keras.backend.standardize_dtype(tokens.dtype))
        if are_vectors and tokens.shape[-1] not in (None, self.vector_size):
            raise ValueError(
                f"floats are taken for vectors of {self.vector_size} numbers, and these have the shape {tuple(tokens.shape)}: "
                "token ids must be integers"
            )
        # `training` is passed on: Keras's trainer on JAX calls this method itself, outside of any `__call__` that layers could ask.
        return self.head(tokens if are_vectors else self._pooled(tokens, training), training)  # [B, C]

    def vectors_and_logits(self, tokens) -> tuple[Any, Any]:
        """The vector of every text, float32 `[B, P]`, which is what the head reads, and the logits as `call` answers them."""
        pooled = self._pooled(tokens)
        return ops.cast(pooled, "float32"), self.head(pooled)

    def _pooled(self, tokens, training=None):
        features = apply(self.backbone, tokens, training=training)  # [B, T', D]
        mask = self.backbone.output_mask(ops.not_equal(tokens, 0))  # [B, T']
        return apply(self.pooling, features, mask=mask)  # [B, P]

    def head(self, pooled, training=None) -> Any:
        """Pooled features `[B, P]` to logits float32 `[B, C]`; what a subclass answers otherwise, it does here."""
        x = self.drops[0](pooled, training=training)
        if self.hidden is not None:
            x = self.drops[1](self.hidden(x), training=training)
        return ops.cast(self.classifier(x), "float32")  # [B, C]

    def dense_layers(self) -> list[tuple[Any, Any]]:
        """The dense layers of `head` as kernels `[in, out]` and biases `[out]`, with a ReLU between two.

        Empty where a subclass has another head.
        """
        layers = [layer for layer in (self.hidden, self.classifier) if layer is not None]
        return [(ops.convert_to_numpy(layer.kernel), ops.convert_to_numpy(layer.bias)) for layer in layers]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> Any:
        """Keras's, in training with the class weights; `sample_weight` `[B]` says which rows count.

        The targets `y` are label ids `[B]` or, of a student, a mapping that has them as `labels`, and as `target` what is learned
        in their place.
        """
        labels, target = (y["labels"], y["target"]) if isinstance(y, dict) else (y, y)
        if training and self.class_weights is not None:
            sample_weight = sample_weight * ops.take(self.class_weights, ops.cast(labels, "int32"))
        return super().compute_loss(x, target, y_pred, sample_weight, training)

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict:
        """Keras's, of the labels; see `compute_loss`."""
        return super().compute_metrics(x, y["labels"] if isinstance(y, dict) else y, y_pred, sample_weight)

    def layer_groups(self) -> list[list]:
        """Trainable variables from the bottom to the top: the backbone's groups, then the classifier's layers."""
        below = self.backbone.layer_groups()
        known = {id(variable) for group in below for variable in group}
        return [*below, [variable for variable in self.trainable_variables if id(variable) not in known]]
