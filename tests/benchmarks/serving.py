"""What the endpoint adds to a model, and what batching brings: load over loopback from another process.

A process serves one exported model, and first times direct calls of it in itself. This process then asks over gRPC and REST
with one text at a time, and over gRPC with many requests under way, with and without batching; `CPU, ms` is what a request
takes of the endpoint's process alone. With `--soak` it goes on asking, and prints how much memory the endpoint has after each
tenth.

    python tests/benchmarks/serving.py saved_models/sentiment_sample --text "The plot was good but the acting was not."
    python tests/benchmarks/serving.py saved_models/imdb --texts reviews.txt --concurrency 32 --requests 2000
    python tests/benchmarks/serving.py saved_models/sentiment_sample --soak 50000
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

METHOD = "/tensorflow.serving.PredictionService/Predict"
NAMES = {False: "without batching", True: "with batching"}


def serve(options):
    """Serves until standard input ends; prints the ports and the seconds of direct calls."""
    from nlp_suite.serving.flags import Options
    from nlp_suite.serving.server import Server, prepare_process

    flags = {
        "model_base_path": options.model,
        "host": "127.0.0.1",
        "port": options.ports[0],
        "rest_api_port": options.ports[1],
    }
    if options.alone:
        flags |= {"run_waiting_requests_together": False}
    if options.xla:
        flags |= {"xla_cpu_compilation_enabled": True}
    if options.batching:
        flags |= {"enable_batching": True, "batching_parameters_file": options.batching}
    prepare_process(Options(**flags))
    with Server(Options(**flags)) as server:
        from tensorflow_serving.apis import model_pb2

        texts, taken = _texts(options), []
        with server.manager.use(model_pb2.ModelSpec(name="default")) as servable:
            signature = servable.signatures[options.signature]
            (alias,) = signature.inputs
            outputs = sorted(signature.outputs)
            for i in range(options.warm + options.direct):
                fed = np.empty(1, object)
                fed[0] = texts[i % len(texts)].encode()
                start = time.perf_counter()
                servable.run(options.signature, {alias: fed}, outputs)
                taken.append(time.perf_counter() - start)
        print(json.dumps({"alias": alias, "direct": taken[options.warm :]}), flush=True)
        sys.stdin.read()


def _texts(options):
    return Path(options.texts).read_text("utf-8").splitlines() if options.texts else [options.text]


class Endpoint:
    """A serving process, with or without batching."""

    def __init__(self, options, batching):
        self.ports = _free_ports()
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", "--ports", *map(str, self.ports)]
        if batching:
            command += ["--batching", batching]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        first = self._process.stdout.readline()
        if not first:
            raise SystemExit("the server did not start: run with --worker --ports 8500 8501 to see why")
        found = json.loads(first)
        self.direct = np.array(found["direct"])
        self._requests = [_request(text, found["alias"], options.signature) for text in _texts(options)]
        self._bodies = [json.dumps({"signature_name": options.signature, "inputs": [t]}) for t in _texts(options)]

    def one_by_one(self, number):
        """Seconds of requests one after another, over gRPC and over REST."""
        import grpc

        with grpc.insecure_channel(f"127.0.0.1:{self.ports[0]}") as channel:
            call = channel.unary_unary(METHOD)
            over_grpc = [_timed(call, self._requests[i % len(self._requests)]) for i in range(number)]
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[1])

        def ask(body):
            connection.request("POST", "/v1/models/default:predict", body)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            answer.read()

        return np.array(over_grpc), np.array([_timed(ask, self._bodies[i % len(self._bodies)]) for i in range(number)])

    def together(self, number, concurrency):
        """Seconds of each request, and of all, with so many under way."""
        import grpc

        free, taken, lock = threading.Semaphore(concurrency), [], threading.Lock()
        with grpc.insecure_channel(f"127.0.0.1:{self.ports[0]}") as channel:
            call = channel.unary_unary(METHOD)
            call(self._requests[0])
            began = time.perf_counter()
            for i in range(number):
                free.acquire()
                start = time.perf_counter()

                def ended(future, start=start):
                    future.result()
                    with lock:
                        taken.append(time.perf_counter() - start)
                    free.release()

                call.future(self._requests[i % len(self._requests)]).add_done_callback(ended)
            for _ in range(concurrency):
                free.acquire()
            whole = time.perf_counter() - began
        assert len(taken) == number
        return np.array(taken), whole

    def cpu_seconds(self):
        """CPU time that the process has taken, its threads together."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def mebibytes(self):
        """Resident memory of the process."""
        status = Path(f"/proc/{self._process.pid}/status").read_text("utf-8")
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def close(self):
        """Ends the process."""
        self._process.stdin.close()
        self._process.wait()


