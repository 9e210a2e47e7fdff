"""A functional model of stock Keras 3 layers in the words of Keras 2: its configuration as JSON, and its weights by name."""

from collections.abc import Iterator
from typing import Any

import numpy as np

VERSION = "2.15.0"  # of Keras, which files say that they were written by
_UNKNOWN = {  # keys that Keras 2 lacks; what they say has no effect on an answer
    "build_config", "input_axes", "lora_alpha", "lora_rank", "module", "optional", "output_axes", "quantization_config",
    "registered_name", "rms_scaling", "seed", "use_cudnn", "zero_output_for_mask",
}  # fmt: skip
_NO_DATA_FORMAT = {"Cropping1D", "ZeroPadding1D"}
RECURRENT = {"GRU": "gru", "LSTM": "lstm", "SimpleRNN": "simple_rnn"}


def keras2_config(plain: Any) -> dict[str, Any]:
    """`model_config` of Keras 2; masks, which Keras 3 writes as operations, are implied there.

    Args:
        plain: of `nlp_suite.export.layers_model`.
    """
    config = plain.get_config()
    layers = [_layer(layer) for layer in config["layers"] if layer["class_name"] != "NotEqual"]
    ends = {key: [_end(config[key])] for key in ("input_layers", "output_layers")}
    return {
        "class_name": "Functional",
        "config": {"name": config["name"], "trainable": True, "layers": layers, **ends},
    }


def keras2_weights(plain: Any) -> Iterator[tuple[str, list[tuple[str, np.ndarray]]]]:
    """Name of a layer, and its weights in Keras 2's order, with names that TensorFlow.js finds them by."""
    import keras

    for layer in plain.layers:
        named = []
        for weight in layer.weights:
            last = weight.path.rpartition("/")[2]
            above = f"{layer.name}/"
            if isinstance(layer, keras.layers.Bidirectional):
                forward = any(weight is other for other in layer.forward_layer.weights)
                inner = RECURRENT[type(layer.forward_layer).__name__]
                above += f"{'forward' if forward else 'backward'}_{inner}/"
            named.append((above + last, keras.ops.convert_to_numpy(weight)))
        yield layer.name, named


def _end(given: Any) -> list[Any]:
    """Layer, node and tensor of the only input or output."""
    while isinstance(given[0], list):
        (given,) = given
    return list(given)


def _layer(layer: dict[str, Any]) -> dict[str, Any]:
    kind, config = layer["class_name"], _value(layer["config"])
    if kind == "InputLayer":
        config = {
            "batch_input_shape": config["batch_shape"],
            "sparse": False,
            "ragged": False,
            **_only(config, "dtype", "name"),
        }
    elif kind == "Embedding":
        config |= {"input_length": None}
    elif kind in _NO_DATA_FORMAT:
        config.pop("data_format", None)
    elif kind == "Bidirectional":
        for key in ("layer", "backward_layer"):
            config[key]["config"]["name"] = RECURRENT[config[key]["class_name"]]
    nodes = [[[*tensor, {}] for tensor in _tensors(node["args"])] for node in layer["inbound_nodes"]]
    return {"class_name": kind, "config": config, "name": layer["name"], "inbound_nodes": nodes}


def _only(config: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: config[key] for key in keys}


def _value(value: Any) -> Any:
    """A part of a configuration in the words of Keras 2."""
    if isinstance(value, dict):
        if value.get("class_name") == "DTypePolicy":
            return value["config"]["name"]
        return {key: _value(each) for key, each in value.items() if key not in _UNKNOWN}
    return [_value(each) for each in value] if isinstance(value, list | tuple) else value


def _tensors(arguments: Any) -> Iterator[list[Any]]:
    """Layer, node and tensor of every input of a node."""
    if isinstance(arguments, dict) and arguments.get("class_name") == "__keras_tensor__":
        yield arguments["config"]["keras_history"]
    elif isinstance(arguments, list | tuple):
        for each in arguments:
            yield from _tensors(each)
