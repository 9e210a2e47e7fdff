"""Recurrent layers in an exported graph: forward only and right-padded, so that a step has half of the ops of training.

No mask is looked at within the loop: what a row computes after its end is thrown away. Backwards, a row is turned round
with its padding left where it is. Steps are all states [T, B, U] after each of them, in the order of computation.
"""

from typing import Any

import keras
from keras import ops

from nlp_suite.layers import bptt


def run(layer: Any, sequences: Any, states: Any, mask: Any) -> tuple[Any, Any, list[Any]]:
    """The time loop of a layer, on TensorFlow.

    Args:
        layer: one with `ExplicitBPTT`.
        sequences: [B, T, E].
        states: the initial states, [B, U] each.
        mask: None or bool [B, T], right-padded.

    Returns:
        As `ExplicitBPTT.inner_loop`.
    """
    import tensorflow as tf

    backwards = layer.go_backwards
    length = None if mask is None else tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)  # [B]

    def turned(x):
        if not backwards:
            return x
        return tf.reverse(x, [0]) if length is None else tf.reverse_sequence(x, length, seq_axis=0, batch_axis=1)

    def last(values, initial):  # [T, B, U], [B, U] -> [B, U]
        if length is None:
            return values[-1]
        place = tf.stack([tf.maximum(length - 1, 0), tf.range(tf.size(length))], axis=1)
        return tf.where(length[:, None] > 0, tf.gather_nd(values, place), initial)

    x = turned(tf.transpose(tf.cast(sequences, layer.compute_dtype), [1, 0, 2]))  # [T, B, E]
    steps = _block_lstm(layer.cell, x, states) if _is_block_lstm(layer) else _loop(layer, x, states)
    ends = [last(values, initial) for values, initial in zip(steps, states, strict=True)]
    zero, output = tf.zeros([], ends[0].dtype), ends[0]
    if length is not None:
        seen = mask[:, 0 if backwards else -1] if layer.zero_output_for_mask else length > 0
        output = tf.where(seen[:, None], output, zero)  # [B, U]
    if not layer.return_sequences:
        return output, output[:, None], ends
    outputs = tf.transpose(steps[0] if length is None else turned(steps[0]), [1, 0, 2])  # [B, T, U]
    if length is not None:
        outputs = tf.where(
            mask[:, :, None], outputs, zero if backwards or layer.zero_output_for_mask else output[:, None]
        )
        outputs = tf.reverse(outputs, [1]) if backwards else outputs  # padding is then computed first
    return output, outputs, ends


def _loop(layer, x, states):
    import tensorflow as tf

    recurrence, (input_bias, bias) = layer.recurrence(), layer.biases()
    kernel = layer.by_gate(layer.cell.recurrent_kernel, x.dtype)
    if bias is not None:  # of every row, or it would be joined with the product to an op that takes twice as long
        bias = layer.by_gate(bias, x.dtype) + tf.zeros([tf.shape(x)[1], 1], x.dtype)  # [B, G*U]

    def step(carry, xs):
        inner = ops.matmul(carry[0], kernel)  # [B, G*U]
        new = recurrence.update(recurrence.gates(xs[0], inner if bias is None else inner + bias), carry)
        return tuple(new), tuple(new)

    z = layer._input_projection(x, input_bias, training=False)  # [T, B, G*U]
    return bptt.scan(step, tuple(states), (z,), reverse=False, outputs=len(states))[1]


def _is_block_lstm(layer):
    """Whether TensorFlow's op computes what the layer does: an LSTM with Keras's activations, in float32."""
    if not isinstance(layer, keras.layers.LSTM) or layer.compute_dtype != "float32":
        return False
    functions = layer.cell.activation, layer.cell.recurrent_activation
    return functions == (keras.activations.tanh, keras.activations.sigmoid)


def _block_lstm(cell, x, states):
    """H and c [T, B, U] by the op that runs all steps, where the loop runs about 25 ops a step."""
    import tensorflow as tf

    peephole = tf.zeros([cell.units])  # unused
    steps = tf.raw_ops.BlockLSTMV2(
        seq_len_max=tf.shape(x, tf.int64)[0],
        x=x,
        h_prev=states[0],
        cs_prev=states[1],
        w=tf.concat([tf.convert_to_tensor(cell.kernel), tf.convert_to_tensor(cell.recurrent_kernel)], 0),  # [E+U, 4*U]
        b=tf.zeros([4 * cell.units]) if cell.bias is None else tf.convert_to_tensor(cell.bias),
        wci=peephole,
        wcf=peephole,
        wco=peephole,
        cell_clip=0,
        use_peephole=False,
    )
    return steps.h, steps.cs