def _timed(function, argument):
    start = time.perf_counter()
    function(argument)
    return time.perf_counter() - start


def _request(text, alias, signature):
    """A serialized PredictRequest."""
    from nlp_suite.serving.client import protos

    request = protos.message("tensorflow.serving.PredictRequest")()
    request.model_spec.name, request.model_spec.signature_name = "default", signature
    tensor = request.inputs[alias]
    tensor.dtype = 7  # DT_STRING
    tensor.tensor_shape.dim.add(size=1)
    tensor.string_val.append(text.encode())
    return request.SerializeToString()


def _free_ports():
    import socket

    sockets = [socket.socket() for _ in range(2)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _line(what, seconds, rate="", faster="", cpu=""):
    low, middle, high, most = (np.percentile(seconds, q) * 1e3 for q in (50, 90, 99, 99.9))
    print(f"{what:36}{low:9.2f}{middle:9.2f}{high:9.2f}{most:9.2f}{rate:>12}{faster:>9}{cpu:>9}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="folder of a model's versions")
    parser.add_argument("--text", default="The plot was good but the acting was not.")
    parser.add_argument("--texts", help="file with a text a line, taken in turn")
    parser.add_argument("--signature", default="serving_default")
    parser.add_argument("--concurrency", type=int, nargs="+", default=[32])
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--soak", type=int, default=0, help="requests after which memory is looked at; default: none")
    parser.add_argument("--direct", type=int, default=300, help="calls one after another")
    parser.add_argument("--warm", type=int, default=30, help="calls that do not count")
    parser.add_argument("--timeout-micros", type=int, default=0, help="of the batching file")
    parser.add_argument("--max-batch", type=int, default=32)
    parser.add_argument(
        "--batch-threads",
        type=int,
        default=max(1, (os.cpu_count() or 1) // 2),
        help="num_batch_threads of the batching file; default: half of the cores, the others read and write requests",
    )
    parser.add_argument("--xla", action="store_true", help="with XLA: translate_xla, where an export has it")
    parser.add_argument("--alone", action="store_true", help="without batching, requests that wait do not run together")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ports", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--batching", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.model = str(Path(options.model).absolute())
    if options.worker:
        serve(options)
        return
    print(f"{'':36}{'ms, 50 %':>9}{'90 %':>9}{'99 %':>9}{'99.9 %':>9}{'requests/s':>12}{'faster':>9}{'CPU, ms':>9}")
    with tempfile.NamedTemporaryFile("w", suffix=".config") as file:
        file.write(
            f"max_batch_size {{ value: {options.max_batch} }}\nbatch_timeout_micros {{ value: {options.timeout_micros} }}\n"
        )
        file.write(f"max_enqueued_batches {{ value: 1000 }}\nnum_batch_threads {{ value: {options.batch_threads} }}\n")
        file.flush()
        rates = {}
        for batching in (False, True):
            endpoint = Endpoint(options, file.name if batching else None)
            _line(f"direct call, {NAMES[batching]}", endpoint.direct)
            over_grpc, over_rest = endpoint.one_by_one(options.direct)
            _line(f"gRPC, one by one, {NAMES[batching]}", over_grpc)
            _line(f"REST, one by one, {NAMES[batching]}", over_rest)
            for concurrency in options.concurrency:
                endpoint.together(options.requests // 4, concurrency)
                before = endpoint.cpu_seconds()
                taken, whole = endpoint.together(options.requests, concurrency)
                cpu = f"{(endpoint.cpu_seconds() - before) / options.requests * 1e3:.2f}"
                rates[concurrency, batching] = rate = options.requests / whole
                faster = f"{rate / rates[concurrency, False]:.2f}" if batching else ""
                _line(f"gRPC, {concurrency} at once, {NAMES[batching]}", taken, f"{rate:,.0f}", faster, cpu)
            if batching and options.soak:
                soak(endpoint, options)
            endpoint.close()


def soak(endpoint, options):
    """Asks on and prints the memory of the endpoint after each tenth."""
    print(f"\n{'requests':>12}{'MiB':>9}\n{0:12,}{endpoint.mebibytes():9,.0f}", flush=True)
    for tenth in range(1, 11):
        endpoint.together(options.soak // 10, options.concurrency[-1])
        print(f"{tenth * (options.soak // 10):12,}{endpoint.mebibytes():9,.0f}", flush=True)


if __name__ == "__main__":
    main()
