"""Several processes and devices of one training: how they are found, what is refused, and how they share batches."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import yaml

from nlp_suite.config import load_experiment
from nlp_suite.errors import ConfigError, TrainingError, UsageError
from nlp_suite.training.checks import check_training, make_distribution
from nlp_suite.training.distributions.base import World
from nlp_suite.training.distributions.data_parallel import check_rows_shared, let_senders_finish
from nlp_suite.training.distributions.model_parallel import cut_axis
from nlp_suite.training.feed import shared
from nlp_suite.training.launch import Launch, find_launch
from nlp_suite.training.local_launch import check_local, launch_local
from nlp_suite.training.run import check_same
from nlp_suite.training.sameness import compare

CLUSTER = Path(__file__).parents[2] / "configs" / "cluster"
JAX = {"JAX_COORDINATOR_ADDRESS": "train-0.train:29400", "JAX_NUM_PROCESSES": "4"}
WORKERS = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
SLURM = {"SLURM_JOB_ID": "65537", "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"}
MPI = {"OMPI_COMM_WORLD_SIZE": "8", "OMPI_COMM_WORLD_RANK": "7"}


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, (1, 0, "")),
        ({"JOB_COMPLETION_INDEX": "3"}, (1, 0, "")),
        (JAX | {"JOB_COMPLETION_INDEX": "3"}, (4, 3, "train-0.train:29400")),
        (JAX | {"JAX_PROCESS_ID": "0", "JOB_COMPLETION_INDEX": "3"}, (4, 0, "train-0.train:29400")),
        ({"TF_CONFIG": json.dumps({"cluster": WORKERS, "task": {"type": "worker", "index": 1}})}, (3, 2, "a:1")),
        ({"TF_CONFIG": json.dumps({"cluster": WORKERS, "task": {"type": "chief", "index": 0}})}, (3, 0, "a:1")),
        (
            {"COORDINATOR_ADDRESS": "j-0", "COORDINATOR_PORT": "6666", "NUM_PROCESSES": "2", "PROCESS_ID": "1"},
            (2, 1, "j-0:6666"),
        ),
        (SLURM | {"SLURM_STEP_NODELIST": "node[007-009,020],login"}, (2, 1, "node007:61441")),
        (SLURM | {"SLURM_STEP_NODELIST": "login,node[1-2]"}, (2, 1, "login:61441")),
        (MPI | {"OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911"}, (8, 7, "10.96.0.1:62624")),
        (MPI | JAX, (4, 7, None)),
    ],
)
def test_the_launchers_environment_is_read(environment, expected):
    if expected[2] is None:  # the number is not one of theirs
        with pytest.raises(UsageError, match="process number 7 of 4 processes"):
            find_launch(environment=environment)
        return
    launch = find_launch(environment=environment)
    assert (launch.processes, launch.process, launch.coordinator) == expected


def documents(name):
    """What a manifest holds, by kind."""
    return {each["kind"]: each for each in yaml.safe_load_all((CLUSTER / name).read_text("utf-8"))}


def last_pod(job):
    """How the last pod of an Indexed Job was started, and its host name, as the Job's spec says."""
    (container,) = job["template"]["spec"]["containers"]
    assert (
        container["command"][:2] == ["nlp-suite", "train"]
        and "training.distribution=data_parallel" in container["args"]
    )
    variables = {each["name"]: each["value"] for each in container["env"]}
    assert variables["KERAS_BACKEND"] == "jax" and float(variables["NLP_SUITE_START_SECONDS"]) > 45
    assert job["completionMode"] == "Indexed" and job["completions"] == job["parallelism"]
    launch = find_launch(environment=variables | {"JOB_COMPLETION_INDEX": str(job["completions"] - 1)})
    assert launch.processes == job["completions"] and launch.process == launch.processes - 1
    return launch


def test_the_manifest_of_an_indexed_job_sets_what_is_read():
    pods = documents("kubernetes.yaml")
    job, service = pods["Job"]["spec"], pods["Service"]
    name, subdomain = pods["Job"]["metadata"]["name"], job["template"]["spec"]["subdomain"]
    assert last_pod(job).coordinator.startswith(f"{name}-0.{subdomain}:")
    assert service["spec"]["selector"] == {"job-name": name} and subdomain == service["metadata"]["name"]


