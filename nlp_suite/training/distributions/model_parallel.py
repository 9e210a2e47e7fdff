"""A pretrained Transformer's weights are shared out over devices of this process; groups of devices share the batch."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import Field

from nlp_suite.backend import chosen_backend
from nlp_suite.config import Experiment
from nlp_suite.errors import ConfigError, UsageError
from nlp_suite.registry import DISTRIBUTIONS
from nlp_suite.training.distributions.base import Distribution, DistributionSettings, World, distributed
from nlp_suite.training.distributions.data_parallel import check_rows_shared
from nlp_suite.training.launch import Launch

ENCODER = (  # Keras's MultiHeadAttention, whose kernels are [D, H, d] and [H, d, D], and two dense layers
    (r"self_attention_layer/(query|key|value)/kernel", 1),
    (r"self_attention_layer/(query|key|value)/bias", 0),
    (r"self_attention_layer/attention_output/kernel", 0),
    (r"feedforward_intermediate_dense/kernel", 1),
    (r"feedforward_intermediate_dense/bias", 0),
    (r"feedforward_output_dense/kernel", 0),
)
DECODER = (  # those of `GroupedAttention`, [D, H d] and [H d, D], and a feed-forward network that may be gated
    (r"_attention_(query|key|value)/kernel", 1),
    (r"_attention_(query|key|value)/bias", 0),
    (r"_attention_output/kernel", 0),
    (r"_(gate|expand)/kernel", 1),
    (r"_(gate|expand)/bias", 0),
    (r"_contract/kernel", 0),
)
TABLES = (
    (r"embedding[^/]*/embeddings", 0),
    (r"embedding[^/]*/embeddings", 1),
)  # by rows, or where these do not divide, columns
LAYOUT = tuple((re.compile(f"{path}$"), axis) for path, axis in (*ENCODER, *DECODER, *TABLES))
"""Paths of the variables of all families, and the axis that is cut: that of the heads, and that of the hidden units, so that the
devices need a sum after attention and one after the feed-forward network only (Megatron-LM: Shoeybi et al. 2019)."""


def cut_axis(path: str, shape: Sequence[int], devices: int) -> int | None:
    """The axis along which a variable is cut into equal parts.

    Args:
        path: of the variable.
        shape: of the variable.
        devices: how many parts.

    Returns:
        The axis; None where every device has the whole, as of norms, or of what cannot be cut equally.

    Example:
        >>> cut_axis("language_model/block_0/block_0_expand/kernel", (768, 3072), 4)
        1
    """
    axes = (axis for pattern, axis in LAYOUT if pattern.search(path))
    return next((axis for axis in axes if axis < len(shape) and shape[axis] % devices == 0), None)


class ModelParallelSettings(DistributionSettings):
    """How many devices share a model."""

    devices: int | None = Field(
        None,
        ge=1,
        le=2**16,
        description="devices that share the weights; others are in further groups, which share the batch. Default: all",
    )


@DISTRIBUTIONS.register(ModelParallelSettings)
class ModelParallel(Distribution):
    """Model parallelism for `backbone: preset`: weights, their gradients and the optimiser's state are shared out.

    Every group of devices computes its rows of the batch of the config, so that the weights are those of one device but for the
    order of sums.

    Args:
        devices: how many are in a group; None: all.
    """

    def __init__(self, devices: int | None = None):
        self.devices = devices

    def check(self, experiment: Experiment, launch: Launch) -> None:
        if launch.processes > 1:
            raise UsageError(
                f"training.distribution: model_parallel is for the devices of one process, and {launch.processes} were started "
                f"({launch.by}): use data_parallel, or start one process"
            )
        if experiment.backbone.name != "preset":
            raise ConfigError(
                f"training.distribution: model_parallel is for backbone: preset, not {experiment.backbone.name!r}: use data_parallel"
            )
        if (backend := chosen_backend()) != "jax":
            raise UsageError(
                f"training.distribution: model_parallel is not for Keras backend {backend!r}: use KERAS_BACKEND=jax"
            )

    @contextmanager
    def world(self, launch: Launch, facts: Mapping[str, Any], settings: Any) -> Iterator[World]:
        import keras

        devices = keras.distribution.list_devices()
        size = self.devices or len(devices)
        if len(devices) % size:
            raise UsageError(
                f"training.distribution.devices is {size}, and the {len(devices)} devices of this process cannot be grouped so; "
                f"allowed: {', '.join(str(n) for n in range(1, len(devices) + 1) if len(devices) % n == 0)}"
            )
        groups = len(devices) // size
        check_rows_shared(settings, groups, "groups of devices")
        if len(devices) == 1:
            yield World()
            return
        mesh = keras.distribution.DeviceMesh((groups, size), ("batch", "model"), devices)
        with distributed(_layout(mesh)):
            yield World(devices=groups)


def _layout(mesh: Any) -> Any:
    """Keras's distribution over a mesh, by `cut_axis`."""
    import keras

    class ByPath(keras.distribution.ModelParallel):
        def get_variable_layout(self, variable: Any) -> Any:
            if getattr(variable, "_layout", None) is not None:
                return variable._layout
            axes: list[str | None] = [None] * len(variable.shape)
            axis = cut_axis(variable.path, variable.shape, mesh.shape[1])
            if axis is not None:
                axes[axis] = "model"
            return keras.distribution.TensorLayout(axes, mesh)

    return ByPath(layout_map=keras.distribution.LayoutMap(mesh), batch_dim_name="batch", auto_shard_dataset=False)
