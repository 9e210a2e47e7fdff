"""How conformance cases of commands, folders, upgrades, warm-up and batching are put to an endpoint, and what is then seen."""

import logging
import re
import threading
import time
from contextlib import contextmanager

import grpc
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format

from nlp_suite.serving.text_protos import message
from tests.serving import toy_models
from tests.serving.conformance_given import plain
from tests.serving.conformance_observers import called, step
from tests.serving.conformance_setups import BATCHING, PADDING
from tests.serving.endpoint import Asker, Command, Endpoint, model_list, parsed, tensor
from tests.serving.fake_servables import until

# ---------------------------------------------------------------------------------------------------- commands


def command(setups, case):
    request = case["request"]
    assert case["setup"] in ("config_file", "hp2")
    if "steps" in request or "target" in request:
        return _of_the_command_that_runs(setups, case)
    return _ended(*[_argument(setups, each) for each in request["argv"]], f"--model_base_path={setups.folder / 'hp2'}")


def _argument(setups, written):
    flag, value = written.split("=", 1)
    text = re.fullmatch("<file holding: (.*)>", value)
    if text or (flag, value) == ("--batching_parameters_file", "f"):
        return f"{flag}={setups.file(f'of{flag}', text[1] if text else BATCHING)}"
    raise NotImplementedError(f"no such argument: {written}")


def _of_the_command_that_runs(setups, case):
    running, request = setups["command"], case["request"]
    given = {
        "--model_config_file=f",
        "--model_config_file_poll_wait_seconds=0",
        "--grpc_socket_path=/tmp/tf-serving.sock",
    }
    assert set(request["argv"]) <= given
    asker = running
    if "target" in request:
        assert request["target"] == "unix:/tmp/tf-serving.sock"
        asker = Asker(running.port, running.rest_port, f"unix:{running.socket}")
    actions = {
        "serve half_plus_two": lambda: asker.half("half_plus_two"),
        "rewrite f": lambda: running.config_file.write_text(model_list({"half_plus_three": setups.folder / "hp3"})),
        "wait 1s": lambda: time.sleep(1),
    }
    for each in request.get("steps", []):
        actions[each]()
    return {"then": [step(asker, each) for each in case["expect"]["then"]]}


def _ended(*arguments):
    with Command(*arguments) as made:
        code, text = made.finished()
    return {"exit_code": code, "message": text, "load": "fails" if code else "OK"}


def xla_off(setups, case):
    assert case["setup"] == "hp2" and case["request"]["model"] == "signature calling a tf.function(jit_compile=True)"
    running = setups["command"]
    (state,) = running.states("compiled").values()
    answer = running.rest("POST", "/v1/models/compiled:predict", {"instances": [1.0]})
    seen = called(running.predict, "compiled", {"x": [1.0]})
    return {**seen, "http": answer.status, "load": f"OK (state {state})"}


# ---------------------------------------------------------------------------------------------------- folders


def folders(setups, case):
    request, name, expect = case["request"], case["id"].replace(".", "_"), case["expect"]
    assert case["setup"] == "hp2"
    base = setups.empty(name)
    if "steps" in request:
        return _appears_later(base, *request["steps"])
    for number, child in enumerate(request["children"]):
        toy_models.half_plus(base / child, plus=float(number))
    policy = json_format.ParseDict(
        plain(request.get("policy", {})), parsed("").model_config_list.config.add().model_version_policy
    )
    endpoint = setups.fresh({"other": setups.folder / "hp2"})
    models = {"other": setups.folder / "hp2", name: (base, f"model_version_policy {{ {policy} }}")}
    with logged() as log:
        seen = called(lambda: endpoint.reload(model_list(models), timeout=60 if expect["aspired"] else 1))
        assert seen["status"] == ("OK" if expect["aspired"] else "DEADLINE_EXCEEDED"), seen
        until(lambda: len(endpoint.available(name)) == len(expect["aspired"]))
    aspired = endpoint.available(name)
    answers = {version: int(endpoint.half(name, 0.0, version=version)) for version in aspired}
    used = {version: request["children"][number] for version, number in answers.items()}
    return {"aspired": aspired, "path_used": used, "log": log, "listed": list(endpoint.states(name))}


