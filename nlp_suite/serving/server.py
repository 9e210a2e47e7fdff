"""The built-in endpoint: loads, opens its ports when all is ready, serves, and drains when told to stop."""

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from nlp_suite.backend import SELDOM, UNUSED, kept_out
from nlp_suite.native_output import suppress_native_log
from nlp_suite.serving.access_log import AccessLog
from nlp_suite.serving.batching_parameters import BatchingParameters, read_batching_parameters
from nlp_suite.serving.core import Core
from nlp_suite.serving.descriptors import ConnectionLimit, OverloadLog, raise_limit
from nlp_suite.serving.flags import Options
from nlp_suite.serving.grpc_server import make_grpc_server
from nlp_suite.serving.limits import RequestLimits
from nlp_suite.serving.listening import host_and_port, listeners
from nlp_suite.serving.log_lines import configure_logging
from nlp_suite.serving.manager import Manager
from nlp_suite.serving.metrics import Metrics
from nlp_suite.serving.model_config import one_model, read_model_config
from nlp_suite.serving.page import page_files
from nlp_suite.serving.ports import ReservedPorts
from nlp_suite.serving.rest.app import PAGE_PATHS, RestApp
from nlp_suite.serving.run_queue import RunQueue
from nlp_suite.serving.servable import SessionSettings
from nlp_suite.serving.status import ServingError, invalid_argument
from nlp_suite.serving.text_protos import read_text_proto

if TYPE_CHECKING:
    import uvicorn

logger = logging.getLogger(__name__)
_DEFAULT_METRICS_PATH = "/monitoring/prometheus/metrics"
_SIGNAL_SECONDS = 0.2  # a signal that another thread received is seen by the main thread when it wakes up


class Server:
    """An endpoint in this process.

    XLA is left as the process has it: TensorFlow can switch it off only for good, so `serve` does that.

    Args:
        options: the flags.

    Raises:
        ServingError: impossible flags, or files that cannot be used.

    Example:
        >>> with Server(Options(model_name="sentiment", model_base_path="saved_models/sentiment", rest_api_port=8501)):
        ...     ...  # ports are open
    """

    def __init__(self, options: Options):
        self._options = options
        self._config = _model_list(options)
        if options.batching_parameters_file and not options.enable_batching:
            raise invalid_argument(
                "server_options.batching_parameters_file is set without setting server_options.enable_batching to true."
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
            limits=RequestLimits(
                max_rows=options.max_request_rows,
                max_row_bytes=options.max_row_bytes,
                max_bytes=options.grpc_max_message_bytes,
            ),
            as_content=options.enable_serialization_as_tensor_content,
            log=AccessLog(options.log_requests, options.log_text),
        )
        self._stopping, self._opening = threading.Event(), threading.Lock()
        self._threads: list[threading.Thread] = []
        self._grpc: Any = None
        self._http: uvicorn.Server | None = None
        self._app: RestApp | None = None
        self._reserved: ReservedPorts | None = None

    def reserve_ports(self) -> None:
        """Takes the ports without answering on them; `start` does it too, before anything is loaded.

        Raises:
            ServingError: a port that is taken.
        """
        self._reserved = self._reserved or ReservedPorts(self._options)

    def start(self) -> bool:
        """Loads every model, then opens the ports.

        Returns:
            Whether they are open: not where `stop` was called meanwhile.

        Raises:
            ServingError: a model that does not become available, or a port that is taken.
        """
        self.reserve_ports()
        self._repeat(self._options.file_system_poll_wait_seconds, self.manager.poll_filesystem)
        try:
            self.manager.apply_config(self._config)
        except ServingError as error:
            if self._stopping.is_set():
                return False
            raise ServingError(error.code, f"Failed to start server. Error: {error.message}") from error
        with self._opening:
            if self._stopping.is_set():
                return False
            self._open_ports()
        return True

    def _open_ports(self) -> None:
        options = self._options
        self._repeat(options.model_config_file_poll_wait_seconds, self._reread_config)
        self._release_ports()
        listeners = [options.port, options.grpc_socket_path, options.rest_api_port]
        limit = ConnectionLimit.of_this_process(sum(map(bool, listeners)))
        if options.port or options.grpc_socket_path:
            self._grpc = make_grpc_server(self.core, options, limit.per_port)
        if options.rest_api_port:
            self._start_http(limit)
        if self._grpc:
            self._grpc.start()
        self._repeat(1, OverloadLog(limit, self._grpc is not None).look)

    def _release_ports(self) -> None:
        if self._reserved is not None:
            self._reserved.release()

    def _repeat(self, seconds: float, function: Callable[[], None]) -> None:
        """Calls a function every `seconds` in a thread, until the server stops; never where `seconds` is 0."""

        def loop() -> None:
            while not self._stopping.wait(seconds):
                try:
                    function()
                except Exception as error:
                    logger.error("%s: %s", function.__name__, error)

        if seconds:
            self._start_thread(loop)

    def _start_thread(self, target: Callable[..., Any], *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _reread_config(self) -> None:
        if not self._options.model_config_file:
            return
        config = read_model_config(self._options.model_config_file)
        if config != self._config:
            self.manager.apply_config(config)
            self._config = config

    def _start_http(self, limit: ConnectionLimit) -> None:
        import uvicorn

        from nlp_suite.serving.rest.protocol import HEADERS, LimitedHttp

        options = self._options
        self._app = RestApp(self.core, options, self._metrics_path)
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="error",
            http=partial(LimitedHttp, limit=limit, log=self.core.log),  # type: ignore[arg-type]
            backlog=limit.accepted_at_once,
            ws="none",
            loop="asyncio",
            server_header=False,
            headers=HEADERS,
            timeout_graceful_shutdown=options.drain_seconds,
            timeout_keep_alive=max(5, (options.rest_api_timeout_in_ms or 30_000) // 1000),
        )
        sockets = listeners(options.host, options.rest_api_port, "REST")
        self._http = uvicorn.Server(config)
        thread = self._start_thread(asyncio.run, _run_http(self._http, sockets, limit))
        while thread.is_alive() and not self._http.started:
            time.sleep(0.01)
        for each in sockets if self._http.started else ():
            each.listen(2048)  # as many may wait; asyncio goes on accepting `accepted_at_once`

    def announce(self) -> None:
        """Logs which ports are open."""
        options = self._options
        ports = [f"gRPC on {host_and_port(options.host, options.port)}"] if options.port else []
        if options.grpc_socket_path:
            ports.append(f"gRPC on unix:{options.grpc_socket_path}")
        if options.rest_api_port:
            page = f", page http://localhost:{options.rest_api_port}/" if options.page else ""
            ports.append(f"REST on {host_and_port(options.host, options.rest_api_port)}{page}")
        logger.info("ready: %s; models: %s", "; ".join(ports), ", ".join(self.manager.names()) or "none")

    def stop(self) -> bool:
        """Refuses new requests, lets running ones end, unloads everything.

        Returns:
            Whether all requests had ended after the seconds that `drain_seconds` gives them.
        """
        with self._opening:
            self._stopping.set()
            self._release_ports()
        deadline = time.monotonic() + self._options.drain_seconds
        stopped = self._grpc.stop(self._options.drain_seconds) if self._grpc else None
        if self._http:
            self._http.should_exit = True
        if stopped:
            stopped.wait()
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()) + 1)
        if self._app:
            self._app.close()
        return self.manager.close(max(0, deadline - time.monotonic()) + 1)

    def __enter__(self) -> "Server":
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


