"""configs/serving/: the files parse, agree with each other and with the contract, and the examples in other languages ask."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from google.protobuf import text_format

from nlp_suite.serving.client.protos_from_api import FILE as PROTOS
from nlp_suite.serving.flags import Options
from tests.serving.fake_servers import FakeGrpc, FakeRest

FOLDER = Path(__file__).parents[2] / "configs" / "serving"
GRPC, REST = 8500, 8501  # of the image's entry point
COMPOSE = yaml.safe_load((FOLDER / "docker-compose.yml").read_text("utf-8"))["services"]["serving"]
KUBERNETES = {each["kind"]: each for each in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text("utf-8"))}
POD = KUBERNETES["Deployment"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
# What tensorflow_model_server of 2.19 takes, of the flags that are used here.
FLAGS = {
    "model_config_file",
    "model_config_file_poll_wait_seconds",
    "enable_batching",
    "batching_parameters_file",
    "monitoring_config_file",
    "enable_grpc_healthcheck_service",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
    "grpc_channel_arguments",
}


def flags(arguments):
    return dict(re.fullmatch(r"--(\w+)=(.+)", argument).groups() for argument in arguments)


@pytest.fixture(scope="module")
def models():
    from tensorflow_serving.config import model_server_config_pb2

    text = (FOLDER / "models.config").read_text("utf-8")
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig()).model_config_list.config


# ---------------------------------------------------------------------------------------------------- text protos


def test_models(models):
    assert [model.name for model in models] == ["sentiment", "language_model", "translation"]
    for model in models:
        assert model.base_path == f"/models/{model.name}" and model.model_platform == "tensorflow"
        assert model.model_version_policy.latest.num_versions == 1


def test_the_labels_in_comments_parse_too():
    from tensorflow_serving.config import model_server_config_pb2

    text = (FOLDER / "models.config").read_text("utf-8")
    labelled = re.sub(r"# (model_version_policy \{ specific|version_labels)", r"\1", text)
    labelled = labelled.replace("model_version_policy { latest { num_versions: 1 } }", "", 1)
    (first, *_) = text_format.Parse(labelled, model_server_config_pb2.ModelServerConfig()).model_config_list.config
    assert dict(first.version_labels) == {"stable": 1, "canary": 2}
    assert list(first.model_version_policy.specific.versions) == [1, 2]


def test_batching():
    from nlp_suite.serving.batching_parameters import read_batching_parameters

    read = read_batching_parameters(FOLDER / "batching.config")
    assert read.max_batch_size == 128 and read.batch_timeout_micros == 0
    assert not read.pad_variable_length_inputs and not read.enable_large_batch_splitting
    assert not read.allowed_batch_sizes


def test_monitoring():
    from nlp_suite.serving.text_protos import read_text_proto

    read = read_text_proto(FOLDER / "monitoring.config", "MonitoringConfig").prometheus_config
    assert read.enable and read.path == "/monitoring/prometheus/metrics"
    assert POD["metadata"]["annotations"]["prometheus.io/path"] == read.path
    assert POD["metadata"]["annotations"]["prometheus.io/port"] == str(REST)


# ---------------------------------------------------------------------------------------------------- Docker, Kubernetes


def test_one_image_and_the_same_flags():
    readme = (FOLDER.parents[1] / "README.md").read_text("utf-8")
    assert COMPOSE["image"] == CONTAINER["image"]
    assert set(re.findall(r"tensorflow/serving:[\d.]+\d", readme)) <= {COMPOSE["image"]}
    compose, kubernetes = flags(COMPOSE["command"]), flags(CONTAINER["args"])
    assert set(compose) | set(kubernetes) <= FLAGS
    assert compose.items() <= kubernetes.items()


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_what_the_flags_name_is_mounted(where, models):
    if where == "compose":
        given = flags(COMPOSE["command"])
        mounts = {v.split(":")[1]: (FOLDER / v.split(":")[0]).resolve() for v in COMPOSE["volumes"]}
        assert mounts["/config"] == FOLDER and mounts["/models"] == FOLDER.parents[1] / "saved_models"
    else:
        given = flags(CONTAINER["args"])
        mounts = {mount["mountPath"]: mount["name"] for mount in CONTAINER["volumeMounts"]}
        assert set(mounts.values()) == {volume["name"] for volume in POD["spec"]["volumes"]}
        (config,) = [v["configMap"]["name"] for v in POD["spec"]["volumes"] if "configMap" in v]
        (claim,) = [v["persistentVolumeClaim"]["claimName"] for v in POD["spec"]["volumes"] if "configMap" not in v]
        assert claim == KUBERNETES["PersistentVolumeClaim"]["metadata"]["name"]
        head = (FOLDER / "kubernetes.yaml").read_text("utf-8").split("apiVersion")[0]
        made = set(re.findall(r"--from-file=configs/serving/([\w.]+)", head))
        assert f"create configmap {config} " in head and made == {p.name for p in FOLDER.glob("*.config")}
    files = [value for flag, value in given.items() if flag.endswith("_file")]
    assert len(files) == 3
    for path in files:
        assert path.startswith("/config/") and (FOLDER / path.removeprefix("/config/")).is_file()
    assert "/config" in mounts and all(Path(model.base_path).parent.as_posix() in mounts for model in models)


def test_ports():
    assert COMPOSE["ports"] == [f"{GRPC}:{GRPC}", f"{REST}:{REST}"]
    ports = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
    assert ports == {"grpc": GRPC, "rest": REST}
    served = {port["targetPort"]: port["port"] for port in KUBERNETES["Service"]["spec"]["ports"]}
    assert served == ports


def test_probes(models):
    """Metadata over REST, in the contract's form; health over gRPC, which needs its flag."""
    for probe in ("startupProbe", "readinessProbe"):
        get = CONTAINER[probe]["httpGet"]
        assert get["port"] == "rest"
        assert re.fullmatch(r"/v1/models/([^/:]+)/metadata", get["path"])[1] in {model.name for model in models}
    assert CONTAINER["livenessProbe"]["grpc"] == {"port": GRPC}
    assert flags(CONTAINER["args"])["enable_grpc_healthcheck_service"] == "true"
    grace = POD["spec"]["terminationGracePeriodSeconds"]
    before_the_end = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert before_the_end + Options().drain_seconds < grace


