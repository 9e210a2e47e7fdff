"""How each kind of conformance case is put to an endpoint, and what is then seen."""

import gzip
import json
import re
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf

from tests.serving import toy_models
from tests.serving.conformance_setups import BATCHING, PADDING
from tests.serving.endpoint import STATES, Asker, Command, Endpoint, array, model_list, parsed, tensor

# ---------------------------------------------------------------------------------------------------- REST


def rest(setups, case):
    request = case["request"]
    endpoint = setups[case["setup"] if case["setup"].startswith("hp2") else "toys"]
    body = json.dumps(request["json"]) if "json" in request else request.get("raw_body", "")
    body = re.sub(r"<'(.)' \* (\d+)>", lambda repeat: repeat[1] * int(repeat[2]), body).encode()
    headers = request.get("headers", {})
    if headers.get("Content-Encoding") == "gzip":
        body = gzip.compress(body)
    answer = endpoint.rest(request["method"], request["path"], body or None, headers)
    seen = {"http": answer.status, "body": answer.body, "headers": answer.headers}
    return {**seen, "alive": endpoint.half("default") == 3.0} if endpoint is setups["hp2"] else seen


# ---------------------------------------------------------------------------------------------------- gRPC


def _filled(case, method):
    """The request's message as the case describes it."""
    from tensorflow.core.example.example_pb2 import Example
    from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

    request = case["request"]
    module = prediction_service_pb2 if request["method"].startswith("Pred") else model_service_pb2
    service = module.DESCRIPTOR.services_by_name[request["method"].split(".")[0]]
    message = service.methods_by_name[method].input_type._concrete_class()
    if "model_spec" in request:
        _fill_spec(message.model_spec, request["model_spec"])
    for task in request.get("tasks", []):
        added = message.tasks.add(method_name=task["method_name"])
        _fill_spec(added.model_spec, {k: v for k, v in task.items() if k != "method_name"})
    for values in request.get("examples", []):
        example = Example()
        for feature, value in values.items():
            example.features.feature[feature].float_list.value.append(value)
        message.input.example_list.examples.append(example)
    _fill_inputs(message, request)
    message.MergeFrom(type(message)(**{k: request[k] for k in ("metadata_field", "output_filter") if k in request}))
    return message


def _fill_spec(spec, given):
    spec.SetInParent()
    if "version" in given:
        spec.version.value = given["version"]
    spec.MergeFrom(type(spec)(**{k: v for k, v in given.items() if k != "version"}))


def _fill_inputs(message, request):
    from tensorflow.core.framework import types_pb2

    for alias, given in request.get("inputs", {}).items():
        proto = message.inputs[alias]
        proto.dtype = types_pb2.DataType.Value(given["dtype"])
        proto.tensor_shape.SetInParent()
        for size in given["shape"]:
            proto.tensor_shape.dim.add(size=size)
        for field, values in given.items():
            if field.endswith("_val"):
                getattr(proto, field).extend(v.encode() if isinstance(v, str) else v for v in values)


def _called(function, *arguments):
    try:
        return {"status": "OK", "message": "", "response": function(*arguments)}
    except grpc.RpcError as error:
        return {"status": error.code().name, "message": error.details()}


def call(setups, case):
    service, method = case["request"]["method"].split(".")
    endpoint = setups[case["setup"] if case["setup"].startswith("hp2") else "toys"]
    stub = endpoint.prediction if service == "PredictionService" else endpoint.model
    seen = _called(getattr(stub, method), _filled(case, method))
    if method == "GetModelStatus":
        seen["versions"] = [
            {"version": v.version, "state": STATES[v.state], "error_code": v.status.error_code}
            for v in seen["response"].model_version_status
        ]
    return seen


def sequence(setups, case):
    """Several signatures of the counter, one after the other."""
    outputs = []
    for step in case["request"]["sequence"]:
        message = _filled({"request": {"method": case["request"]["method"], **step}}, "Predict")
        message.model_spec.name, message.model_spec.signature_name = "counter", step["signature_name"]
        outputs.append(array(setups["toys"].prediction.Predict(message).outputs["output"]).item())
    return {"sequence": outputs}


# ---------------------------------------------------------------------------------------------------- new model lists


def reload(setups, case):
    two = case["setup"] == "hp2_two_versions_all"
    policy = "model_version_policy { all {} }"
    folders = {name: setups.folder / name for name in ("two", "hp2", "hp3")}
    endpoint = setups.fresh({"default": (folders["two"], policy) if two else folders["hp2"]})
    _wait_for(lambda: list(endpoint.states("default").values()) == ["AVAILABLE"] * (2 if two else 1))
    config = case["request"]["config"]
    if isinstance(config, str):  # in words, with the labels in braces
        labels = dict(re.findall(r"(\w+): ?(\d+)", config[config.index("{") :]))
        labels = " ".join(f'version_labels {{ key: "{k}" value: {v} }}' for k, v in labels.items())
        text = model_list({"default": (folders["two"], f"{policy} {labels}")})
    else:
        from google.protobuf import json_format

        text = str(json_format.ParseDict(config, parsed(""))).replace("<hp3>", str(folders["hp3"]))
    seen = _called(endpoint.reload, text)
    return {**seen, "then": [_step(endpoint, step) for step in case["expect"].get("then", [])]}


