"""Every device computes its rows of the same batch: all devices of this process, or of all processes that were started."""

import atexit
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from pydantic import Field

from nlp_suite import progress
from nlp_suite.backend import chosen_backend
from nlp_suite.config import Experiment
from nlp_suite.errors import ConfigError, NlpSuiteError, TrainingError, UsageError
from nlp_suite.registry import DISTRIBUTIONS
from nlp_suite.training.distributions.base import Distribution, DistributionSettings, World, distributed
from nlp_suite.training.launch import Launch, split_address
from nlp_suite.training.peers import Peers
from nlp_suite.training.sameness import compare

DEVICE_LAUNCHERS = ("SLURM", "Open MPI")  # where JAX gives each process of a machine one of its GPUs
CONNECT, HEARTBEAT, SHUTDOWN = 120, 60, 10  # seconds of JAX's own coordination, whose processes have already met here


class DataParallelSettings(DistributionSettings):
    """How many processes there must be."""

    processes: int | None = Field(
        None, ge=1, le=2**16, description="processes that train together; default: as many as were started"
    )


@DISTRIBUTIONS.register(DataParallelSettings)
class DataParallel(Distribution):
    """Data parallelism: the batch is that of the config, whatever the number of devices, and so are the weights.

    Batch n stays a pure function of the seed and n; each process takes its rows. Gradients are summed over all rows of the batch
    before they are clipped, and dropout is drawn for all of them, so that the weights are those of one device but for
    the order of sums.

    Several processes need JAX; devices of one process may be TensorFlow's, see `nlp_suite.training.shared_steps`.

    Args:
        processes: how many there must be; None: any number.
    """

    def __init__(self, processes: int | None = None):
        self.processes = processes

    def check(self, experiment: Experiment, launch: Launch) -> None:
        if self.processes is not None and self.processes != launch.processes:
            how = f"nlp-suite launch --processes {self.processes} -- train …, or a launcher such as srun"
            started = f"{launch.processes} were started ({launch.by})" if launch.by else "one was started"
            raise UsageError(f"training.distribution.processes is {self.processes}, and {started}: use {how}")
        backend = chosen_backend()
        if launch.processes > 1 and backend != "jax":
            raise UsageError(
                f"several processes cannot train together on Keras backend {backend!r}: use KERAS_BACKEND=jax"
            )
        if backend == "torch":
            raise UsageError(
                "training.distribution: data_parallel is not for Keras backend 'torch': use KERAS_BACKEND=jax"
            )
        if launch.processes > 1 and experiment.training.features == "cached":
            raise ConfigError("training.features: cached is for one process: use training.features: computed")
        check_rows_shared(experiment.training, launch.processes, "processes")

    @contextmanager
    def world(self, launch: Launch, facts: Mapping[str, Any], settings: Any) -> Iterator[World]:
        if launch.processes == 1:
            with _spread(World()) as world:
                check_rows_shared(settings, world.devices, "devices")
                if world.sharing and settings.xla:
                    raise ConfigError(
                        f"training.xla compiles a step for one device, and {world.devices} share it: use training.xla: false, or "
                        "KERAS_BACKEND=jax, which compiles it for all"
                    )
                yield world
            return
        quiet, peers = progress.is_quiet(), Peers(launch)
        try:
            progress.set_quiet(quiet or launch.process > 0)
            compare(peers.gather("begin", dict(facts)))
            _join(peers)
            with _spread(World(launch.processes, launch.process, peers=peers)) as world:
                check_rows_shared(settings, world.devices, "devices")
                yield world
                peers.gather("end")
        except BaseException as error:
            _fail(peers, error)
            raise
        finally:
            progress.set_quiet(quiet)
        peers.leave()


def check_rows_shared(settings: Any, number: int, what: str) -> None:
    """Refuses a number of rows that devices cannot share equally; batches of tokens are filled up instead.

    Args:
        settings: the training section.
        number: of devices.
        what: what they are, for the message.

    Raises:
        ConfigError: with the nearest numbers that can be shared.
    """
    rows = settings.batch_size
    if settings.batch_tokens is not None or rows % number == 0:
        return
    below, above = rows // number * number, -(-rows // number) * number
    nearest = " and ".join(f"{size:,}" for size in (below, above) if size)
    raise ConfigError(
        f"training.batch_size {rows:,} cannot be shared equally by {number} {what}; the nearest that can: {nearest}"
    )


def _join(peers: Peers) -> None:
    """Makes the devices of all processes known to JAX in each of them, once a process."""
    import jax

    launch = peers.launch
    if jax.distributed.is_initialized():
        return
    let_senders_finish()
    host, _ = split_address(launch.coordinator)
    address = peers.gather("coordinator", _free_port() if launch.process == 0 else None)
    host = f"[{host}]" if ":" in host else host
    try:
        jax.distributed.initialize(
            f"{host}:{address[0]}",
            launch.processes,
            launch.process,
            cluster_detection_method=None if launch.by in DEVICE_LAUNCHERS else "deactivate",
            initialization_timeout=CONNECT,
            heartbeat_timeout_seconds=HEARTBEAT,
            shutdown_timeout_seconds=SHUTDOWN,
        )
    except RuntimeError as error:
        raise TrainingError(f"JAX could not connect the processes: {error}") from error
    here = [f"{device.platform} {device.device_kind}" for device in jax.local_devices()]
    compare([{"devices": devices} for devices in peers.gather("devices", here)])


def let_senders_finish() -> None:
    """Has threads that wake up wait for the one that runs, where Linux shares out the cores: this thread's and those it starts.

    Gloo, by which JAX sums on processors, has a thread that asks again and again for what it may not have while another one sends.
    Where it takes that one's core, as it does with few of them, each message costs a turn of the scheduler, 4 ms.
    """
    if hasattr(os, "SCHED_BATCH") and os.sched_getscheduler(0) == os.SCHED_OTHER:
        with suppress(OSError):  # a container may forbid it
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _fail(peers: Peers, error: BaseException) -> None:
    """Ends the other processes with this one, which then must not wait for them at its exit, as JAX would.

    Raises:
        TrainingError: another process' end is the cause of the error.
    """
    atexit.register(_exit_at_once, 1 if isinstance(error, Exception) else 130)  # comes before what JAX has registered
    if isinstance(error, NlpSuiteError):
        peers.leave(str(error))
    elif isinstance(error, Exception):
        peers.settle(error)
        peers.leave(f"{type(error).__name__}: {error}")
    else:
        peers.leave("it was interrupted")


def _exit_at_once(code: int) -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _spread(world: World) -> Iterator[World]:
    """Networks that are made within the context are copied to all devices, and batches shared by them."""
    import keras

    devices = keras.distribution.list_devices()
    if len(devices) == 1:
        yield world
        return
    if keras.backend.backend() == "tensorflow":  # where Keras clips each device's gradients before it sums them
        yield World(devices=len(devices), sharing=tuple(devices))
        return
    with distributed(keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)):
        yield World(world.processes, world.process, len(devices), world.peers)
