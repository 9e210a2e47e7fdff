"""What SimpleRNN, LSTM and GRU share as Keras layers: masks, directions, dropout and the choice of implementation."""

from abc import abstractmethod
from contextlib import contextmanager

import keras
from keras import ops

from nlp_suite.errors import ConfigError
from nlp_suite.layers import bptt, serving_recurrence
from nlp_suite.layers.serving_graph import is_serving_graph


class ExplicitBPTT:
    """Mixin that replaces the time loop of `keras.layers.SimpleRNN`, `LSTM` or `GRU` by `bptt.run`.

    It comes before the Keras layer in the bases. What the explicit loop does not cover (`unroll=True`, an activation
    without a known derivative, `GRU(reset_after=False)`) runs as in Keras, and so does what cuDNN is preferred for.

    Args:
        recurrent_weight_dropout: share of the recurrent kernel's weights dropped in training, in [0, 1): DropConnect as
            in AWD-LSTM (Merity et al., 2018). One mask holds for all steps of a call; the other weights are scaled by
            1 / (1 - rate). Part of the configuration where it is not 0.

    Raises:
        ConfigError: a rate out of range.

    Attributes:
        gate_order: Keras's gate numbers in the order that the layer's `Recurrence` wants.
    """

    gate_order: tuple[int, ...] = (0,)

    def __init__(self, *args, recurrent_weight_dropout=0.0, **kwargs):
        if not 0 <= recurrent_weight_dropout < 1:
            raise ConfigError(f"recurrent_weight_dropout must be in [0, 1), got {recurrent_weight_dropout}")
        super().__init__(*args, **kwargs)
        self.recurrent_weight_dropout = recurrent_weight_dropout
        if recurrent_weight_dropout and keras.backend.backend() != "tensorflow":
            self.use_cudnn = False  # `Bidirectional` would bypass this layer and give cuDNN the kernel without dropout

    def get_config(self):
        rate = self.recurrent_weight_dropout
        return {**super().get_config(), **({"recurrent_weight_dropout": rate} if rate else {})}

    @contextmanager
    def _dropped_weights(self, training):
        """Within the context the cell's recurrent kernel has weights dropped, whatever computes with it."""
        if not training or not self.recurrent_weight_dropout:
            yield
            return
        attributes = vars(self.cell)  # bypasses Keras's tracking of variables
        kernel = attributes["recurrent_kernel"]
        rate = self.recurrent_weight_dropout
        # Not `keras.random.dropout`, which ignores the generator on PyTorch.
        keep = keras.random.uniform(kernel.shape, seed=self.cell.seed_generator) >= rate  # [U, G*U]
        dropped = ops.where(keep, ops.convert_to_tensor(kernel) / (1 - rate), 0)
        attributes["recurrent_kernel"] = ops.cast(dropped, self.compute_dtype)
        try:
            yield
        finally:
            attributes["recurrent_kernel"] = kernel

    @abstractmethod
    def recurrence(self):
        """The layer's `bptt.Recurrence`."""
        raise NotImplementedError

    def biases(self):
        """The bias of the input projection and that of the recurrent one, [G*U] or None each."""
        return self.cell.bias, None

    def supports_explicit_loop(self):
        """Whether the explicit loop covers this configuration."""
        activations = (self.cell.activation, getattr(self.cell, "recurrent_activation", keras.activations.linear))
        return not self.unroll and self.cell.dropout < 1 and all(a in bptt.DERIVATIVES for a in activations)

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Runs the time loop; the contract is that of `keras.layers.RNN.inner_loop`.

        Args:
            sequences: [B, T, E].
            initial_state: tensor [B, U], or list of them with the output first.
            mask: None or bool [B, T]; False steps, wherever they are, leave the states as they were.
            training: bool. Whether dropout is on.

        Returns:
            The last output [B, U], the outputs [B, T, U] (in the order of computation with `go_backwards`; [B, 1, U]
            without `return_sequences`), and the list of last states [B, U].
        """
        with self._dropped_weights(training):
            return self._loop(sequences, keras.tree.flatten(initial_state), keras.tree.flatten(mask)[0], training)

    def _loop(self, sequences, states, mask, training):
        """`inner_loop` by the implementation that is best for this case."""

        def keras_loop():
            return super(ExplicitBPTT, self).inner_loop(sequences, states, mask=mask, training=training)

        def explicit_loop():
            return self._explicit_loop(sequences, states, mask, training)

        if not self.supports_explicit_loop():
            return keras_loop()
        if not training and is_serving_graph():
            return serving_recurrence.run(self, sequences, states, mask)
        if not self._prefers_cudnn(mask):
            return explicit_loop()
        if mask is None or self.use_cudnn is True:
            return keras_loop()
        return ops.cond(_right_padded(mask), keras_loop, explicit_loop)

    def _prefers_cudnn(self, mask):
        """Whether Keras's loop should run, which chooses cuDNN by itself."""
        use_cudnn = getattr(self, "use_cudnn", False)
        if use_cudnn != "auto":
            return bool(use_cudnn)
        if self.cell.recurrent_dropout or not self.cell.use_bias:
            return False
        if (self.cell.activation, self.cell.recurrent_activation) != (
            keras.activations.tanh,
            keras.activations.sigmoid,
        ):
            return False
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            return bool(tf.config.list_logical_devices("GPU"))
        if keras.backend.backend() == "torch":
            import torch

            return mask is None and torch.cuda.is_available()
        return False

    def _explicit_loop(self, sequences, states, mask, training):
        # `stateless_call` of the layer comes here without `__call__`, which would cast.
        x = ops.transpose(ops.cast(sequences, self.compute_dtype), (1, 0, 2))  # [T, B, E]
        steps = None if mask is None else ops.expand_dims(ops.transpose(ops.cast(mask, "bool")), -1)  # [T, B, 1]
        input_bias, recurrent_bias = self.biases()
        outputs, states = bptt.run(
            self.recurrence(),
            self._input_projection(x, input_bias, training),
            self.by_gate(self.cell.recurrent_kernel, x.dtype),
            tuple(states),
            bias=None if recurrent_bias is None else self.by_gate(recurrent_bias, x.dtype),
            mask=None if steps is None else ops.cast(steps, x.dtype),
            dropout_masks=self._recurrent_dropout_masks(states[0], training),
            reverse=self.go_backwards,
            sequences=self.return_sequences,
        )
        last = states[0]  # [B, U]
        if steps is not None:
            last = self._masked_last(last, steps)
        if outputs is None:
            return last, ops.expand_dims(last, 1), list(states)
        if steps is not None:
            outputs = self._masked_outputs(outputs, steps)
        if self.go_backwards:
            outputs = ops.flip(outputs, axis=0)
        return last, ops.transpose(outputs, (1, 0, 2)), list(states)

    def _masked_outputs(self, outputs, steps):
        """What Keras outputs at masked steps: 0, or the last output, which is 0 before the first step that counts."""
        if self.zero_output_for_mask:
            seen = steps
        else:
            counts = ops.cast(steps, "int32")
            counts = ops.flip(counts, axis=0) if self.go_backwards else counts
            seen = ops.cumsum(counts, axis=0) > 0  # [T, B, 1]
            seen = ops.flip(seen, axis=0) if self.go_backwards else seen
        return ops.where(seen, outputs, ops.zeros_like(outputs))

    def _masked_last(self, last, steps):
        if self.zero_output_for_mask:
            seen = steps[0] if self.go_backwards else steps[-1]  # [B, 1]
        else:
            seen = ops.any(steps, axis=0)
        return ops.where(seen, last, ops.zeros_like(last))

    def by_gate(self, weight, dtype):
        """The weight [..., G*U] with the gates in `gate_order`."""
        weight = ops.cast(weight, dtype)
        if self.gate_order == tuple(range(len(self.gate_order))):
            return weight
        parts = ops.split(weight, len(self.gate_order), axis=-1)
        return ops.concatenate([parts[gate] for gate in self.gate_order], axis=-1)

    def _input_projection(self, x, bias, training):
        """[T, B, E] -> [T, B, G*U] by one product, or one per gate where the gates' dropout masks differ."""
        kernel = self.by_gate(self.cell.kernel, x.dtype)
        masks = self.cell.get_dropout_mask(x[0]) if training and self.cell.dropout else None
        if isinstance(masks, (list, tuple)):
            parts = ops.split(kernel, len(self.gate_order), axis=-1)
            z = ops.concatenate(
                [bptt.dense(x * masks[gate], part) for gate, part in zip(self.gate_order, parts, strict=True)], axis=-1
            )
        else:
            z = bptt.dense(x if masks is None else x * masks, kernel)
        return z if bias is None else z + self.by_gate(bias, x.dtype)

    def _recurrent_dropout_masks(self, state, training):
        """None or [G, B, U], scaled; the same for all steps (Gal and Ghahramani, 2016)."""
        if not training or not self.cell.recurrent_dropout:
            return None
        masks = self.cell.get_recurrent_dropout_mask(state)
        masks = masks if isinstance(masks, (list, tuple)) else [masks]
        return ops.stack([masks[gate] for gate in self.gate_order])


def _right_padded(mask):
    """Whether every row of the mask [B, T] begins with a True and has none after its first False; a scalar bool."""
    mask = ops.cast(mask, "bool")
    never_rises = ops.logical_or(mask[:, :-1], ops.logical_not(mask[:, 1:]))
    return ops.logical_and(ops.all(mask[:, 0]), ops.all(never_rises))