def _wait_for(holds, seconds=10):
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.02)


def _step(endpoint, step):
    """A follow-up check, with what was seen in place of what is expected."""
    if "predict" in step:
        found = _called(endpoint.half, step["predict"], step.get("x", 2.0))
        return {**step, "status": found["status"]} if "status" in step else {**step, "y": found["response"]}
    if "status_of" in step:
        _wait_for(lambda: set(endpoint.states(step["status_of"]).values()) == {step["state"]})
        (state,) = set(endpoint.states(step["status_of"]).values())
        return {**step, "state": state}
    _, spec = endpoint.predict("default", {"x": [2.0]}, label=step.get("predict_label"))
    return {**step, "version": spec.version.value}


# ---------------------------------------------------------------------------------------------------- commands


def bad_file(setups, case):
    file = setups.file("bad.config", "improperly formatted file")
    return _fails(f"--model_config_file={file}")


def sizes(setups, case):
    given = case["request"]["batching_config"]
    text = f"max_batch_size {{ value: {given['max_batch_size']} }} allowed_batch_sizes: {given['allowed_batch_sizes']}"
    file = setups.file("sizes.batching", text)
    folder = setups.folder / "hp2"
    return _fails(f"--model_base_path={folder}", "--enable_batching", f"--batching_parameters_file={file}")


def file_without_flag(setups, case):
    file = setups.file("without.batching", BATCHING)
    return _fails(f"--model_base_path={setups.folder / 'hp2'}", f"--batching_parameters_file={file}")


def _fails(*arguments):
    with Command(*arguments) as command:
        code, text = command.finished()
    return {"exit_code": code, "message": text, "load": "fails" if code else "OK"}


def poll_zero(setups, case):
    command = setups["command"]
    command.config_file.write_text(model_list({"half_plus_three": setups.folder / "hp3"}))
    time.sleep(1)
    return {"then": [_step(command, step) for step in case["expect"]["then"]]}


def unix_socket(setups, case):
    command = setups["command"]
    through = Asker(command.port, command.rest_port, f"unix:{command.socket}")
    return {"then": [_step(through, step) for step in case["expect"]["then"]]}


def xla_off(setups, case):
    command = setups["command"]
    states = command.available("compiled")
    answer = command.rest("POST", "/v1/models/compiled:predict", {"instances": [1.0]})
    seen = _called(command.predict, "compiled", {"x": [1.0]})
    return {**seen, "http": answer.status, "load": "OK" if states == [1] else "fails"}


# ---------------------------------------------------------------------------------------------------- folders


def folders(setups, case):
    request, name = case["request"], case["id"].replace(".", "_")
    base = setups.empty(name)
    if "steps" in request:
        return _appears_later(setups, base)
    for number, child in enumerate(request["children"]):
        toy_models.half_plus(base / child, plus=float(number))
    policy = ""
    if "latest" in request.get("policy", {}):
        policy = f"model_version_policy {{ latest {{ num_versions: {request['policy']['latest']['num_versions']} }} }}"
    elif "specific" in request.get("policy", {}):
        versions = " ".join(f"versions: {v}" for v in request["policy"]["specific"]["versions"])
        policy = f"model_version_policy {{ specific {{ {versions} }} }}"
    endpoint = setups.fresh({"other": setups.folder / "hp2"})
    models = {"other": setups.folder / "hp2", name: (base, policy)}
    seen = _called(lambda: endpoint.reload(model_list(models), timeout=60 if case["expect"]["aspired"] else 1))
    assert seen["status"] == ("OK" if case["expect"]["aspired"] else "DEADLINE_EXCEEDED"), seen
    until = time.monotonic() + 10
    while len(endpoint.available(name)) < len(case["expect"]["aspired"]) and time.monotonic() < until:
        time.sleep(0.02)
    aspired = endpoint.available(name)
    answers = {version: int(endpoint.half(name, 0.0, version=version)) for version in aspired}
    return {"aspired": aspired, "path_used": {v: request["children"][number] for v, number in answers.items()}}