def _appears_later(base, first, second):
    """A server whose only model has no version yet: it waits, and no port is open."""
    assert first == "base path empty at start"
    version = re.fullmatch(r"create version (\d+)", second)[1]
    endpoint = Endpoint(model_name="late", model_base_path=str(base))
    starting = threading.Thread(target=endpoint.server.start)
    starting.start()
    time.sleep(1.2)  # longer than a poll
    before = list(endpoint.server.manager.names()) == ["late"] and starting.is_alive()
    with pytest.raises(ConnectionRefusedError):
        endpoint.rest("GET", "/v1/models/late")
    toy_models.half_plus(base.parent / "moving")
    (base.parent / "moving").rename(base / version)
    starting.join(30)
    try:
        return {"aspired_then": [[] if before else None, endpoint.available("late")]}
    finally:
        endpoint.__exit__()


@contextmanager
def logged():
    """What the endpoint logs within the context."""
    lines, logger = [], logging.getLogger("nlp_suite.serving")
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def upgrade(setups, case):
    """Versions that appear one after the other while clients ask both ports without a pause."""
    first, *later = case["request"]["versions"]
    assert case["setup"] == "hp2"
    base = setups.empty(case["id"].replace(".", "_"))
    toy_models.half_plus(base / str(first), 2.0)
    endpoint, end = setups.fresh({"default": base}), threading.Event()
    answers, failures = [[] for _ in range(4)], []

    def over_rest():
        return endpoint.rest("POST", "/v1/models/default:predict", {"instances": [2.0]}).json["predictions"][0]

    def ask(number):
        while not end.is_set():
            try:
                answers[number].append(endpoint.half("default") if number % 2 else over_rest())
            except (grpc.RpcError, KeyError, OSError) as error:
                failures.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(answers))]
    with logged() as log:
        for thread in threads:
            thread.start()
        for number, version in enumerate(later, 3):  # a version that adds 3 to half of 2 answers 4
            until(lambda number=number: all(each and each[-1] == number for each in answers))
            toy_models.half_plus(setups.folder / "moving", float(number))
            (setups.folder / "moving").rename(base / str(version))
            endpoint.server.manager.poll_filesystem()
            until(lambda version=version: endpoint.available("default") == [version])
        until(lambda: all(each[-1] == len(later) + 3 for each in answers))
        until(lambda: "UNLOADING" not in endpoint.states("default").values())
        end.set()
        for thread in threads:
            thread.join(30)
    orders = [list(dict.fromkeys(each)) for each in answers]
    return {
        "failed_requests": len(failures),
        "answers": orders[0] if orders == orders[:1] * len(orders) else orders,
        "log": log,
        "listed": list(endpoint.states("default")),
        "versions": [{"version": v, "state": s, "error_code": 0} for v, s in endpoint.states("default").items()],
    }


# ---------------------------------------------------------------------------------------------------- warm-up


def warmup(setups, case):
    request, name = case["request"], case["id"].replace(".", "_")
    assert case["setup"] == "hp2" and request.get("assets_extra") is None
    folder = setups.model(name, toy_models.counting)
    extra = folder / "1" / "assets.extra"
    extra.mkdir(exist_ok=True)
    file = extra / "tf_serving_warmup_requests"
    if "file" in request:
        content = {"empty tf_serving_warmup_requests": b"", "no TFRecord": b"this is no TFRecord file at all"}
        file.write_bytes(content[request["file"]])
    elif "records" in request:
        kinds, signature = request["records"], request.get("signature_name", "predict")
        with tf.io.TFRecordWriter(str(file)) as writer:
            for kind in ["PredictLog"] * kinds if isinstance(kinds, int) else kinds:
                writer.write(_log(kind, signature).SerializeToString())
    iterations = request.get("num_request_iterations", 0)
    endpoint = setups.fresh(
        {"other": setups.folder / "hp2"}, num_request_iterations_for_warmup=iterations, max_num_load_retries=0
    )
    seen = called(endpoint.reload, model_list({"other": setups.folder / "hp2", name: folder}))
    if seen["status"] != "OK":
        from tensorflow_serving.apis import get_model_status_pb2

        asked = get_model_status_pb2.GetModelStatusRequest()
        asked.model_spec.name = name
        (version,) = endpoint.model.GetModelStatus(asked).model_version_status
        code = {value.value[0]: value.name for value in grpc.StatusCode}[version.status.error_code]
        return {"load": "fails", "status": code, "message": version.status.error_message}
    runs = [endpoint.predict(name, signature="counts")[0]["counts"].tolist() for _ in range(2)]
    return {"load": "OK", "runs_when_available": runs[0], "runs": runs[1]}