def test_the_manifest_of_a_job_set_sets_what_is_read():
    """Whose pods are called JOBSET-REPLICATED_JOB-JOB-POD.JOBSET."""
    job_set = documents("jobset.yaml")["JobSet"]
    (job,) = job_set["spec"]["replicatedJobs"]
    name, network = job_set["metadata"]["name"], job_set["spec"]["network"]
    assert job["replicas"] == 1 and network == {"enableDNSHostnames": True, "publishNotReadyAddresses": True}
    assert last_pod(job["template"]["spec"]).coordinator.startswith(f"{name}-{job['name']}-0-0.{name}:")


def test_the_runtime_of_kubeflow_gives_what_is_read():
    """Kubeflow Trainer adds variables to the container `node` of the job that is marked as the trainer's, by its policy `jax`."""
    runtime, job = (documents("kubeflow.yaml")[kind] for kind in ("TrainingRuntime", "TrainJob"))
    reference = {"kind": runtime["kind"], "name": runtime["metadata"]["name"]}
    trainer, name = job["spec"]["trainer"], job["metadata"]["name"]
    assert job["spec"]["runtimeRef"] == reference and runtime["spec"]["mlPolicy"]["jax"] == {}
    (node,) = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert node["name"] == "node"
    assert node["template"]["metadata"]["labels"] == {"trainer.kubeflow.org/trainjob-ancestor-step": "trainer"}
    (container,) = node["template"]["spec"]["template"]["spec"]["containers"]
    assert container["name"] == "node" and trainer["command"][:2] == ["nlp-suite", "train"]
    added = {
        "JAX_NUM_PROCESSES": str(trainer["numNodes"]),
        "JAX_PROCESS_ID": "1",
        "JAX_COORDINATOR_ADDRESS": f"{name}-node-0-0.{name}:6666",
        "JAX_COORDINATOR_PORT": "6666",
    }
    given = {each["name"]: each["value"] for each in container["env"]}
    assert find_launch(environment=given | added) == Launch(
        2, 1, "nlp-train-node-0-0.nlp-train:6666", "JAX_NUM_PROCESSES"
    )


