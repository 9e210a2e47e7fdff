"""A pretrained causal Transformer: GPT-2, Llama, Qwen2 or Gemma, read whole, at once up to a prompt's end, or step by step."""

from typing import Any

import keras
from keras import ops

from nlp_suite.backbones.preset import PresetBackbone
from nlp_suite.layers.attention_cache import append
from nlp_suite.layers.decoder_block import DecoderBlock, make_norm, normed
from nlp_suite.layers.dot_product_attention import attention_bias
from nlp_suite.layers.dropout import dropout
from nlp_suite.layers.grouped_attention import causal_bias
from nlp_suite.layers.inline import apply
from nlp_suite.layers.loop_shapes import shapes_may_change
from nlp_suite.layers.positions import rotation, token_positions
from nlp_suite.pretrained.architecture import ACTIVATIONS


@keras.saving.register_keras_serializable("nlp_suite")
class PresetDecoder(PresetBackbone):
    """Pre-norm blocks of causal attention over embeddings of tokens, `[B, T]` → `[B, T, D]`, with a norm at the end.

    Positions are rotations, or a table that is added to the embeddings; a text has at most as many tokens as the model
    has positions. `PresetBackbone(…)` makes one where the architecture is that of a causal model; its arguments are those
    of that class.

    The state of a step is the number of tokens that a row has read, `[B]`, and a cache of keys and values for every block,
    see `nlp_suite.layers.grouped_attention`.

    Args:
        output: whether `add_output` was called, which a language model does.
        args, kwargs: those of `PresetBackbone`.
    """

    causal = True
    reads_prompts_at_once = True
    has_output_bias = False

    def __init__(self, *args, output=False, **kwargs):
        super().__init__(*args, **kwargs)
        self.settings["output"] = False
        if output:
            self.add_output()

    def _make_layers(self):
        decoder, policy = self.encoder, self.dtype_policy
        self.head = None  # no attribute of the class, which PyTorch would find before a layer of that name
        self.positions = None if decoder.rotary_frequencies else self._table(decoder.positions)
        self.segments = self.projection = None
        embedding_rate = decoder.embedding_dropout if self.settings["dropout"] is None else self.rates[0]
        self.drop = keras.layers.Dropout(embedding_rate, dtype=policy)
        self.blocks = [self._block(number) for number in decoder.block_order]
        self.norm = make_norm(decoder.norm_kind, decoder.epsilon, policy)

    def _block(self, number):
        decoder = self.encoder
        return DecoderBlock(
            decoder.heads,
            decoder.key_value_heads,
            decoder.head_features,
            decoder.feed_forward,
            activation=ACTIVATIONS[decoder.feed_forward_activation],
            gated=decoder.has_gate,
            norm=decoder.norm_kind,
            epsilon=decoder.epsilon,
            biases=[name for name in decoder.block_names if decoder.has_bias(name)],
            dropout=self.rates[0],
            attention_dropout=self.rates[1],
            dtype=self.dtype_policy,
            name=f"block_{number}",
        )

    def add_output(self):
        if not self.encoder.tie_word_embeddings and self.head is None:
            self.settings["output"] = True
            self.head = self._table(self.vocabulary_size)

    def output_weights(self):
        return [] if self.head is None else self.head.weights

    @property
    def output_table(self):
        return super().output_table if self.head is None else self.head.embeddings

    def build_encoder(self) -> None:
        for table in (self.positions, self.head):
            if table is not None:
                table.build((None, None))
        for layer in (*self.blocks, self.norm):
            layer.build((None, None, self.output_size))
        self._freeze()

    def stack(self):
        groups = [[self.embedding, self.positions], *([block] for block in self.blocks)]
        groups[-1] += [self.norm, self.head]
        return groups

    def modules(self) -> dict[str, Any]:
        layers = {"tokens": self.embedding, "positions": self.positions, "norm": self.norm, "head": self.head}
        modules = {name: layer for name, layer in layers.items() if layer is not None}
        for number, block in enumerate(self.blocks):
            modules |= {f"block {number} {name}": layer for name, layer in block.modules().items()}
        return modules

    def embed(self, tokens):
        """Embeddings `[B, T, E]` of tokens, times √E where the model has them so; see `Backbone.embed`."""
        x = super(PresetBackbone, self).embed(tokens)
        return x * self.embedding_size**0.5 if self.encoder.scales_embeddings else x

    def _enter(self, x, positions, training=False):
        """Features and rotation of embeddings `[B, T, E]` at positions `[B, T]`; both tables end with the last position."""
        if self.positions is None:
            x, turns = x, rotation(positions, self.encoder.rotary_frequencies, self.compute_dtype)
        else:
            x, turns = x + self.positions(ops.minimum(positions, self.encoder.positions - 1)), None
        return dropout(self.drop, x, self._in_training(0, training)), turns

    def encode(self, x, mask, *, state=None, training=False):
        x, mask = self.encoder_input(x, mask, state, training)
        x, turns = self._enter(x, token_positions(mask), training)
        bias = causal_bias(mask, self.compute_dtype)
        for number, block in enumerate(self.blocks, 1):
            x, _ = apply(block, x, bias, turns, training=self._in_training(number, training))
        return normed(self.norm, x, self._in_training(len(self.blocks), training)), None

    def initial_state(self, batch_size, memory=None, length=None):
        """No token read, and empty caches.

        Args:
            batch_size: rows B.
            memory: must be None.
            length: tokens that will be read at most, which caches of a fixed length have slots for; default: as many as the
                model has positions. Caches that grow need none.
        """
        if shapes_may_change():
            # 0, which no loop takes for a fixed size
            length = ops.min(ops.zeros((batch_size, 1), "int32"))
        elif length is None:
            length = self.encoder.positions
        caches = [block.initial_state(batch_size, length) for block in self.blocks]
        return {"position": ops.zeros((batch_size,), "int32"), "blocks": caches}

    def step(self, x, state):
        position = state["position"]  # [B]
        x, turns = self._enter(ops.expand_dims(x, 1), ops.expand_dims(position, 1))
        x = x[:, 0]
        size = ops.shape(state["blocks"][0]["key"])[2]
        row = ops.reshape(position, (-1, 1, 1, 1))
        if shapes_may_change():
            slots, visible = None, ops.arange(size + 1, dtype="int32") >= size - row  # [B, 1, 1, S + 1]
        else:
            slots = self.blocks[0].attention.slots(position, size)
            visible = ops.arange(size, dtype="int32") <= row  # [B, 1, 1, S]
        bias = attention_bias(visible, self.compute_dtype)
        caches = []
        for block, cache in zip(self.blocks, state["blocks"]):
            x, cache = block.step(x, cache, turns, bias, slots)
            caches.append(cache)
        return normed(self.norm, x), {"position": position + 1, "blocks": caches}

    def read(self, x, length, state):
        """The state after the first tokens of every row, read in one pass.

        Args:
            x: embeddings `[B, P, E]`, right-padded with anything finite.
            length: int32 `[B]`, 0 to P.
            state: of `initial_state`, from which nothing was read yet.
        """
        length, width = ops.cast(length, "int32"), ops.shape(x)[1]
        places = ops.arange(width, dtype="int32")  # [P]
        if shapes_may_change():  # rows end together, as the slots of their caches must
            # No loop after this one may take the number of slots for a fixed one.
            places = ops.arange(width + 0 * ops.min(length), dtype="int32")
            index = places - ops.expand_dims(width - length, 1)  # [B, P]
            mask, positions = index >= 0, ops.maximum(index, 0)
            rows = ops.expand_dims(ops.arange(ops.shape(x)[0], dtype="int32") * width, 1)  # [B, 1]
            x = ops.take(
                ops.reshape(x, (-1, self.embedding_size)),
                ops.minimum(rows + positions, ops.shape(x)[0] * width - 1),
                axis=0,
            )
        else:
            mask = places < ops.expand_dims(length, 1)
            positions = ops.zeros_like(mask, dtype="int32") + places
        x, turns = self._enter(x, positions)
        bias, caches = causal_bias(mask, self.compute_dtype), []
        for block, cache in zip(self.blocks, state["blocks"]):
            x, keys = block(x, bias, turns)
            caches.append({name: self._first_in(cache[name], keys[name]) for name in keys})
        return {"position": length, "blocks": caches}

    def _first_in(self, cache, keys):
        """An empty cache with keys `[B, heads, P, d]` in its first slots."""
        if shapes_may_change():
            return append(cache, keys)
        return ops.concatenate([keys, cache[:, :, ops.shape(keys)[2] :]], axis=2)