def _appears_later(setups, base):
    """A server whose only model has no version yet: it waits, and no port is open."""
    endpoint = Endpoint(model_name="late", model_base_path=str(base))
    starting = threading.Thread(target=endpoint.server.start)
    starting.start()
    time.sleep(1.2)  # longer than a poll
    before = list(endpoint.server.manager.names()) == ["late"] and starting.is_alive()
    with pytest.raises(ConnectionRefusedError):
        endpoint.rest("GET", "/v1/models/late")
    toy_models.half_plus(base.parent / "moving")
    (base.parent / "moving").rename(base / "42")
    starting.join(30)
    try:
        return {"aspired_then": [[] if before else None, endpoint.available("late")]}
    finally:
        endpoint.__exit__()


# ---------------------------------------------------------------------------------------------------- warm-up


def warmup(setups, case):
    request, name = case["request"], case["id"].replace(".", "_")
    folder = setups.model(name, toy_models.counting)
    extra = folder / "1" / "assets.extra"
    extra.mkdir(exist_ok=True)
    file = extra / "tf_serving_warmup_requests"
    if "file" in request:
        file.write_bytes(b"")
    elif "records" in request:
        many = request["records"] if isinstance(request["records"], int) else 0
        kinds = ["PredictLog"] * many or request["records"]
        with tf.io.TFRecordWriter(str(file)) as writer:
            for kind in kinds:
                writer.write(_log(kind).SerializeToString())
    iterations = request.get("num_request_iterations", 0)
    endpoint = setups.fresh(
        {"other": setups.folder / "hp2"}, num_request_iterations_for_warmup=iterations, max_num_load_retries=0
    )
    seen = _called(endpoint.reload, model_list({"other": setups.folder / "hp2", name: folder}))
    if seen["status"] != "OK":
        from tensorflow_serving.apis import get_model_status_pb2

        asked = get_model_status_pb2.GetModelStatusRequest()
        asked.model_spec.name = name
        (version,) = endpoint.model.GetModelStatus(asked).model_version_status
        code = {value.value[0]: value.name for value in grpc.StatusCode}[version.status.error_code]
        return {"load": "fails", "status": code, "message": version.status.error_message}
    runs = [endpoint.predict(name, signature="counts")[0]["counts"].tolist() for _ in range(2)]
    return {"load": "OK", "runs_when_available": runs[0], "runs": runs[1]}


def _log(kind):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog()
    field = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
    request = getattr(log, field)
    if kind == "SessionRunLog":
        request.SetInParent()
        return log
    request = request.request
    if kind == "PredictLog":
        request.model_spec.signature_name = "predict"
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


def scalar_batch(setups, case):
    return _called(setups["hp2_batching"].predict, "default", {"x": case["request"]["x_scalar"]})


def unequal_rows(setups, case):
    shapes = {alias: np.zeros(case["request"][f"{alias}_shape"], "int32") for alias in ("ids", "length")}
    endpoint = setups.batching("unequal", PADDING, {"two_in": setups.model("two_in", toy_models.two_in)})
    return _called(endpoint.predict, "two_in", shapes)


def padding(setups, case):
    endpoint = setups.batching("padding", PADDING, {"two_in": setups.model("two_in", toy_models.two_in)})
    seen, requests = {}, case["request"]["parallel"]

    def ask(number):
        ids = np.array(requests[number]["ids"], "int32")
        outputs, _ = endpoint.predict("two_in", {"ids": ids, "length": np.array([ids.shape[1]], "int32")})
        assert outputs["rows"].tolist() == [2]  # they ran together
        (row,) = outputs["seen"]
        seen[number] = [int(each) for each in row.split(b",")]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return {"model_sees": [seen[number] for number in range(2)]}


def more_rows(setups, case):
    endpoint = setups.batching("beams", BATCHING, {"beams": setups.model("beams", toy_models.beams)})
    return _called(endpoint.predict, "beams", {"text": [b"a", b"b"]})


def text_ops(setups, case):
    return {"y": setups["toys"].predict("text_ops", {"x": [2.0]})[0]["y"].item()}


OBSERVERS = {
    "rest": rest,
    "grpc": call,
    "reload": reload,
    "labels": reload,
    "fs": folders,
    "warmup": warmup,
    "grpc.predict.stateful_counter": sequence,
    "config.bad_file": bad_file,
    "config.poll_zero": poll_zero,
    "cli.uds": unix_socket,
    "batch.allowed_sizes_mismatch": sizes,
    "batch.file_without_flag": file_without_flag,
    "batch.scalar_input": scalar_batch,
    "batch.unequal_dim0": unequal_rows,
    "batch.varlen_padding_value": padding,
    "batch.output_dim0": more_rows,
    "xla.must_compile_disabled": xla_off,
    "ops.tf_text": text_ops,
}


def observe(setups, case) -> dict:
    """What is seen of a case, as `differences` takes it."""
    kind = "rest" if case["transport"] == "rest" else case["area"].split(".")[0]
    return (OBSERVERS.get(case["id"]) or OBSERVERS[kind])(setups, case)
