"""All steps of an LSTM by TensorFlow's `BlockLSTMV2`: one op where the loop runs about 25 a step."""

from typing import Any

import keras


def is_covered(layer: Any) -> bool:
    """Whether the op computes what the layer does: Keras's activations and float32."""
    cell = layer.cell
    functions = (cell.activation, cell.recurrent_activation) == (keras.activations.tanh, keras.activations.sigmoid)
    return functions and layer.compute_dtype == "float32" and not layer.unroll


def run(layer: Any, sequences: Any, states: Any, mask: Any) -> tuple[Any, Any, list[Any]]:
    """The layer's time loop, forward only.

    Args:
        layer: an `nlp_suite.layers.lstm.LSTM`.
        sequences: [B, T, E].
        states: the initial h and c, [B, U] each.
        mask: None or bool [B, T], right-padded, with at least one step that counts in every row.

    Returns:
        As `ExplicitBPTT.inner_loop`.
    """
    import tensorflow as tf

    cell, reverse = layer.cell, layer.go_backwards
    x = tf.transpose(sequences, [1, 0, 2])  # [T, B, E]
    length = None if mask is None else tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)  # [B]

    def in_order(x):
        """Steps in the order of computation, or back: padding stays where it is."""
        if not reverse:
            return x
        return tf.reverse(x, [0]) if length is None else tf.reverse_sequence(x, length, seq_axis=0, batch_axis=1)

    peephole = tf.zeros([cell.units])  # unused
    steps = tf.raw_ops.BlockLSTMV2(
        seq_len_max=tf.shape(x, tf.int64)[0],
        x=in_order(x),
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

    def last(values):  # [T, B, U] -> [B, U]
        return values[-1] if length is None else tf.gather_nd(values, tf.stack([length - 1, tf.range(tf.size(length))], 1))

    h, c = last(steps.h), last(steps.cs)
    if not layer.return_sequences:
        return h, h[:, None], [h, c]
    outputs = tf.transpose(steps.h if length is None else in_order(steps.h), [1, 0, 2])  # [B, T, U]
    if mask is not None:
        padding = 0.0 if reverse or layer.zero_output_for_mask else h[:, None]
        outputs = tf.where(mask[:, :, None], outputs, padding)
    if reverse and length is not None:
        outputs = tf.reverse(outputs, [1])
    return h, outputs, [h, c]
