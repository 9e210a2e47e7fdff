"""How conformance cases of requests are put to an endpoint, and what is then seen; and which observer a case has."""

import gzip
import json
import re

import grpc

from tests.serving.conformance_given import Given, plain
from tests.serving.conformance_setups import TOY_SETUPS
from tests.serving.endpoint import STATES, Asker, array, model_list, parsed
from tests.serving.fake_servables import until


def endpoint_of(setups, case) -> Asker:
    """The endpoint of a case's setup."""
    name = case["setup"]
    return setups["toys" if name in TOY_SETUPS else name]


# ---------------------------------------------------------------------------------------------------- REST


def rest(setups, case):
    request, endpoint = case["request"], endpoint_of(setups, case)
    body = json.dumps(plain(request["json"])) if "json" in request else request.get("raw_body", "")
    body = re.sub(r"<'(.)' \* (\d+)>", lambda repeat: repeat[1] * int(repeat[2]), body).encode()
    headers = plain(request.get("headers", {}))
    if headers.get("Content-Encoding") == "gzip":
        body = gzip.compress(body)
    answer = endpoint.rest(request["method"], request["path"], body or None, headers)
    seen = {"http": answer.status, "body": answer.body, "headers": answer.headers}
    return {**seen, "alive": endpoint.half("default") == 3.0} if endpoint is setups["hp2"] else seen


# ---------------------------------------------------------------------------------------------------- gRPC


def filled(request: Given, service: str, method: str):
    """The message of a request that names a method, as the case describes it."""
    from tensorflow.core.example.example_pb2 import Example
    from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2

    module = {"PredictionService": prediction_service_pb2, "ModelService": model_service_pb2}[service]
    message = module.DESCRIPTOR.services_by_name[service].methods_by_name[method].input_type._concrete_class()
    if "model_spec" in request:
        _fill_spec(message.model_spec, plain(request["model_spec"]))
    for task in request.get("tasks", []):
        spec = plain(task)
        added = message.tasks.add(method_name=spec.pop("method_name"))
        _fill_spec(added.model_spec, spec)
    for values in request.get("examples", []):
        example = Example()
        for feature, value in plain(values).items():
            example.features.feature[feature].float_list.value.append(value)
        message.input.example_list.examples.append(example)
    for alias, given in request.get("inputs", {}).items():
        request["inputs"][alias]
        _fill_tensor(message.inputs[alias], plain(given))
    lists = {name: plain(request[name]) for name in ("metadata_field", "output_filter") if name in request}
    message.MergeFrom(type(message)(**lists))
    return message


def _fill_spec(spec, given):
    spec.SetInParent()
    if "version" in given:
        spec.version.value = given["version"]
    spec.MergeFrom(type(spec)(**{k: v for k, v in given.items() if k != "version"}))


def _fill_tensor(proto, given):
    from tensorflow.core.framework import types_pb2

    proto.dtype = types_pb2.DataType.Value(given.pop("dtype"))
    proto.tensor_shape.SetInParent()
    for size in given.pop("shape"):
        proto.tensor_shape.dim.add(size=size)
    proto.tensor_content = bytes.fromhex(given.pop("tensor_content_hex", ""))
    for field, values in given.items():
        getattr(proto, field).extend(v.encode() if isinstance(v, str) else v for v in values)


def called(function, *arguments):
    try:
        return {"status": "OK", "message": "", "response": function(*arguments)}
    except grpc.RpcError as error:
        return {"status": error.code().name, "message": error.details()}


def call(setups, case):
    request = case["request"]
    service, method = request["method"].split(".")
    endpoint = endpoint_of(setups, case)
    if "sequence" in request:
        return _sequence(endpoint, request["sequence"], case["setup"])
    stub = endpoint.prediction if service == "PredictionService" else endpoint.model
    seen = called(getattr(stub, method), filled(request, service, method))
    if method == "GetModelStatus" and "response" in seen:
        seen["versions"] = [
            {"version": v.version, "state": STATES[v.state], "error_code": v.status.error_code}
            for v in seen["response"].model_version_status
        ]
    return seen


