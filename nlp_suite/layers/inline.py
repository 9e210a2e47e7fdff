"""Stock form of our layers: the same computation by Keras's layers and `keras.ops` only.

Our layers keep their weights in stock sublayers, so running their `call` on symbolic tensors leaves only stock layers
and operations in a functional model. Recurrent layers share weights and config with Keras's and are replaced by them.
"""

import keras


def apply(layer, *args, **kwargs):
    """Calls `layer`; on symbolic tensors (`keras.KerasTensor`) puts its stock form into the graph instead.

    Symbolic tensors reach a layer's `call` only when someone runs `call` of an enclosing layer on them, which is how a
    plain functional model is made: `keras.Model(tokens, model.call(tokens))`. The layer must be built.
    """
    if not isinstance(args[0], keras.KerasTensor):
        return layer(*args, **kwargs)
    if isinstance(layer, keras.layers.RNN | keras.layers.Bidirectional):
        return _stock_recurrent(layer)(*args, **kwargs)
    return layer.call(*args, **kwargs)


def _stock_recurrent(layer):
    """A new Keras recurrent layer with the weights of ours."""
    stock = _unbuilt(layer)
    weights = layer.get_weights()
    stock.build((None, None, weights[0].shape[0]))
    stock.set_weights(weights)
    return stock


def _unbuilt(layer):
    config = layer.get_config()
    config.pop("name")
    config.pop("recurrent_weight_dropout", None)  # for training only
    if isinstance(layer, keras.layers.Bidirectional):
        forward, backward = _unbuilt(layer.forward_layer), _unbuilt(layer.backward_layer)
        return keras.layers.Bidirectional(forward, merge_mode=layer.merge_mode, backward_layer=backward)
    stock = next(c for c in (keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN) if isinstance(layer, c))
    return stock.from_config(config)