def test_the_script_for_slurm_gives_a_task_all_its_gpus(tmp_path):
    (tmp_path / "srun").write_text('#!/bin/sh\necho "$@"\necho "$JAX_LOCAL_DEVICE_IDS $KERAS_BACKEND"\n')
    (tmp_path / "srun").chmod(0o755)
    done = subprocess.run(
        ["sh", CLUSTER / "slurm.sh", "c.yaml", "runs/a b"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_GPUS_ON_NODE": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    started, given = done.stdout.splitlines()
    assert started.endswith("nlp-suite train c.yaml --run-dir runs/a b --set training.distribution=data_parallel")
    assert given == "0,1,2 jax"


def test_options_stand_before_the_environment():
    launch = find_launch("here:1", None, 2, environment=JAX | {"JAX_PROCESS_ID": "0"})
    assert (launch.processes, launch.process, launch.coordinator) == (4, 2, "here:1")


@pytest.mark.parametrize(
    "options, environment, message",
    [
        ((None, 2, 0), {}, "nothing says where process 0 is"),
        (("a:1", 2, 2), {}, "process number 2 of 2 processes .the options.; allowed: 0 to 1"),
        (("a:1", None, 0), {}, "are for several processes"),
        (("a", 2, 0), {}, "'a' is not HOST:PORT"),
        (("a:70000", 2, 0), {}, "is not HOST:PORT"),
        ((None, None, None), MPI, "nothing says where process 0 is"),
        ((None, None, None), {"TF_CONFIG": "{"}, "TF_CONFIG cannot be used"),
        ((None, None, None), {"JAX_NUM_PROCESSES": "two"}, "JAX_NUM_PROCESSES is 'two'"),
    ],
)
def test_what_is_missing_is_named(options, environment, message):
    with pytest.raises(UsageError, match=message):
        find_launch(*options, environment=environment)


def test_distributions_are_chosen_by_name_or_number():
    chosen = [
        load_experiment({"training": {"distribution": value}}).training.distribution
        for value in ("none", "data_parallel", {"processes": 2})
    ]
    assert [(c.name, c.arguments()) for c in chosen] == [
        ("none", {}),
        ("data_parallel", {"processes": None}),
        ("data_parallel", {"processes": 2}),
    ]
    with pytest.raises(ConfigError, match="unknown distribution 'data_paralel': did you mean 'data_parallel'"):
        load_experiment({"training": {"distribution": "data_paralel"}})


@pytest.mark.parametrize(
    "distribution, launch, backend, message",
    [
        ("none", Launch(2, 1, "a:1", "SLURM"), "jax", r"one of 2 processes \(SLURM\), and training.distribution: none"),
        ({"processes": 4}, Launch(2, 1, "a:1", "SLURM"), "jax", r"processes is 4, and 2 were started \(SLURM\)"),
        ({"processes": 4}, Launch(), "jax", "nlp-suite launch --processes 4"),
        ("data_parallel", Launch(2, 0, "a:1"), "tensorflow", "use KERAS_BACKEND=jax"),
        ("data_parallel", Launch(), "torch", "use KERAS_BACKEND=jax"),
        (
            "data_parallel",
            Launch(3, 0, "a:1"),
            "jax",
            "batch_size 32 cannot be shared equally by 3 processes.*30 and 33",
        ),
    ],
)
def test_what_cannot_train_together_is_refused_before_the_data_are_read(
    small, tmp_path, monkeypatch, distribution, launch, backend, message
):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    monkeypatch.setattr("nlp_suite.backend.is_installed", lambda package: True)  # nothing here imports it
    experiment = small(training={"distribution": distribution})
    with pytest.raises((UsageError, ConfigError), match=message):
        check_training(experiment, tmp_path / "run", launch)
    assert not (tmp_path / "cache").exists()


def test_devices_of_one_process_on_tensorflow_share_steps(small, monkeypatch):
    keras = pytest.importorskip("keras")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("this process has another backend")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    experiment = small(training={"distribution": "data_parallel"})
    with make_distribution(experiment).world(Launch(), {}, experiment.training) as world:
        assert world == World() and world.writes
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0", "gpu:1"])
    with make_distribution(experiment).world(Launch(), {}, experiment.training) as world:
        assert world == World(devices=2, sharing=("gpu:0", "gpu:1"))
    experiment = small(training={"distribution": "data_parallel", "xla": True})
    world = make_distribution(experiment).world(Launch(), {}, experiment.training)
    with (
        pytest.raises(ConfigError, match="xla compiles a step for one device, and 2 share it: use training.xla: false"),
        world,
    ):
        pass


@pytest.mark.parametrize(
    "backbone, launch, backend, message",
    [
        ("preset", Launch(2, 0, "a:1", "SLURM"), "jax", r"devices of one process, and 2 were started \(SLURM\)"),
        ("bag", Launch(), "jax", "model_parallel is for backbone: preset, not 'bag': use data_parallel"),
        ("preset", Launch(), "tensorflow", "not for Keras backend 'tensorflow': use KERAS_BACKEND=jax"),
    ],
)
def test_what_cannot_share_a_model_is_refused(small, monkeypatch, backbone, launch, backend, message):
    monkeypatch.setenv("KERAS_BACKEND", backend)
    experiment = small(training={"distribution": {"name": "model_parallel", "devices": 4}})
    chosen = experiment.backbone.model_copy(update={"name": backbone})
    experiment = experiment.model_copy(update={"backbone": chosen})
    with pytest.raises((UsageError, ConfigError), match=message):
        make_distribution(experiment).check(experiment, launch)


def test_devices_that_cannot_be_grouped_are_refused(small, monkeypatch):
    keras = pytest.importorskip("keras")
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: [f"gpu:{n}" for n in range(6)])
    experiment = small(training={"distribution": {"name": "model_parallel", "devices": 4}, "batch_size": 32})
    world = make_distribution(experiment).world(Launch(), {}, experiment.training)
    with pytest.raises(UsageError, match="devices is 4, and the 6 devices .* allowed: 1, 2, 3, 6"), world:
        pass
    experiment = small(training={"distribution": {"name": "model_parallel", "devices": 1}, "batch_size": 32})
    world = make_distribution(experiment).world(Launch(), {}, experiment.training)
    with pytest.raises(ConfigError, match="32 cannot be shared equally by 6 groups of devices"), world:
        pass


@pytest.mark.parametrize(
    "path, shape, axis",
    [
        ("m/block_0/block_0_attention_query/kernel", (16, 32), 1),
        ("m/block_11/block_11_attention_output/kernel", (32, 16), 0),
        ("m/block_0/block_0_gate/kernel", (16, 24), 1),
        ("m/block_0/block_0_contract/kernel", (24, 16), 0),
        ("m/block_0/block_0_contract/bias", (16,), None),
        ("m/block_1/self_attention_layer/key/kernel", (16, 4, 4), 1),
        ("m/block_1/self_attention_layer/key/bias", (4, 4), 0),
        ("m/block_1/self_attention_layer/key/kernel", (16, 2, 8), None),  # two heads for four devices
        ("m/block_1/self_attention_layer/attention_output/kernel", (4, 4, 16), 0),
        ("m/block_1/feedforward_intermediate_dense/kernel", (16, 24), 1),
        ("m/embedding_2/embeddings", (40, 16), 0),
        ("m/embedding/embeddings", (50257, 768), 1),
        ("m/layer_normalization/gamma", (16,), None),
        ("adam/m_block_0_block_0_gate_kernel_momentum", (16, 24), None),  # which has the layout of its variable
    ],
)
def test_variables_are_cut_by_heads_and_hidden_units(path, shape, axis):
    assert cut_axis(path, shape, 4) == axis


def test_another_number_of_processes_is_no_other_config(small, tmp_path):
    (tmp_path / "config.yaml").write_text(small(training={"distribution": {"processes": 2}}).to_yaml())
    check_same(tmp_path, small(training={"distribution": "none"}))


def test_batches_of_tokens_are_filled_up_and_rows_refused(small):
    training = small(training={"batch_size": 6}).training
    check_rows_shared(training, 3, "devices")
    with pytest.raises(ConfigError, match="batch_size 6 .* by 8 devices; the nearest that can: 8"):
        check_rows_shared(training, 8, "devices")
    check_rows_shared(training.model_copy(update={"batch_tokens": 100}), 8, "devices")


def test_each_process_takes_its_rows_and_what_fills_up_weighs_nothing():
    weights = np.ones((5, 2), "float32")
    inputs = {"tokens": np.arange(10).reshape(5, 2), "weights": weights}
    parts = [shared(lambda n: (inputs, np.arange(5) + n, weights), World(2, p, 4))(10) for p in (0, 1)]
    assert [part[1].tolist() for part in parts] == [[10, 11, 12, 13], [14, 10, 10, 10]]
    assert parts[1][0]["tokens"].tolist() == [[8, 9], [0, 1], [0, 1], [0, 1]]
    assert parts[1][2][:, 0].tolist() == parts[1][0]["weights"][:, 0].tolist() == [1, 0, 0, 0]
    assert weights.all()  # the batch itself is as it was


def test_what_differs_between_processes_is_named():
    compare([{"keras": "3.15", "a": 1}] * 3)
    with pytest.raises(
        TrainingError, match=r"keras: 3.15 in process 0, 3.14 in process 2\n  a: 1 in process 0, nothing in"
    ):
        compare([{"keras": "3.15", "a": 1}, {"keras": "3.15", "a": 1}, {"keras": "3.14"}])


@pytest.mark.parametrize(
    "command, processes, message",
    [
        ([], 2, "got nothing"),
        (["evaluate", "run"], 2, "got 'evaluate'; allowed: train"),
        (["train", "c", "--process-id=1"], 2, "--process-id=1 after --"),
        (["train", "c"], 0, "--processes 0"),
    ],
)
def test_what_cannot_be_launched_is_refused(command, processes, message):
    with pytest.raises(UsageError, match=message):
        check_local(command, processes)


def test_a_launched_process_that_dies_ends_the_others(monkeypatch, tmp_path):
    start, started = subprocess.Popen, []

    def stand_in(command, env, **options):
        script = "import sys, time; time.sleep(60 * (sys.argv[1] == '0')); import os; os.kill(os.getpid(), 9)"
        started.append(env["JAX_NUM_PROCESSES"])
        return start([command[0], "-c", script, env["JAX_PROCESS_ID"]], env=env, **options)

    monkeypatch.setattr("nlp_suite.training.local_launch.subprocess.Popen", stand_in)
    monkeypatch.setattr("nlp_suite.training.local_launch.GRACE", 0.2)
    with pytest.raises(
        TrainingError, match="process 1 ended with signal SIGKILL; process 0, which did not .*, was ended"
    ):
        launch_local(["train", "c"], 2)
    assert started == ["2", "2"]


@pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="Linux's scheduler")
def test_a_thread_that_wakes_up_waits_for_the_one_that_runs():
    """Of the thread that joins several processes, and of those that it starts."""

    def policies():
        let_senders_finish()
        with ThreadPoolExecutor(1) as started:
            return os.sched_getscheduler(0), started.submit(os.sched_getscheduler, 0).result()

    before = os.sched_getscheduler(0)
    with ThreadPoolExecutor(1) as joining:
        assert joining.submit(policies).result() == (os.SCHED_BATCH, os.SCHED_BATCH)
    assert os.sched_getscheduler(0) == before
