"""A block of a pretrained decoder: attention and a feed-forward network, perhaps gated, a norm before each."""

import keras
from keras import ops

from nlp_suite.layers.dropout import dropout
from nlp_suite.layers.grouped_attention import GroupedAttention, dense
from nlp_suite.layers.inline import apply
from nlp_suite.layers.layer_norm import layer_norm
from nlp_suite.layers.rms_norm import RMSNorm

NORMS = ("layer", "rms", "rms_plus_one")


def make_norm(kind, epsilon, dtype=None):
    """The norm layer of a kind, one of `NORMS`."""
    if kind == "layer":
        return keras.layers.LayerNormalization(epsilon=epsilon, dtype=dtype)
    return RMSNorm(epsilon, plus_one=kind == "rms_plus_one", dtype=dtype)


def normed(norm, x, training=False):
    """`norm(x)`, by the faster gradient where the norm is Keras's."""
    return layer_norm(norm, x, training) if isinstance(norm, keras.layers.LayerNormalization) else apply(norm, x)


@keras.saving.register_keras_serializable("nlp_suite")
class DecoderBlock(keras.layers.Layer):
    """Causal attention and a feed-forward network, `activation(x W) · (x U)` where it is gated (Shazeer 2020).

    Args:
        heads, key_value_heads, head_features, biases: see `GroupedAttention`; `biases` also of `gate`, `expand` and `contract`.
        feed_forward: units of the hidden layer.
        activation: of the hidden layer, a Keras name or `"gelu_tanh"`; of the gate where there is one.
        gated: whether there is a gate.
        norm: one of `NORMS`; epsilon: of the norms.
        dropout: rate after attention and after the feed-forward network.
        attention_dropout: rate on the attention weights.

    Call arguments and results: those of `GroupedAttention`; `initial_state` and `step` do one token at a time.
    """

    def __init__(
        self,
        heads,
        key_value_heads,
        head_features,
        feed_forward,
        activation="silu",
        gated=True,
        norm="rms",
        epsilon=1e-6,
        biases=(),
        dropout=0.0,
        attention_dropout=0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.settings = {
            "heads": heads,
            "key_value_heads": key_value_heads,
            "head_features": head_features,
            "feed_forward": feed_forward,
            "activation": activation,
            "gated": gated,
            "norm": norm,
            "epsilon": epsilon,
            "biases": list(biases),
            "dropout": dropout,
            "attention_dropout": attention_dropout,
        }
        policy = self.dtype_policy
        self.supports_masking = True
        self.attention = GroupedAttention(
            heads,
            key_value_heads,
            head_features,
            biases,
            attention_dropout,
            dtype=policy,
            name=f"{self.name}_attention",
        )
        self.attention_norm, self.norm = (make_norm(norm, epsilon, policy) for _ in range(2))
        self.gate = dense(self, feed_forward, "gate") if gated else None
        self.expand = dense(self, feed_forward, "expand")
        self.activation = _gelu_tanh if activation == "gelu_tanh" else keras.activations.get(activation)
        self.drops = [keras.layers.Dropout(dropout, dtype=policy) for _ in range(2)]

    def build(self, input_shape) -> None:
        shape = (None, None, input_shape[-1])
        self.contract = dense(self, shape[-1], "contract")
        for layer in (self.attention, self.attention_norm, self.norm, self.gate, self.expand):
            if layer is not None:
                layer.build(shape)
        self.contract.build((None, None, self.settings["feed_forward"]))

    def _feed_forward(self, x, training=False):
        y = normed(self.norm, x, training)
        hidden = (
            self.activation(self.expand(y)) if self.gate is None else self.activation(self.gate(y)) * self.expand(y)
        )
        return x + dropout(self.drops[1], self.contract(hidden), training)

    def call(self, x, bias, rotation=None, training=None):
        y = normed(self.attention_norm, x, training)
        y, keys = apply(self.attention, y, bias, rotation, training=training)
        return self._feed_forward(x + dropout(self.drops[0], y, training), training), keys

    def initial_state(self, batch_size, length):
        """An empty cache, see `GroupedAttention.initial_state`."""
        return self.attention.initial_state(batch_size, length)

    def step(self, x, state, rotation, bias, slots=None):
        """One token of every row, see `GroupedAttention.step`."""
        y, state = self.attention.step(normed(self.attention_norm, x), state, rotation, bias, slots)
        return self._feed_forward(x + y), state

    def modules(self):
        """The layers that hold its weights, by the names of `Architecture.block_names`."""
        attention = self.attention
        layers = {
            "attention_norm": self.attention_norm,
            "query": attention.query,
            "key": attention.key,
            "value": attention.value,
            "output": attention.output_dense,
            "norm": self.norm,
            "gate": self.gate,
            "expand": self.expand,
            "contract": self.contract,
        }
        return {name: layer for name, layer in layers.items() if layer is not None}

    def compute_output_spec(self, x, bias=None, rotation=None):
        return self.attention.compute_output_spec(x)

    def get_config(self):
        return {**super().get_config(), **self.settings}


def _gelu_tanh(x):
    return keras.activations.gelu(ops.convert_to_tensor(x), approximate=True)