async def _run_http(server: "uvicorn.Server", sockets: list[socket.socket], limit: ConnectionLimit) -> None:
    asyncio.get_running_loop().set_exception_handler(limit.handle)
    await server.serve(sockets)


def serve(options: Options) -> None:
    """Serves until SIGTERM or SIGINT.

    Raises:
        ServingError: it cannot start.
    """
    configure_logging(options.log_level, options.log_format == "json")
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    raise_limit()
    server = Server(options)
    server.reserve_ports()
    prepare_process(options)
    failures: list[BaseException] = []
    threading.Thread(target=_start_or_end, args=(server, end, failures), daemon=True).start()
    while not end.wait(_SIGNAL_SECONDS):
        pass
    if not failures:
        logger.info("ending: no new requests, at most %d s for running ones", options.drain_seconds)
    drained = server.stop()
    if failures:
        raise failures[0]
    if not drained:
        logger.warning("ending with requests that still ran after %d s", options.drain_seconds)
        logging.shutdown()
        os._exit(0)  # their threads cannot be ended otherwise


def prepare_process(options: Options) -> None:
    """Does what is done once in a process that serves: TensorFlow is imported, and XLA switched off unless it is asked for.

    It and Keras, which TF Text imports, come without what they would import for features that are not used here.
    What is imported stays, so no search for unreachable objects looks at it: one of a quarter of a second came every few
    thousand requests otherwise.
    """
    usual = gc.get_threshold()
    gc.set_threshold(*SELDOM)
    with suppress_native_log(), kept_out(*UNUSED):
        import tensorflow  # noqa: F401
        import tensorflow_text  # noqa: F401
    gc.set_threshold(*usual)
    if not options.xla_cpu_compilation_enabled:
        switch_xla_off()
    gc.freeze()


def _start_or_end(server: Server, end: threading.Event, failures: list[BaseException]) -> None:
    try:
        if server.start():
            server.announce()
    except BaseException as error:
        failures.append(error)
        end.set()


def _model_list(options: Options) -> Any:
    if options.model_config_file:
        return read_model_config(options.model_config_file)
    if not options.model_base_path:
        raise invalid_argument("Both server_options.model_base_path and server_options.model_config_file are empty!")
    return one_model(options.model_name, options.model_base_path)


def _session_settings(options: Options) -> SessionSettings:
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
        queue=RunQueue(
            options.max_concurrent_runs,
            options.max_rows_at_once,
            together=options.run_waiting_requests_together and batching is None,
        ),
    )


def _metrics_path(options: Options) -> str | None:
    """The path of the metrics, or None where no file enables them."""
    file = options.monitoring_config_file
    if not file:
        return None
    config = read_text_proto(file, "MonitoringConfig").prometheus_config
    path = str(config.path) or _DEFAULT_METRICS_PATH
    if not config.enable:
        return None
    problem = "" if path.startswith("/") else "must begin with /"
    if path.lower().startswith("/v1/"):
        problem = "is the REST interface's: choose one that does not begin with /v1/"
    elif options.page and path in (*page_files(), *PAGE_PATHS):
        problem = "is the page's: choose another, or --page=false"
    if problem:
        raise invalid_argument(f"{file!r}: prometheus_config path {path!r} {problem}")
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