def _log(kind, signature):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    field = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
    request = getattr(log, field)
    if kind == "SessionRunLog":
        request.SetInParent()
        return log
    request = request.request
    if kind == "PredictLog":
        request.model_spec.signature_name = signature
        request.inputs["inputs"].CopyFrom(tensor([b""]))
        return log
    request.input.example_list.examples.add()
    if kind == "MultiInferenceLog":
        for each in ("classify", "regress"):
            task = request.tasks.add(method_name=f"tensorflow/serving/{each}")
            task.model_spec.name, task.model_spec.signature_name = "any", f"multi_{each}"
    else:
        request.model_spec.signature_name = kind.removesuffix("Log").lower()
    return log


# ---------------------------------------------------------------------------------------------------- batching


def batching(setups, case):
    request, setup = case["request"], case["setup"]
    if "argv" in request:
        return command(setups, case)
    if "x_scalar" in request:
        return called(setups[setup].predict, "default", {"x": request["x_scalar"]})
    if "model" in request:
        assert request["model"] == "returns [batch*beam] rows" and setup == "hp2"
        endpoint = setups.batching("beams", BATCHING, {"beams": setups.model("beams", toy_models.beams)})
        return called(endpoint.predict, "beams", {"text": [b"a", b"b"]})
    config = request.get("batching_config")
    text = PADDING if config is None else str(json_format.ParseDict(plain(config), message("BatchingParameters")))
    if config is not None and not request.keys() & {"rows", "parallel", "ids_shape"}:
        assert setup == "hp2"
        file = setups.file("of_a_case.batching", text)
        return _ended(
            f"--model_base_path={setups.folder / 'hp2'}", "--enable_batching", f"--batching_parameters_file={file}"
        )
    assert setup == "two_in + batching"
    endpoint = setups.batching(case["id"], text, {"two_in": setups.model("two_in", toy_models.two_in)})
    if "rows" in request:
        rows = request["rows"]
        ids = {"ids": np.zeros([rows, 2], "int32"), "length": np.full(rows, 2, "int32")}
        seen = called(endpoint.predict, "two_in", ids)
        return seen | ({"rows_together": seen["response"][0]["rows"].tolist()} if "response" in seen else {})
    if "parallel" in request:
        assert request.get("pad_variable_length_inputs", "pad" in text) is ("pad" in text)
        return {"model_sees": _together(endpoint, [plain(each) for each in request["parallel"]])}
    return called(
        endpoint.predict, "two_in", {alias: np.zeros(request[f"{alias}_shape"], "int32") for alias in ("ids", "length")}
    )


def _together(endpoint, requests):
    """What the model sees of requests that run together."""
    seen = {}

    def ask(number):
        ids = np.array(requests[number]["ids"], "int32")
        outputs, _ = endpoint.predict("two_in", {"ids": ids, "length": np.array([ids.shape[1]], "int32")})
        assert outputs["rows"].tolist() == [len(requests)]  # they ran together
        (row,) = outputs["seen"]
        seen[number] = [int(each) for each in row.split(b",")]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(requests))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return [seen.get(number) for number in range(len(requests))]


def text_ops(setups, case):
    assert case["setup"].startswith("tf_text_regression ")
    assert case["request"]["model"] == "graph using tensorflow_text ops; x=2.0"
    return {"y": setups["toys"].predict("text_ops", {"x": [2.0]})[0]["y"].item()}