def _sequence(endpoint, steps, model):
    """Several signatures of a model, one after the other."""
    outputs = []
    for step in steps:
        message = filled(step, "PredictionService", "Predict")
        message.model_spec.name, message.model_spec.signature_name = model, step["signature_name"]
        outputs.append(array(endpoint.prediction.Predict(message).outputs["output"]).item())
    return {"sequence": outputs}


# ---------------------------------------------------------------------------------------------------- new model lists


def reload(setups, case):
    request, folders = case["request"], {name: setups.folder / name for name in ("two", "hp2", "hp3")}
    policy = "model_version_policy { all {} }"
    setup = {"hp2": (folders["hp2"], 1), "hp2_two_versions_all": ((folders["two"], policy), 2)}
    model, versions = setup[case["setup"]]
    endpoint = setups.fresh({"default": model})
    until(lambda: list(endpoint.states("default").values()) == ["AVAILABLE"] * versions)
    assert request["method"] == "ModelService.HandleReloadConfigRequest"
    config = plain(request["config"])
    if isinstance(config, str):  # in words, with the labels in braces
        labels = dict(re.findall(r"(\w+): ?(\d+)", config[config.index("{") :]))
        labels = " ".join(f'version_labels {{ key: "{k}" value: {v} }}' for k, v in labels.items())
        text = model_list({"default": (folders["two"], f"{policy} {labels}")})
    else:
        from google.protobuf import json_format

        text = str(json_format.ParseDict(config, parsed(""))).replace("<hp3>", str(folders["hp3"]))
    seen = called(endpoint.reload, text)
    return {**seen, "then": [step(endpoint, each) for each in case["expect"].get("then", [])]}


_STEPS = (  # what a follow-up check gives, and what it expects
    ({"predict", "x"}, {"y"}),
    ({"predict", "x"}, {"status"}),
    ({"status_of"}, {"state"}),
    ({"predict_label"}, {"version"}),
    ({"predict_no_version"}, {"version"}),
)


def step(endpoint, wanted):
    """A follow-up check, with what was seen in place of what is expected.

    Raises:
        NotImplementedError: it has a field that is not looked at here.
    """
    if not any(result <= wanted.keys() <= given | result for given, result in _STEPS):
        raise NotImplementedError(f"no such follow-up check: {wanted}")
    seen = plain(wanted)
    if "predict" in seen:
        found = called(endpoint.half, seen["predict"], seen.get("x", 2.0))
        return seen | ({"status": found["status"]} if "status" in seen else {"y": found["response"]})
    if "status_of" in seen:
        until(lambda: set(endpoint.states(seen["status_of"]).values()) == {wanted["state"]})
        return seen
    assert seen.get("predict_no_version", True) is True
    _, spec = endpoint.predict("default", {"x": [2.0]}, label=seen.get("predict_label"))
    return seen | {"version": spec.version.value}


def observe(setups, case: Given) -> dict:
    """What is seen of a case, as `differences` takes it.

    Raises:
        NotImplementedError: no observer for such a case, or fields that the observer does not know.
    """
    from tests.serving import conformance_lifecycle as lifecycle

    observers = {
        **{"rest": rest, "grpc": call, "reload": reload, "labels": reload, "config": lifecycle.command},
        **{"cli": lifecycle.command, "fs": lifecycle.folders, "upgrade": lifecycle.upgrade, "warmup": lifecycle.warmup},
        **{"batching": lifecycle.batching, "xla": lifecycle.xla_off, "ops": lifecycle.text_ops},
    }
    area = case["area"].split(".")[0]
    if area not in observers:
        raise NotImplementedError(f"no observer for {case['area']}")
    seen = observers[area](setups, case)
    for documented in ("id", "transport", "priority", "origin", "source", "core", "notes", "expect"):
        case.get(documented)
    missed = [name for name in case.unread() if not name.startswith("expect.")]  # whose fields `differences` knows
    if missed:
        raise NotImplementedError(f"the observer of {area} does not know {', '.join(missed)}")
    return seen
