"""The built-in endpoint: loads, opens its ports when all is ready, serves, and drains when told to end."""

import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

from nlp_suite.serving.batching_parameters import BatchingParameters, read_batching_parameters
from nlp_suite.serving.core import Core
from nlp_suite.serving.flags import Options
from nlp_suite.serving.grpc_server import make_grpc_server
from nlp_suite.serving.manager import Manager
from nlp_suite.serving.metrics import Metrics
from nlp_suite.serving.model_config import one_model, read_model_config
from nlp_suite.serving.page import page_files
from nlp_suite.serving.rest.app import MODELS_PATH, RestApp
from nlp_suite.serving.servable import SessionSettings
from nlp_suite.serving.status import Code, ServingError
from nlp_suite.serving.text_protos import read_text_proto

logger = logging.getLogger(__name__)
_DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"


class Server:
    """An endpoint in this process.

    XLA is left as the process has it: TensorFlow can switch it off only for good, so `serve` does that.

    Args:
        options: the flags.

    Raises:
        ServingError: flags or files that cannot be.

    Example:
        >>> with Server(Options(model_name="sentiment", model_base_path="saved_models/sentiment", rest_api_port=8501)):
        ...     ...  # ports are open
    """

    def __init__(self, options: Options):
        self._options = options
        self._config = _model_list(options)
        if options.batching_parameters_file and not options.enable_batching:
            raise ServingError(
                Code.INVALID_ARGUMENT,
                "server_options.batching_parameters_file is set without setting server_options.enable_batching to true.",
            )
        self._metrics_path = _metrics_path(options)
        metrics = Metrics()
        self.manager = Manager(
            _session_settings(options),
            metrics=metrics,
            warmup=options.enable_model_warmup,
            warmup_iterations=options.num_request_iterations_for_warmup or 1,
            max_retries=options.max_num_load_retries,
            retry_seconds=options.load_retry_interval_micros / 1e6,
            load_threads=options.num_load_threads,
            labels_for_unavailable=options.allow_version_labels_for_unavailable_models,
        )
        self.core = Core(
            self.manager,
            metrics,
            max_tensor_bytes=options.grpc_max_message_bytes,
            as_content=options.enable_serialization_as_tensor_content,
        )
        self._ending, self._opening, self._threads = threading.Event(), threading.Lock(), []
        self._grpc = self._http = self._app = None

    def start(self) -> bool:
        """Loads every model, then opens the ports.

        Returns:
            Whether they are open: not where `stop` was called meanwhile.

        Raises:
            ServingError: a model that does not become available, or a port that is taken.
        """
        self._every(self._options.file_system_poll_wait_seconds, self.manager.look)
        try:
            self.manager.apply(self._config)
        except ServingError as error:
            if self._ending.is_set():
                return False
            raise ServingError(error.code, f"Failed to start server. Error: {error.message}") from error
        with self._opening:
            if self._ending.is_set():
                return False
            self._open_ports()
        return True

    def _open_ports(self):
        options = self._options
        self._every(options.model_config_file_poll_wait_seconds, self._read_list_again)
        if options.port or options.grpc_socket_path:
            self._grpc = make_grpc_server(self.core, options)
        if options.rest_api_port:
            self._start_http()
        if self._grpc:
            self._grpc.start()

    def _every(self, seconds, function):
        """Calls a function again and again in a thread, until the end; never where `seconds` is 0."""

        def loop():
            while not self._ending.wait(seconds):
                try:
                    function()
                except Exception as error:
                    logger.error("%s: %s", function.__name__, error)

        if seconds:
            self._threads.append(threading.Thread(target=loop, daemon=True))
            self._threads[-1].start()

    def _read_list_again(self):
        if not self._options.model_config_file:
            return
        config = read_model_config(self._options.model_config_file)
        if config != self._config:
            self.manager.apply(config)
            self._config = config

    def _start_http(self):
        import uvicorn

        from nlp_suite.serving.rest.protocol import LimitedHttp

        options = self._options
        self._app = RestApp(self.core, options, self._metrics_path)
        config = uvicorn.Config(
            self._app,
            host=options.host,
            port=options.rest_api_port,
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="error",
            http=LimitedHttp,
            ws="none",
            loop="asyncio",
            server_header=False,
            timeout_graceful_shutdown=options.drain_seconds,
            timeout_keep_alive=max(5, (options.rest_api_timeout_in_ms or 30_000) // 1000),
        )
        listener = _bound(options)
        self._http = uvicorn.Server(config)
        self._threads.append(threading.Thread(target=self._http.run, args=([listener],), daemon=True))
        self._threads[-1].start()
        while self._threads[-1].is_alive() and not self._http.started:
            time.sleep(0.01)

    def announce(self) -> None:
        """Logs which ports are open."""
        options = self._options
        ports = [f"gRPC on {options.address(options.port)}"] if options.port else []
        if options.grpc_socket_path:
            ports.append(f"gRPC on unix:{options.grpc_socket_path}")
        if options.rest_api_port:
            page = f", page http://localhost:{options.rest_api_port}/" if options.page else ""
            ports.append(f"REST on {options.address(options.rest_api_port)}{page}")
        logger.info("ready: %s; models: %s", "; ".join(ports), ", ".join(self.manager.names()) or "none")

    def stop(self) -> bool:
        """Refuses new requests, lets running ones end, unloads everything.

        Returns:
            Whether all requests had ended after the seconds that `drain_seconds` gives them.
        """
        with self._opening:
            self._ending.set()
        until = time.monotonic() + self._options.drain_seconds
        stopped = self._grpc.stop(self._options.drain_seconds) if self._grpc else None
        if self._http:
            self._http.should_exit = True
        if stopped:
            stopped.wait()
        for thread in self._threads:
            thread.join(max(0, until - time.monotonic()) + 1)
        if self._app:
            self._app.close()
        return self.manager.close(max(0, until - time.monotonic()) + 1)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()


def serve(options: Options) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        ServingError: it cannot start.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    server = Server(options)
    _import_tensorflow()
    if not options.xla_cpu_compilation_enabled:
        switch_xla_off()
    gc.freeze()  # what is imported stays, so the search for an unloaded graph need not look at it
    threading.Thread(target=_start_or_end, args=(server, end, failed := []), daemon=True).start()
    end.wait()
    if not failed:
        logger.info("ending: no new requests, at most %d s for running ones", options.drain_seconds)
    ended = server.stop()
    if failed:
        raise failed[0]
    if not ended:
        logger.warning("ending with requests that still ran after %d s", options.drain_seconds)
        logging.shutdown()
        os._exit(0)  # their threads cannot be ended otherwise


def _import_tensorflow():
    """Imports it without the lines that it writes to standard error whatever its log level."""
    kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 2)
    try:
        import tensorflow  # noqa: F401
        import tensorflow_text  # noqa: F401
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(sink)


