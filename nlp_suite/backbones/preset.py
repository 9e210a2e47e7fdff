"""A pretrained Transformer with the model's own weights: an encoder such as BERT, or a causal one such as GPT-2 and Llama."""

from typing import Any, ClassVar, Self

import keras
from keras import ops

from nlp_suite.backbones.base import Backbone
from nlp_suite.errors import ConfigError
from nlp_suite.layers.inline import apply
from nlp_suite.layers.lora import add_update, merge_update, updated_layers, weights_without_updates
from nlp_suite.layers.positions import token_positions
from nlp_suite.pretrained.architecture import ACTIVATIONS, read_architecture
from nlp_suite.pretrained.decoder import Decoder
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.preset import PresetSettings
from nlp_suite.text.tokenizers.base import END

# The modules of a block that get a low-rank update: all dense layers, as Dettmers et al. (2023, QLoRA) found to be needed to reach
# what training all weights does. MiniLM on 450 reviews, rank 8, rate 1e-3: 83.7 % of 1,000, with query and value alone 80.3 %.
UPDATED = ("query", "key", "value", "output", "gate", "expand", "contract")
INITIALIZER = {"class_name": "TruncatedNormal", "config": {"stddev": 0.02}}  # BERT's, of every table and kernel


@BACKBONES.register(PresetSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class PresetBackbone(Backbone):
    """KerasHub's Transformer encoder over embeddings of tokens, positions and segments, `[B, T]` → `[B, T, D]`.

    Of the architecture of a causal model it makes a `PresetDecoder`, which is documented there.

    The blocks are `keras_hub.layers.TransformerEncoder`, with what the model's config.json says of activation and epsilon,
    so that the features are those of the model's authors. Of two texts in a row (`START text END text_b END`) the second
    one is in segment 1, where the model has two.

    Args:
        vocabulary_size: number of token ids V, or None, see `Backbone`.
        architecture: the fields of the model's config.json, see `nlp_suite.pretrained.encoder`.
        embedding_size: features E of the embeddings; default: the model's, and no other.
        freeze: groups of layers (`stack`) from the bottom that are not trained and have no dropout; `"all"`: every one.
        lora_rank: rank of the low-rank updates (`nlp_suite.layers.lora`) of all dense layers in the blocks that are not
            frozen; they are trained, and none of the model's weights. None: there are no updates.
        lora_alpha: the updates count `lora_alpha / lora_rank` times; None: once.
        dropout: rate on the embeddings and in every block; None: the model's.
        attention_dropout: rate on the attention weights; None: the model's.
        kwargs: those of `Backbone`.

    Attributes:
        encoder: the architecture, read.
    """

    embeddings_initializer: ClassVar = INITIALIZER

    def __new__(cls, vocabulary_size: Any = None, architecture: Any = None, *args: Any, **kwargs: Any) -> Self:
        if cls is PresetBackbone and isinstance(read_architecture(architecture, "backbone.architecture"), Decoder):
            from nlp_suite.backbones.preset_decoder import PresetDecoder

            cls = PresetDecoder
        return super().__new__(cls, vocabulary_size, architecture, *args, **kwargs)

    def __init__(
        self,
        vocabulary_size,
        architecture,
        embedding_size=None,
        freeze=0,
        lora_rank=None,
        lora_alpha=None,
        dropout=None,
        attention_dropout=None,
        **kwargs,
    ):
        encoder = read_architecture(architecture, "backbone.architecture")
        if embedding_size not in (None, encoder.embedding_features):
            raise ConfigError(
                f"backbone.embedding_size {embedding_size}: the model has embeddings of {encoder.embedding_features}"
            )
        super().__init__(vocabulary_size, embedding_size=encoder.embedding_features, **kwargs)
        self.settings |= {
            "architecture": encoder.model_dump(mode="json"),
            "freeze": freeze,
            "lora_rank": lora_rank,
            "lora_alpha": lora_alpha,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
        }
        rate, attention_rate = encoder.dropout_rates
        self.encoder = encoder
        self.rates = (
            rate if dropout is None else dropout,
            attention_rate if attention_dropout is None else attention_dropout,
        )
        self._make_layers()

    def _make_layers(self) -> None:
        """Makes the layers above the embedding of tokens."""
        encoder, policy = self.encoder, self.dtype_policy
        self.positions = self._table(encoder.positions)
        self.segments = self._table(encoder.segments) if encoder.segments and self.embedding is not None else None
        self.norm = keras.layers.LayerNormalization(epsilon=encoder.epsilon, dtype=policy)
        self.drop = keras.layers.Dropout(self.rates[0], dtype=policy)
        self.projection = None
        if encoder.has_projection:
            self.projection = keras.layers.Dense(encoder.features, kernel_initializer=INITIALIZER, dtype=policy)
        self.blocks = [self._block(number) for number in sorted(set(encoder.block_order))]

    def _block(self, number):
        import keras_hub  # seconds

        activation = ACTIVATIONS[self.encoder.feed_forward_activation]
        return keras_hub.layers.TransformerEncoder(
            self.encoder.feed_forward,
            self.encoder.heads,
            dropout=max(self.rates),
            activation=_gelu_tanh if activation == "gelu_tanh" else activation,
            layer_norm_epsilon=self.encoder.epsilon,
            kernel_initializer=keras.initializers.get(INITIALIZER),
            dtype=self.dtype_policy,
            name=f"block_{number}",
        )

    @property
    def output_size(self):
        return self.encoder.features

    def build_encoder(self) -> None:
        narrow, wide = ((None, None, size) for size in (self.embedding_size, self.output_size))
        for table in (self.positions, self.segments):
            if table is not None:
                table.build((None, None))
        for layer, shape in ((self.norm, narrow), (self.projection, narrow), *((block, wide) for block in self.blocks)):
            if layer is not None:
                layer.build(shape)
        for block in self.blocks:
            for layer in block._flatten_layers(include_self=False, recursive=False):  # alike in all blocks
                layer.name = f"{block.name}_{layer.name}"
            # its one rate is that of features and of attention
            block._self_attention_dropout.rate = block._feedforward_dropout.rate = self.rates[0]
            block._self_attention_layer._dropout = block._self_attention_layer._dropout_layer.rate = self.rates[1]
        self._freeze()

    def _freeze(self) -> None:
        """Ends the training of what the settings say; once all is built."""
        for layer in self._frozen_layers():
            layer.trainable = False
        if self.settings["lora_rank"] is not None:
            self._add_updates()

    def _add_updates(self) -> None:
        for weight in self.weights:
            weight.trainable = False
        for name, layer in self.modules().items():
            block, number, part = name.split() if name.startswith("block ") else ("", 0, "")
            if block and int(number) >= self._frozen - 1 and part in UPDATED:
                add_update(layer, self.settings["lora_rank"], self.settings["lora_alpha"])

    def merge_updates(self) -> None:
        for layer in updated_layers(self):
            merge_update(layer)
        self.settings |= {"lora_rank": None, "lora_alpha": None}

    @property
    def _frozen(self) -> int:
        """The number of groups that are not trained."""
        freeze = self.settings["freeze"]
        return 1 + len(self.blocks) if freeze == "all" else freeze

    def _frozen_layers(self):
        return [layer for group in self.stack()[: self._frozen] for layer in group if layer is not None]

    def frozen_weights(self):
        if self.settings["lora_rank"] is not None:
            return weights_without_updates(self)
        return [weight for layer in self._frozen_layers() for weight in layer.weights]

    def stack(self):
        return [
            [self.embedding, self.positions, self.segments, self.norm, self.projection],
            *([b] for b in self.blocks),
        ]

    def embed(self, tokens):
        """Embeddings `[B, T, E]` of tokens and of their segments; see `Backbone.embed`."""
        x = super().embed(tokens)
        if self.segments is None:
            return x
        any_token = tokens[:1, :1]  # one lookup for all places: its gradient is a plain sum, the same in every run
        first = self.segments(ops.zeros_like(any_token))  # [1, 1, E]
        if self.encoder.segments == 1:
            return x + first
        is_end = ops.cast(ops.equal(tokens, END), "int32")
        is_second = ops.expand_dims(ops.cumsum(is_end, axis=1) > is_end, -1)  # [B, T, 1]
        return x + ops.where(is_second, self.segments(ops.ones_like(any_token)), first)

    def encode(self, x, mask, *, state=None, training=False):
        x, mask = self.encoder_input(x, mask, state, training)
        places = ops.minimum(token_positions(mask[:1, :]), self.encoder.positions - 1)  # [1, T]
        x = self.norm(x + self.positions(places))
        x = self.drop(x, training=self._in_training(0, training))
        if self.projection is not None:
            x = self.projection(x)
        for block in self.encoder.block_order:
            x = apply(self.blocks[block], x, padding_mask=mask, training=self._in_training(block + 1, training))
        return x, None

    def _in_training(self, group, training):
        """Whether a group has dropout: one that is frozen computes what it does in prediction."""
        return training if group >= self._frozen else False

    def modules(self) -> dict[str, Any]:
        """The layers that hold weights, by the names of `Encoder.module_names`."""
        below = {
            "tokens": self.embedding,
            "positions": self.positions,
            "segments": self.segments,
            "norm": self.norm,
            "projection": self.projection,
        }
        modules = {name: layer for name, layer in below.items() if layer is not None}
        for number, block in enumerate(self.blocks):
            modules |= {f"block {number} {name}": layer for name, layer in block_modules(block).items()}
        return modules


def block_modules(block) -> dict[str, Any]:
    """The layers that hold the weights of a `keras_hub.layers.TransformerEncoder`, by the names of `Encoder.block_names`."""
    attention = block._self_attention_layer
    return {
        "query": attention.query_dense,
        "key": attention.key_dense,
        "value": attention.value_dense,
        "output": attention.output_dense,
        "attention_norm": block._self_attention_layer_norm,
        "expand": block._feedforward_intermediate_dense,
        "contract": block._feedforward_output_dense,
        "norm": block._feedforward_layer_norm,
    }


def _gelu_tanh(x):
    return keras.activations.gelu(x, approximate=True)
