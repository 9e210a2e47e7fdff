"""The decoder that `rnn`, `lstm` and `gru` share; they differ in the layer class only."""

from typing import ClassVar

import keras
from keras import ops
from pydantic import TypeAdapter

from nlp_suite.backbones.decoders.base import Decoder
from nlp_suite.layers import attention_loop, bptt
from nlp_suite.layers.attention_scores import softmax_bias
from nlp_suite.layers.inline import apply, of_hypotheses, of_sources
from nlp_suite.registry import ATTENTIONS
from nlp_suite.settings.decoders import AttentionComponent


class RecurrentDecoder(Decoder):
    """Recurrent layers over target embeddings that attend to the source, after Bahdanau et al. and Luong et al. (2015).

    With `input_feeding` the lowest layer attends in every step (Wu et al. 2016); the others run over the whole target at
    once. When it does depends on the attention: the query of `bahdanau` is the state before a step, and its context enters
    the cell; that of the others is the state after it, and the attentional vector tanh(W [context; state]) of `units`
    features is the layer's output and enters the next step (Luong's §3.3). `conditional` puts the attention, whichever
    it is, between two cells (Sennrich et al. 2017, Nematus). Without `input_feeding` no step waits for attention: the
    queries are the outputs of the highest layer, and the attentional vectors are above them.

    The features are the highest layer's outputs (or attentional vectors), or a deep readout of them (Pascanu et al. 2014;
    Bahdanau et al. 2015, A.2.2). First states are tanh(W m + b), one W for every layer: m is the mean of the source's
    features (`mean`), or the last features of their forward half and the first of the backward half (`last`); or zeros.

    Dropout is variational (Gal & Ghahramani 2016) but for `context_dropout`.

    Args:
        embedding_size: features E of a target embedding.
        units, layers, attention, input_feeding, conditional, bridge, embedding_dropout, context_dropout, dropout,
            layer_norm, residual, readout, readout_size: see `RecurrentDecoderSettings`. `attention` is a name or a
            mapping with `name` and settings.
        kwargs: those of `keras.layers.Layer`.

    Attributes:
        attention_place: `"before"`, `"between"` or `"after"` the cells of a step with `input_feeding`, `"above"` all layers
            without.
    """

    layer_class: ClassVar[type]

    def __init__(
        self,
        embedding_size=128,
        units=256,
        layers=1,
        attention="bahdanau",
        input_feeding=True,
        conditional=False,
        bridge="mean",
        embedding_dropout=0.0,
        context_dropout=0.0,
        dropout=0.0,
        layer_norm=False,
        residual=False,
        readout=None,
        readout_size=None,
        **kwargs,
    ):
        super().__init__(embedding_size, **kwargs)
        attention = TypeAdapter(AttentionComponent).validate_python(attention)
        self.settings |= {
            "units": units,
            "layers": layers,
            "attention": attention.model_dump(),
            "input_feeding": input_feeding,
            "conditional": conditional,
            "bridge": bridge,
            "embedding_dropout": embedding_dropout,
            "context_dropout": context_dropout,
            "dropout": dropout,
            "layer_norm": layer_norm,
            "residual": residual,
            "readout": readout,
            "readout_size": readout_size,
        }
        self.units, self.bridge_from, self.residual = units, bridge, residual
        policy = {"dtype": self.dtype_policy}
        self.attention = ATTENTIONS.get(attention.name)(**attention.arguments(), **policy)
        self.attention_place = "above"
        if input_feeding:
            self.attention_place = (
                "between" if conditional else "before" if self.attention.queries_previous_state else "after"
            )
        make = {"return_sequences": True, "return_state": True, **policy}
        self.recurrent = [self.layer_class(units, **make) for _ in range(layers)]
        self.second = self.layer_class(units, **make) if conditional else None
        self.attentional = self.bridge = self.deep = None
        if self.attention_place in ("after", "above"):
            self.attentional = keras.layers.Dense(units, "tanh", use_bias=False, name="attentional", **policy)
        self.state_tensors = 2 if isinstance(self.recurrent[0], keras.layers.LSTM) else 1
        if bridge != "zero":
            self.bridge = keras.layers.Dense(layers * self.state_tensors * units, "tanh", name="bridge", **policy)
        if readout == "deep" or (readout is None and self.attentional is None):
            self.deep = keras.layers.Dense(readout_size or embedding_size, "tanh", name="readout", **policy)
        self.drop_features = keras.layers.SpatialDropout1D(embedding_dropout, **policy)
        self.drop_context = keras.layers.Dropout(context_dropout, **policy)
        self.drops = [keras.layers.SpatialDropout1D(dropout, **policy) for _ in range(layers)]
        self.norms = [keras.layers.LayerNormalization(**policy) for _ in range(layers * layer_norm)]

    @property
    def output_size(self):
        return self.deep.units if self.deep else self.units

    def build(self, memory_size, bidirectional_memory=False) -> None:
        self.bidirectional_memory = bidirectional_memory
        self.attention.build(self.units, memory_size)
        context = self.attention.context_size
        read = {"before": context, "after": self.units}.get(self.attention_place, 0)
        for i, layer in enumerate(self.recurrent):
            layer.build((None, None, self.units if i else self.embedding_size + read))
        for norm in self.norms:
            norm.build((None, None, self.units))
        if self.second:
            self.second.build((None, None, context))
        if self.attentional:
            self.attentional.build((None, None, context + self.units))
        if self.bridge:
            self.bridge.build((None, memory_size))
        if self.deep:
            self.deep.build((None, None, self.units + context + self.embedding_size))

    def memory(self, encoded, mask, training=False):
        encoded = self.drop_context(ops.cast(encoded, self.compute_dtype), training=training)
        mask = ops.cast(mask, "bool")
        memory = {"mask": mask, "attention": self.attention.prepare(encoded, mask)}
        if self.bridge:
            memory["bridge"] = self.bridge(self._summary(encoded, mask))  # [B, layers * states * U]
        return memory

    def _summary(self, encoded, mask):
        """One vector [B, D] of a source, see `bridge`."""
        counts = ops.cast(ops.expand_dims(mask, -1), encoded.dtype)  # [B, S, 1]
        if self.bridge_from == "mean":
            return ops.sum(encoded * counts, axis=1) / ops.maximum(ops.sum(counts, axis=1), 1.0)
        after = ops.pad(counts[:, 1:], ((0, 0), (0, 1), (0, 0)))
        last = ops.sum(encoded * counts * (1.0 - after), axis=1)  # [B, D]
        if not self.bidirectional_memory:
            return last
        half = encoded.shape[-1] // 2
        return ops.concatenate([last[:, :half], encoded[:, 0, half:]], axis=-1)

    def initial_state(self, batch_size, memory, length=None):
        """For every layer a list of `[B·K, U]`, h and, for an LSTM, c; with attention after a step, the attentional vector."""
        size = len(self.recurrent) * self.state_tensors * self.units
        if batch_size is None:
            zeros = ops.repeat(ops.zeros_like(memory["mask"][:, :1], dtype=self.compute_dtype), size, axis=1)
            flat = memory["bridge"] if self.bridge else zeros
        elif self.bridge:
            rows = ops.shape(memory["mask"])[0]
            flat = ops.broadcast_to(ops.expand_dims(memory["bridge"], 1), (rows, batch_size // rows, size))
            flat = ops.reshape(flat, (-1, size))
        else:
            flat = ops.zeros((batch_size, size), self.compute_dtype)
        tensors = ops.split(flat, len(self.recurrent) * self.state_tensors, axis=-1)
        n = self.state_tensors
        state = {"layers": [list(tensors[i : i + n]) for i in range(0, len(tensors), n)]}
        if self.attention_place == "after":
            state["attentional"] = ops.zeros_like(tensors[0])
        return state

    def call(self, x, mask, memory, training=None):
        # Padding is on the right: no step that counts comes after it, so the mask is not needed.
        x = embeddings = self.drop_features(x)  # [B, T, E]
        states = self.initial_state(ops.shape(x)[0], memory)["layers"]
        context = weights = None
        for i, layer in enumerate(self.recurrent):
            if i == 0 and self.attention_place != "above":
                y, context, weights = self._loop(x, states[0], memory["attention"])
            else:
                y = layer(x, initial_state=states[i])[0]
            x = self._after_layer(i, x, y)
        return self._features(x, context, weights, embeddings, lambda query: self.attention(query, memory["attention"]))

    def _features(self, x, context, weights, embeddings, attend):
        """Features `[..., F]` and weights from the highest layer's outputs `[..., U]`, and contexts and weights from below."""
        if self.attention_place == "above":
            context, weights = attend(x)
            x = self.attentional(ops.concatenate([context, x], axis=-1))
        if self.deep:
            x = self.deep(ops.concatenate([x, context, embeddings], axis=-1))
        return x, weights

    def _loop(self, x, states, prepared):
        """The lowest layer over a whole target: outputs `[B, T, U]`, contexts `[B, T, C]`, weights `[B, T, S]`."""
        entry, attention = self.recurrent[0], self.attention
        x = ops.transpose(ops.cast(x, self.compute_dtype), (1, 0, 2))  # [T, B, E]
        kernel = entry.by_gate(entry.cell.kernel, x.dtype)
        # a step reads the embedding, and the context or the attentional vector of the step before
        kernel, read_kernel = ops.split(kernel, [self.embedding_size], axis=0)
        input_bias, recurrent_bias = (None if b is None else entry.by_gate(b, x.dtype) for b in entry.biases())
        z = bptt.dense(x, kernel) + (0.0 if input_bias is None else input_bias)  # [T, B, G*U]
        recurrent_kernel = entry.by_gate(entry.cell.recurrent_kernel, x.dtype)
        weights = {"keys": prepared["keys"], "values": prepared["values"], "score_bias": softmax_bias(prepared["mask"])}
        state_kernels, state_bias = [], None
        query_cell, context_cell = entry.recurrence(), None
        if self.attention_place == "before":
            query_cell, context_cell = None, query_cell
            state_kernels, state_bias = [recurrent_kernel], recurrent_bias
            weights["context_kernel"] = read_kernel
        else:
            weights["recurrent_kernel"] = recurrent_kernel
            if recurrent_bias is not None:
                weights["recurrent_bias"] = recurrent_bias
        if self.attention_place == "between":
            context_cell = self.second.recurrence()
            state_kernels.append(self.second.by_gate(self.second.cell.recurrent_kernel, x.dtype))
            weights["context_kernel"] = self.second.by_gate(self.second.cell.kernel, x.dtype)
            weights["context_bias"], state_bias = (
                None if b is None else self.second.by_gate(b, x.dtype) for b in self.second.biases()
            )
        query = attention.query_kernel
        if query is not None:
            state_kernels.append(ops.cast(query, x.dtype))
        if self.attention_place == "after":
            kernel = ops.cast(self.attentional.kernel, x.dtype)
            weights["context_kernel"], state_part = ops.split(kernel, [attention.context_size], axis=0)
            state_kernels.append(state_part)
            weights["feeding_kernel"] = read_kernel
        weights["state_kernel"] = (
            state_kernels[0] if len(state_kernels) == 1 else ops.concatenate(state_kernels, axis=1)
        )
        if state_bias is not None:
            rest = weights["state_kernel"].shape[1] - state_bias.shape[0]
            weights["state_bias"] = ops.pad(state_bias, ((0, rest),))
        outputs, contexts, alphas = attention_loop.run(
            attention.score,
            z,
            tuple(states),
            weights,
            tuple(ops.cast(p, x.dtype) for p in attention.parameters()),
            query_cell=query_cell,
            context_cell=context_cell,
            query_size=0 if query is None else query.shape[1],
        )
        alphas = ops.mean(ops.cast(alphas, "float32"), axis=2)  # [T, B, S]
        return tuple(ops.transpose(y, (1, 0, 2)) for y in (outputs, contexts, alphas))

    def _after_layer(self, i, x, y):
        """Norm, dropout and residual connection of layer `i`, on `[B, T, U]`."""
        if self.norms:
            y = self.norms[i](y)
        y = self.drops[i](y)
        return x + y if self.residual and x.shape[-1] == y.shape[-1] else y

    def step(self, x, state, memory):
        prepared = memory["attention"]
        embeddings = x = ops.cast(x, self.compute_dtype)  # [B·K, E]

        def attend(query):
            """`[B·K, U]` → contexts `[B·K, C]` and weights `[B·K, S]`; the hypotheses of a sentence take the place of T."""
            return tuple(
                of_hypotheses(y)
                for y in apply(self.attention, of_sources(query, memory["mask"], query.shape[-1:]), prepared)
            )

        after, context, weights = {"layers": []}, None, None
        for i, (layer, before) in enumerate(zip(self.recurrent, state["layers"], strict=True)):
            cell_input = x
            if i == 0 and self.attention_place == "before":
                context, weights = attend(before[0])
                cell_input = ops.concatenate([x, context], axis=-1)
            elif i == 0 and self.attention_place == "after":
                cell_input = ops.concatenate([x, state["attentional"]], axis=-1)
            y, last = apply(layer.cell, cell_input, list(before), training=False)
            if i == 0 and self.attention_place == "between":
                context, weights = attend(y)
                y, last = apply(self.second.cell, context, last, training=False)
            elif i == 0 and self.attention_place == "after":
                context, weights = attend(y)
                y = after["attentional"] = self.attentional(ops.concatenate([context, y], axis=-1))
            after["layers"].append(list(last) if isinstance(last, list | tuple) else [last])
            x = self._after_layer(i, ops.expand_dims(x, 1), ops.expand_dims(y, 1))[:, 0]
        features, weights = self._features(x, context, weights, embeddings, attend)
        return features, after, weights

    def stack(self):
        groups = [[layer, *self.norms[i : i + 1]] for i, layer in enumerate(self.recurrent)]
        groups[0] = [*groups[0], *filter(None, [self.second, self.bridge])]
        groups[0 if self.attention_place != "above" else -1].append(self.attention)
        groups[-1].extend(filter(None, [self.attentional, self.deep]))
        return groups
