"""An encoder's weights and a classifier's head under the names of the model's authors."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_suite.export.classifier_head import ClassifierHead, Layer
from nlp_suite.pretrained.encoder import TABLES, AuthorsHead, Encoder

LINEAR = 2.0**-5  # up to here `(8 tanh(u / 2) - tanh(u)) / 3` is u but for less than float32's rounding: 0.033 u⁴

Tensors = dict[str, np.ndarray]


class DoesNotFitError(Exception):
    """The authors' classifier cannot compute what a head does; the message says why."""


def encoder_tensors(backbone: Any, model_ids: np.ndarray) -> Tensors:
    """The weights of a built `PresetBackbone` by the authors' names, without their prefix.

    Args:
        backbone: the network.
        model_ids: the model's id of each of our ids, int64 `[V]`, every id once.
    """
    import keras

    encoder: Encoder = backbone.encoder
    names, shapes = encoder.module_names(), encoder.module_shapes()
    tensors: Tensors = {}
    for module, layer in backbone.modules().items():
        arrays = [np.asarray(keras.ops.convert_to_numpy(weight), np.float32) for weight in layer.weights]
        if module == "tokens":
            table = np.empty_like(arrays[0])
            table[model_ids] = arrays[0]
            arrays = [table]
        elif module == "positions":
            arrays = [np.pad(arrays[0], [(encoder.skipped_positions, 0), (0, 0)])]
        elif module not in TABLES:  # Keras has kernels the other way round, and heads apart
            kernel, bias = arrays
            arrays = [kernel.reshape(shapes[module][::-1]).T, bias.reshape(-1)]
        for kind, array in zip(("weight", "bias"), arrays):
            tensors[f"{names[module]}.{kind}"] = np.ascontiguousarray(array)
    return tensors


def config_of(encoder: Encoder, vocabulary_size: int, head: ClassifierHead, in_class: bool) -> dict[str, Any]:
    """What config.json says.

    Args:
        encoder: the architecture.
        vocabulary_size: ids V of the tokenizer; rows that no token uses are not written.
        head: the classifier.
        in_class: whether the authors' classifier holds it.
    """
    return {
        "architectures": [f"{encoder.class_name}{'ForSequenceClassification' if in_class else 'Model'}"],
        **encoder.model_dump(mode="json"),
        "vocab_size": vocabulary_size,
        "id2label": {str(number): label for number, label in enumerate(head.labels)},
        "label2id": {label: number for number, label in enumerate(head.labels)},
        "problem_type": head.problem,
        "torch_dtype": "float32",
    }


def authors_head(encoder: Encoder, head: ClassifierHead, final_norm: Layer) -> Tensors:
    """A head as the authors' classifier, which computes the same of every text.

    Args:
        encoder: the architecture.
        head: the classifier.
        final_norm: scale and offset of the layer norm whose outputs are the features.

    Returns:
        Tensors by their full names.

    Raises:
        DoesNotFitError: it cannot.
    """
    theirs, size, layers = encoder.authors_head, encoder.features, head.divided_layers()
    called = f"{encoder.class_name}ForSequenceClassification"
    if not layers:
        raise DoesNotFitError("; ".join(head.unsaid[:1]))
    if list(head.pooling) != ["first"]:
        raise DoesNotFitError(f"{called} reads the first token, and pooling is {', '.join(head.pooling)}")
    if len(layers) == 2:
        if theirs.activation != "relu":
            raise DoesNotFitError(f"{called} has {theirs.activation} between its layers, and task.hidden has ReLU")
        inner, outer = layers
    else:
        inner, outer = _two_layers(layers[0], theirs, final_norm)
    units = inner[0].shape[1]
    if units > size:
        raise DoesNotFitError(f"{called} has {size} units between its layers, and {units} are needed")
    spare = size - units
    kernel, bias = np.pad(inner[0], [(0, 0), (0, spare)]), np.pad(inner[1], (0, spare))  # [D, D], [D]
    return {
        f"{theirs.inner}.weight": np.ascontiguousarray(kernel.T),
        f"{theirs.inner}.bias": bias,
        f"{theirs.outer}.weight": np.ascontiguousarray(np.pad(outer[0], [(0, spare), (0, 0)]).T),  # [C, D]
        f"{theirs.outer}.bias": outer[1],
    }


def _two_layers(layer: Layer, theirs: AuthorsHead, final_norm: Layer) -> tuple[Layer, Layer]:
    """One dense layer `[D, C]` as two of 2 C units with an activation between them.

    With ReLU: z = relu(z) - relu(-z). With tanh: z = (8 tanh(u / 2) - tanh(u)) / 3 e where u = e z, whose error is 0.033 u⁴,
    relative, and e such that no text brings u beyond `LINEAR`. What a layer norm puts out before scale and offset has at most
    the length √D, which bounds z.
    """
    kernel, bias = layer
    one, zeros = np.eye(kernel.shape[1], dtype=np.float32), np.zeros_like(bias)
    if theirs.activation == "relu":
        both = np.concatenate([kernel, -kernel], 1), np.concatenate([bias, -bias])
        return both, (np.concatenate([one, -one]), zeros)
    scale, offset = final_norm
    highest = np.sqrt(len(kernel)) * np.linalg.norm(kernel * scale[:, None], axis=0) + np.abs(offset @ kernel + bias)
    small = np.exp2(np.floor(np.log2(LINEAR / np.maximum(highest, 1e-6)))).astype(np.float32)  # e, [C]
    inner = np.concatenate([kernel * small, kernel * small / 2], 1), np.concatenate([bias * small, bias * small / 2])
    return inner, (np.concatenate([-one / (3 * small), 8 * one / (3 * small)]), zeros)


def head_tensors(head: ClassifierHead) -> Tensors:
    """A head for head.safetensors, as head.py reads it."""
    tensors = {} if head.scores is None else {"attention.weight": head.scores[None, :]}
    for number, (kernel, bias) in enumerate(head.divided_layers()):
        tensors |= {f"dense.{number}.weight": np.ascontiguousarray(kernel.T), f"dense.{number}.bias": bias}
    return tensors


def with_prefix(tensors: Mapping[str, np.ndarray], encoder: Encoder) -> Tensors:
    """An encoder's tensors as part of a model with a head."""
    return {encoder.prefix + name: array for name, array in tensors.items()}