def test_names_and_selectors_agree():
    labels = POD["metadata"]["labels"]
    assert KUBERNETES["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert KUBERNETES["Service"]["spec"]["selector"] == labels
    scaled = KUBERNETES["HorizontalPodAutoscaler"]["spec"]
    assert scaled["scaleTargetRef"]["name"] == KUBERNETES["Deployment"]["metadata"]["name"]
    assert 2 <= scaled["minReplicas"] < scaled["maxReplicas"] and "replicas" not in KUBERNETES["Deployment"]["spec"]


def test_as_many_threads_as_cores():
    from nlp_suite.serving.batching_parameters import read_batching_parameters

    cores = CONTAINER["resources"]["limits"]["cpu"]
    assert str(read_batching_parameters(FOLDER / "batching.config").num_batch_threads) == cores
    assert flags(CONTAINER["args"])["tensorflow_inter_op_parallelism"] == cores
    assert set(CONTAINER["resources"]["requests"]) == set(CONTAINER["resources"]["limits"]) == {"cpu", "memory"}


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_the_health_check_of_compose(rest):
    marker, program, option, script = COMPOSE["healthcheck"]["test"]
    assert (marker, program, option) == ("CMD", "bash", "-c") and f"/{REST};" in script and "$" not in script

    def healthy():
        command = script.replace(f"/{REST};", f"/{rest.port};")
        return subprocess.run(["bash", "-c", command], capture_output=True, timeout=20).returncode == 0

    assert healthy()
    rest.failures = [("NOT_FOUND", "Could not find any versions of model sentiment")]
    assert not healthy()
    rest.close()
    assert not healthy()


# ---------------------------------------------------------------------------------------------------- other languages


@pytest.fixture
def rest():
    made = FakeRest()
    yield made
    made.close()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl(rest):
    def ask(*arguments):
        command = ["sh", FOLDER / "clients" / "query.sh", *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    host = rest.target.removeprefix("http://")
    texts = ["a good film", 'döll, "so to say" \\ two\nlines']
    answer = ask(host, "sentiment", *texts)
    assert answer.returncode == 0, answer.stderr
    assert [row["label"] for row in json.loads(answer.stdout)["predictions"]] == ["positive", "negative"]
    assert rest.asked[-1][2][1] == {"instances": [texts[0], texts[1].replace("\n", " ")]}
    refused = ask(host, "nothing", "x")
    assert refused.returncode == 22 and "Servable not found for request: Latest(nothing)" in refused.stdout
    assert ask(host, "sentiment").returncode == 2


@pytest.mark.slow
def test_node(tmp_path):
    """`query.mjs` as it is, with the two packages from npm."""
    if not shutil.which("npm") or not shutil.which("node"):
        pytest.skip("node and npm are not installed")
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", ".", "@grpc/grpc-js", "@grpc/proto-loader"]
    done = subprocess.run(install, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    shutil.copy(FOLDER / "clients" / "query.mjs", tmp_path)
    server = FakeGrpc()
    try:

        def ask(*arguments):
            command = ["node", "query.mjs", server.target, *arguments]
            environment = {**os.environ, "PROTOS": str(PROTOS)}
            return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)

        server.failures = [("UNAVAILABLE", "queue is full")] * 2
        answer = ask("sentiment", "a good film", "düll")
        assert answer.returncode == 0, answer.stderr
        first, second = map(json.loads, answer.stdout.splitlines())
        assert first == {"label": "positive", "probability": 0.875, "probabilities": [0.125, 0.875]}
        assert second["label"] == "negative" and not server.failures
        assert json.loads(ask("language_model", "It").stdout)["length"] == 3
        refused = ask("nothing", "x")
        assert refused.returncode == 1
        assert "model nothing: NOT_FOUND: Servable not found for request: Latest(nothing)" in refused.stderr
    finally:
        server.close()


def test_the_examples_find_the_messages():
    script = (FOLDER / "clients" / "query.mjs").read_text("utf-8")
    (path,) = re.findall(r'new URL\("([^"]+)", import\.meta\.url\)', script)
    assert (FOLDER / "clients" / path).resolve() == PROTOS
