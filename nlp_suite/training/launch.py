"""Which of how many processes this one is, as options or the environment of whatever started it say; imports no Keras.

Every process of a training is started with the same command. What tells them apart comes, first found first taken, from the
options `--coordinator`, `--processes` and `--process-id`; the variables that JAX reads (`JAX_COORDINATOR_ADDRESS`,
`JAX_NUM_PROCESSES`, `JAX_PROCESS_ID`), which `nlp-suite launch` sets and a manifest may set; `TF_CONFIG`; those of Kubeflow's
JAXJob, SLURM's `srun`, Open MPI's `mpirun`, and the index of a Kubernetes Indexed Job.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nlp_suite.errors import UsageError

Environment = Mapping[str, str]
PORTS = 4096  # of which a launcher's job number chooses one, at the upper end of them all, as JAX does
REMEDY = "give --coordinator HOST:PORT --processes N --process-id P"


@dataclass(frozen=True)
class Launch:
    """One of the processes that train together.

    Attributes:
        processes: how many there are.
        process: the number of this one, from 0; number 0 writes the run folder.
        coordinator: `HOST:PORT` of process 0, where the others find it; empty where there is one process.
        by: who said so, for messages.
    """

    processes: int = 1
    process: int = 0
    coordinator: str = ""
    by: str = ""


@dataclass(frozen=True)
class _Said:
    """What one place says; None where it does not."""

    by: str
    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None


def find_launch(
    coordinator: str | None = None,
    processes: int | None = None,
    process_id: int | None = None,
    environment: Environment | None = None,
) -> Launch:
    """Finds out how this process was started.

    Args:
        coordinator: `HOST:PORT`, as given as an option.
        processes: their number, as given as an option.
        process_id: that of this one, as given as an option.
        environment: default: that of the process.

    Raises:
        UsageError: something is missing or cannot be.

    Example:
        >>> find_launch(environment={"SLURM_JOB_ID": "7", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2", …})
        Launch(processes=2, process=1, coordinator='node01:61447', by='SLURM')
    """
    places = [
        _Said("the options", coordinator, processes, process_id),
        *_found(os.environ if environment is None else environment),
    ]
    world = _first(places, "processes")
    if world is None:
        if coordinator is not None or process_id is not None:
            raise UsageError(f"--coordinator and --process-id are for several processes: {REMEDY}")
        return Launch()
    by = next(place.by for place in places if place.processes is not None)
    if world < 1:
        raise UsageError(f"{by}: {world} processes; allowed: 1 or more")
    if world == 1:
        return Launch(by=by)
    process, address = _first(places, "process"), _first(places, "coordinator")
    if process is None or not 0 <= process < world:
        given = "no process number" if process is None else f"process number {process}"
        raise UsageError(f"{given} of {world} processes ({by}); allowed: 0 to {world - 1}; {REMEDY}")
    if not address:
        raise UsageError(f"{world} processes ({by}), but nothing says where process 0 is: {REMEDY}")
    split_address(address)
    return Launch(world, process, address, by)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`; the host may be an IPv6 address in brackets.

    Raises:
        UsageError: it is not of that form.
    """
    found = re.fullmatch(r"(\[[0-9a-fA-F:.%]+\]|[^:\[\]\s]+):(\d{1,5})", address)
    if not found or not 1 <= int(found[2]) <= 65535:
        raise UsageError(f"the coordinator {address!r} is not HOST:PORT, such as node01:29400")
    return found[1].strip("[]"), int(found[2])


def _first(places: list[_Said], what: str) -> Any:
    return next((value for place in places if (value := getattr(place, what)) is not None), None)


def _found(environment: Environment) -> Iterator[_Said]:
    for read in (_of_jax, _of_tf_config, _of_kubeflow, _of_slurm, _of_open_mpi, _of_indexed_job):
        if said := read(environment):
            yield said


def _number(environment: Environment, name: str) -> int | None:
    value = environment.get(name)
    if value is None:
        return None
    if not re.fullmatch(r"\d{1,9}", value):
        raise UsageError(f"the variable {name} is {value!r}; allowed: a whole number")
    return int(value)


def _of_jax(environment: Environment) -> _Said:
    return _Said(
        "JAX_NUM_PROCESSES",
        environment.get("JAX_COORDINATOR_ADDRESS"),
        _number(environment, "JAX_NUM_PROCESSES"),
        _number(environment, "JAX_PROCESS_ID"),
    )


def _of_tf_config(environment: Environment) -> _Said | None:
    """`{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}`, perhaps with a chief before them."""
    if not (text := environment.get("TF_CONFIG")):
        return None
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        before = list(cluster.get("chief", []))
        addresses = [*before, *cluster.get("worker", [])]
        process = int(task["index"]) + (len(before) if task["type"] == "worker" else 0)
        if task["type"] not in ("chief", "worker") or not addresses:
            raise ValueError(f"the task {task['type']!r} trains nothing")
        return _Said("TF_CONFIG", str(addresses[0]), len(addresses), process)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise UsageError(f"the variable TF_CONFIG cannot be used ({error}): {text[:200]}") from None


def _of_kubeflow(environment: Environment) -> _Said | None:
    """What Kubeflow's training operator gives the pods of a JAXJob."""
    address = environment.get("COORDINATOR_ADDRESS")
    if not address or "NUM_PROCESSES" not in environment:
        return None
    port = environment.get("COORDINATOR_PORT")
    address = f"{address}:{port}" if port and ":" not in address else address
    return _Said("JAXJob", address, _number(environment, "NUM_PROCESSES"), _number(environment, "PROCESS_ID"))


def _of_slurm(environment: Environment) -> _Said | None:
    """What `srun` sets in each of the tasks of a step."""
    job, nodes = _number(environment, "SLURM_JOB_ID"), environment.get("SLURM_STEP_NODELIST")
    if job is None or not nodes:
        return None
    tasks = _number(environment, "SLURM_STEP_NUM_TASKS")
    address = f"{_first_node(nodes)}:{65536 - PORTS + job % PORTS}"
    return _Said("SLURM", address, tasks, _number(environment, "SLURM_PROCID"))


def _first_node(nodes: str) -> str:
    """The first host of a list such as `node[001-015,020],login`."""
    found = re.match(r"([^,\[]+)(?:\[([^,\-\]]+)[^\]]*\]([^,\[]*))?", nodes)
    if not found:
        raise UsageError(f"the variable SLURM_STEP_NODELIST is {nodes!r}, which names no host")
    return found[1] + (found[2] or "") + (found[3] or "")


def _of_open_mpi(environment: Environment) -> _Said | None:
    """What `mpirun` sets; where process 0 is, only Open MPI up to 4 says: it is the host of `mpirun` itself."""
    processes = _number(environment, "OMPI_COMM_WORLD_SIZE")
    if processes is None:
        return None
    address, uri = None, environment.get("OMPI_MCA_orte_hnp_uri", "")
    if found := re.match(r'"?(\d+)\.\d+;(?:tcp://([^,:]+)|tcp6://\[([^,\]]+))', uri):
        host = found[2] or f"[{found[3]}]"
        address = f"{host}:{65536 - PORTS + int(found[1]) // 4096 % PORTS}"
    return _Said("Open MPI", address, processes, _number(environment, "OMPI_COMM_WORLD_RANK"))


def _of_indexed_job(environment: Environment) -> _Said | None:
    """The index of a pod of an Indexed Job; how many there are and where the first is, the manifest gives as JAX's variables."""
    index = _number(environment, "JOB_COMPLETION_INDEX")
    return None if index is None else _Said("Indexed Job", process=index)
