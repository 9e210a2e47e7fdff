"""Shares pretrained models out over the devices of this process; prints what they compute and train beside one device.

XLA_FLAGS=--xla_force_host_platform_device_count=8 python tests/training/model_parallel_runs.py FOLDER
"""

import numpy as np

from nlp_suite.training.checks import make_distribution
from nlp_suite.training.launch import Launch
from nlp_suite.training.run import Run
from nlp_suite.training.train import train
from tests.pretrained import encoders
from tests.training import test_causal_start, test_preset_start


def largest_share(variables):
    """The share of all numbers that the device has that has the most."""
    sizes = {}
    for variable in variables:
        for shard in variable.value.addressable_shards:
            sizes[shard.device] = sizes.get(shard.device, 0) + shard.data.size
    return max(sizes.values()) / sum(int(np.prod(variable.shape)) for variable in variables)


def compare_presets(folder, distance):
    """How far the weights of a decoder, and of an encoder with low-rank updates, are from those of one device.

    Args:
        folder: where runs are made.
        distance: of two runs.

    Returns:
        Name → distance, and `share`: of the decoder's numbers, those that the device has that has the most.
    """
    llama, bert = test_causal_start.write_model(folder / "llama"), encoders.write_bert(folder / "bert")
    settings = {"batch_size": 2, "epochs": 20, "clip_norm": 0.5, "ema": 0.9}
    plain = (
        "training.optimizer=sgd",
        "training.learning_rate=0.5",
    )  # Adam's quotients of tiny gradients made 1.3e-6 of 1e-7
    experiments = {
        "decoder": lambda d: test_causal_start.chosen(llama, folder, f"training.distribution={d}", **settings),
        "encoder": lambda d: test_preset_start.chosen(
            bert, folder / "cache", f"training.distribution={d}", *plain, lora_rank=2
        ),
    }
    distribution = "{name: model_parallel, devices: 4}"
    found = {}
    for name, make in experiments.items():
        for kind, value in (("one", "none"), ("shared", distribution)):
            train(make(value), folder / f"{name}-{kind}")
        found[name] = distance(folder / f"{name}-one", folder / f"{name}-shared")
    experiment = experiments["decoder"](distribution)
    with make_distribution(experiment).world(Launch(), {}, experiment.training):
        run = Run(folder / "decoder-shared")
        found["share"] = largest_share(run.task.model(run.experiment.backbone, run.assets).variables)
    return found
