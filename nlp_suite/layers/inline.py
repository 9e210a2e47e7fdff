"""Stock form of our layers: the same computation by Keras's layers and `keras.ops` only.

Most of our layers keep their weights in stock sublayers, so running their `call` on symbolic tensors leaves only stock
layers and operations in a functional model. Those with weights of their own multiply by them with `product`, and say so
with `has_stock_form = True`. Recurrent layers share weights and config with Keras's and are replaced by them.
"""

import keras
from keras import ops

CELLS = (keras.layers.SimpleRNNCell, keras.layers.LSTMCell, keras.layers.GRUCell)


def apply(layer, *args, **kwargs):
    """Calls `layer`; on symbolic tensors (`keras.KerasTensor`) puts its stock form into the graph instead.

    Symbolic tensors reach a layer's `call` only when someone runs `call` of an enclosing layer on them, which is how a
    plain functional model is made: `keras.Model(tokens, model.call(tokens))`. The layer must be built.
    """
    if not isinstance(args[0], keras.KerasTensor):
        return layer(*args, **kwargs)
    if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
        return stock_recurrent(layer)(*args, **kwargs)
    if isinstance(layer, CELLS):
        return _with_own_name(layer)(*args, **kwargs)
    return layer.call(*args, **kwargs)


def is_symbolic(x):
    """Whether a tensor has no values: a functional model is being made."""
    return isinstance(x, keras.KerasTensor)


def product(x, kernel, bias=None):
    """`x` `[..., D]` times `kernel` `[D, V]`, plus `bias` `[V]`; of symbolic tensors by a `keras.layers.Dense` with these weights."""
    if not is_symbolic(x):
        y = ops.matmul(x, ops.cast(kernel, x.dtype))
        return y if bias is None else y + ops.cast(bias, y.dtype)
    dense = keras.layers.Dense(kernel.shape[1], use_bias=bias is not None, dtype=x.dtype)
    dense.build((*[None] * (len(x.shape) - 1), kernel.shape[0]))
    dense.set_weights([ops.convert_to_numpy(weight) for weight in (kernel, bias) if weight is not None])
    return dense(x)


def reshaped(x, shape):
    """`ops.reshape`; of symbolic tensors, which may not know the first two sizes, `[B, T, …]` stay what they are."""
    return keras.layers.Reshape((-1, *shape[2:]))(x) if is_symbolic(x) else ops.reshape(x, shape)


def of_sources(x, memory, features):
    """`[B·K, D]`, K hypotheses of each source, those of a source beside each other: `[B, K, *features]`; symbolic: K is 1.

    Args:
        x: row b·K + k is hypothesis k of source b.
        memory: a tensor with B rows.
        features: shape of the D features of a row.
    """
    return (
        keras.layers.Reshape((1, *features))(x)
        if is_symbolic(x)
        else ops.reshape(x, (ops.shape(memory)[0], -1, *features))
    )


def of_hypotheses(x):
    """The rows of `of_sources`, `[B, K, D]`, below each other again: `[B·K, D]`."""
    return x[:, 0] if is_symbolic(x) else ops.reshape(x, (-1, ops.shape(x)[-1]))


def constant(x, like):
    """A tensor that depends on nothing; beside symbolic tensors as NumPy array, which every program finds within the graph.

    A tensor of a backend is kept outside the functions that are traced from a functional model, and exports of those
    would ask for it as another input.
    """
    return ops.convert_to_numpy(x) if is_symbolic(like) else x


def log1p(x):
    """log(1 + x); of symbolic tensors by operations that ONNX has, too."""
    return ops.log(1.0 + x) if is_symbolic(x) else ops.log1p(x)


def expm1(x):
    """exp(x) − 1, as `log1p`."""
    return ops.exp(x) - 1.0 if is_symbolic(x) else ops.expm1(x)


def stock_recurrent(layer, **changes):
    """A new Keras recurrent layer with the weights of ours; `changes` of its config, of both directions where there are two."""
    stock = _unbuilt(layer, changes)
    weights = layer.get_weights()
    stock.build((None, None, weights[0].shape[0]))
    stock.set_weights(weights)
    return stock


def _with_own_name(cell):
    """A new cell with the weights of a stock one: names are unique in a functional model."""
    config = cell.get_config()
    config.pop("name")
    stock = type(cell).from_config(config)
    stock.build((None, cell.kernel.shape[0]))
    stock.set_weights(cell.get_weights())
    return stock


def _unbuilt(layer, changes):
    config = layer.get_config()
    config.pop("name")
    config.pop("recurrent_weight_dropout", None)  # for training only
    if isinstance(layer, keras.layers.Bidirectional):
        forward, backward = _unbuilt(layer.forward_layer, changes), _unbuilt(layer.backward_layer, changes)
        return keras.layers.Bidirectional(forward, merge_mode=layer.merge_mode, backward_layer=backward)
    stock = next(c for c in (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN) if isinstance(layer, c))
    return stock.from_config({**config, **changes})