def _start_or_end(server, end, failed):
    try:
        if server.start():
            server.announce()
    except BaseException as error:
        failed.append(error)
        end.set()


def _bound(options: Options) -> socket.socket:
    """A TCP socket bound to the address of REST.

    The protocol is named, which `socket.create_server` and uvicorn leave out: asyncio switches Nagle's algorithm off only
    for sockets that say TCP, and with it on every answer takes 40 ms longer.
    """
    try:
        found = socket.getaddrinfo(
            options.host, options.rest_api_port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, _, _, address = found[0]
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        where = options.address(options.rest_api_port)
        raise ServingError(Code.UNAVAILABLE, f"cannot listen for REST on {where}: {error.strerror or error}") from error
    return listener


def _model_list(options):
    if options.model_config_file:
        return read_model_config(options.model_config_file)
    if not options.model_base_path:
        raise ServingError(
            Code.INVALID_ARGUMENT, "Both server_options.model_base_path and server_options.model_config_file are empty!"
        )
    return one_model(options.model_name, options.model_base_path)


def _session_settings(options):
    batching = None
    if options.enable_batching:
        path = options.batching_parameters_file
        batching = read_batching_parameters(path) if path else BatchingParameters()
    both = options.tensorflow_session_parallelism
    return SessionSettings(
        tags=tuple(options.saved_model_tags.split(",")),
        intra_op_threads=options.tensorflow_intra_op_parallelism or both or 1,
        inter_op_threads=options.tensorflow_inter_op_parallelism or both,
        batching=batching,
        xla=options.xla_cpu_compilation_enabled,
    )


def _metrics_path(options) -> str | None:
    """Where the metrics stand, or None where no file enables them."""
    file = options.monitoring_config_file
    if not file:
        return None
    config = read_text_proto(file, "MonitoringConfig").prometheus_config
    path = config.path or _DEFAULT_METRICS_PATH
    if not config.enable:
        return None
    wrong = "" if path.startswith("/") else "must begin with /"
    if path.lower().startswith("/v1/"):
        wrong = "is the REST interface's: choose one that does not begin with /v1/"
    elif options.page and path in (*page_files(), MODELS_PATH):
        wrong = "is the page's: choose another, or --page=false"
    if wrong:
        raise ServingError(Code.INVALID_ARGUMENT, f"{file!r}: prometheus_config path {path!r} {wrong}")
    return path


def switch_xla_off() -> bool:
    """Switches XLA off in this process for good, as a stock server does; False where this build hides the switch."""
    import ctypes

    import tensorflow as tf

    library = str(Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2")
    try:
        ctypes.CDLL(library)._ZN10tensorflow21DisableXlaCompilationEv()
    except (OSError, AttributeError):
        return False
    return True
