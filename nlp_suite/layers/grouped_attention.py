"""Causal self-attention whose heads of queries share heads of keys and values (Ainslie et al. 2023), with a cache for steps.

The cache of a step is of one of two kinds. Where the shapes of a loop may change (TensorFlow without XLA) it grows: a
row's tokens lie in its last slots, so that rows of any length go on together, and a step costs what the cache holds.
Elsewhere it has a fixed number of slots, in which a token's slot is its position.
"""

import keras
from keras import ops

from nlp_suite.layers.attention_cache import append, cache_slots, write
from nlp_suite.layers.dot_product_attention import attention_bias, dot_product_attention
from nlp_suite.layers.positions import rotated


@keras.saving.register_keras_serializable("nlp_suite")
class GroupedAttention(keras.layers.Layer):
    """Scaled dot-product attention (Vaswani et al. 2017, §3.2) of H heads of queries and fewer ones of keys and values.

    Args:
        heads: heads H of queries.
        key_value_heads: heads of keys and values, a divisor of H; H: every head has its own.
        head_features: features d of a head; H · d need not be D.
        biases: those of `query`, `key`, `value` and `output` that have a bias.
        dropout: rate on the attention weights.

    Call arguments:
        x: `[B, T, D]`.
        bias: what `attention_bias` makes of what a token sees, `[B, 1, T, T]`.
        rotation: of `positions.rotation`, or None: queries and keys are not rotated.

    Returns:
        `[B, T, D]`, and the keys and values `[B, heads, T, d]`, of which a cache is made.

    Example:
        >>> attention = GroupedAttention(heads=9, key_value_heads=3, head_features=64)
        >>> y, keys = attention(x, bias, rotation(positions, frequencies))
    """

    def __init__(self, heads, key_value_heads, head_features, biases=(), dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.settings = {
            "heads": heads,
            "key_value_heads": key_value_heads,
            "head_features": head_features,
            "biases": list(biases),
            "dropout": dropout,
        }
        self.heads, self.key_value_heads, self.size = heads, key_value_heads, head_features
        self.supports_masking = True
        units = {"query": heads * head_features, **dict.fromkeys(("key", "value"), key_value_heads * head_features)}
        for name, size in units.items():
            setattr(self, name, dense(self, size, name))
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.to_heads, self.part = (self._reshape(shape) for shape in ((-1, heads), (heads, -1)))
        self.to_shared, self.share = (self._reshape(shape) for shape in ((-1, key_value_heads), (key_value_heads, -1)))
        self.from_heads = keras.layers.Reshape((-1, heads * head_features), dtype=self.dtype_policy)

    def _reshape(self, shape):
        """A layer, since where neither rows nor tokens are known, `ops.reshape` cannot tell them."""
        return keras.layers.Reshape((*shape, self.size), dtype=self.dtype_policy)

    def build(self, input_shape) -> None:
        width = input_shape[-1]
        self.output_dense = dense(self, width, "output")
        for layer in (self.query, self.key, self.value):
            layer.build((None, None, width))
        self.output_dense.build((None, None, self.heads * self.size))

    def _project(self, x, rotation):
        """Queries `[B, H, T, d]`, and keys and values of as many heads as they have."""
        query = ops.transpose(self.to_heads(self.query(x)), (0, 2, 1, 3))
        key, value = (ops.transpose(self.to_shared(layer(x)), (0, 2, 1, 3)) for layer in (self.key, self.value))
        if rotation is not None:
            query, key = rotated(query, rotation), rotated(key, rotation)
        return query, key, value

    def _attend(self, query, key, value, bias, drop=None, training=None):
        """`[B, T, H · d]`; the heads of queries that share keys are further rows of one head."""
        count = self.heads // self.key_value_heads
        if count > 1:
            query, bias = (
                self.share(query),
                ops.tile(bias, (1, 1, count, 1)),
            )  # [B, heads, count · T, d], [B, 1, count · T, S]
        output, _ = dot_product_attention(query, key, value, bias, drop, training)
        return self.from_heads(ops.transpose(self.part(output), (0, 2, 1, 3)))

    def call(self, x, bias, rotation=None, training=None):
        query, key, value = self._project(x, rotation)
        output = self.output_dense(self._attend(query, key, value, bias, self.drop, training))
        return output, {"key": key, "value": value}

    def initial_state(self, batch_size, length):
        """An empty cache: keys and values `[B, heads, length, d]`; a scalar tensor of 0 leaves the number open in a loop."""
        shape = (batch_size, self.key_value_heads, length, self.size)
        return {name: ops.zeros(shape, self.compute_dtype) for name in ("key", "value")}

    def step(self, x, state, rotation, bias, slots=None):
        """One token of every row.

        Args:
            x: `[B, D]`.
            state: the cache, see `initial_state`.
            rotation: of its position, see `call`.
            bias: of the slots, `[B, 1, 1, S]`, the new one among them.
            slots: where the new keys go in a cache of fixed length, see `cache_slots`; None: the cache grows.

        Returns:
            `[B, D]` and the new cache.
        """
        query = ops.reshape(self.query(x), (-1, self.heads, 1, self.size))
        key, value = (
            ops.reshape(layer(x), (-1, self.key_value_heads, 1, self.size)) for layer in (self.key, self.value)
        )
        if rotation is not None:
            both = rotated(ops.concatenate([query, key], axis=1), rotation)  # at once: ops cost more than their numbers
            query, key = ops.split(both, [self.heads], axis=1)
        if slots is None:
            key, value = append(state["key"], key), append(state["value"], value)
        else:
            key, value = write(state["key"], slots, key), write(state["value"], slots, value)
        query = ops.reshape(query, (-1, self.key_value_heads, self.heads // self.key_value_heads, self.size))
        output, _ = dot_product_attention(query, key, value, bias)  # [B, heads, share, d]
        return self.output_dense(ops.reshape(output, (-1, self.heads * self.size))), {"key": key, "value": value}

    def slots(self, position, length):
        """Where `step` writes the token at `position` int32 `[B]` into a cache of fixed length."""
        return cache_slots(position, self.key_value_heads, length)

    def compute_output_spec(self, x, bias=None, rotation=None):
        keys = keras.KerasTensor((x.shape[0], self.key_value_heads, x.shape[1], self.size), dtype=self.compute_dtype)
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype), {"key": keys, "value": keys}

    def get_config(self):
        return {**super().get_config(), **self.settings}


def dense(layer, units, name):
    """The dense layer `name` of a layer of a pretrained decoder, whose `settings` say which have a bias."""
    return keras.layers.Dense(
        units,
        use_bias=name in layer.settings["biases"],
        kernel_initializer={"class_name": "RandomNormal", "config": {"stddev": 0.02}},
        dtype=layer.dtype_policy,
        name=f"{layer.name}_{name}",
    )


def causal_bias(mask, dtype="float32"):
    """What a token of rows sees, itself and those before it that count: bool `[B, T]` → float32 `[B, 1, T, T]`."""
    places = ops.cumsum(ops.ones_like(mask, dtype="int32"), axis=1)  # [B, T]; works where T is unknown
    earlier = ops.expand_dims(places, 1) <= ops.expand_dims(places, 2)  # [B, T, T]
    visible = ops.logical_and(earlier, ops.expand_dims(mask, 1))
    return attention_bias(ops.expand_dims(visible, 1), dtype)
