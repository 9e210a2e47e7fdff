"""The endpoints that conformance cases ask, by the names of their setups."""

from tests.serving import toy_models
from tests.serving.endpoint import Command, model_list, serving

TOYS = {  # model → what makes it
    "ids": toy_models.ids_int32,
    "echo_f": toy_models.echo_float,
    "echo_s": toy_models.echo_string,
    "echo_b": toy_models.echo_bytes,
    "two_out": toy_models.two_out,
    "scalar_out": toy_models.scalar_out,
    "odd_batch": toy_models.odd_batch,
    "zero_out": toy_models.zero_out,
    "two_in": toy_models.two_in,
    "counter": toy_models.counter,
    "dense": toy_models.dense_3x1,
    "text_ops": toy_models.of_text_ops,
}
TOY_SETUPS = {"ids_int32", "echo_float", "echo_string", "echo_bytes", "two_out", "scalar_out", "odd_batch", "zero_out"}
TOY_SETUPS |= {"two_in", "counter", "dense_3x1"}
PADDING = "max_batch_size { value: 2 } batch_timeout_micros { value: 5000000 } pad_variable_length_inputs: true"
BATCHING = (
    "max_batch_size { value: 128 } batch_timeout_micros { value: 0 } max_enqueued_batches { value: 1000000 } "
    "num_batch_threads { value: 8 }"
)


class Setups:
    """The endpoints that cases ask, each started when it is first needed."""

    def __init__(self, folder, stack):
        self.folder, self._stack, self._made = folder, stack, {}
        for version, plus in {"hp2/123": 2.0, "hp3/123": 3.0, "two/123": 2.0, "two/124": 3.0}.items():
            toy_models.half_plus(folder / version, plus)

    def fresh(self, models, **flags):
        """An endpoint for one case; models are folders by name."""
        return serving(self._stack, self.folder, models, **flags)

    def file(self, name, text):
        (self.folder / name).write_text(text)
        return self.folder / name

    def model(self, name, make, version=1):
        """A folder with one version."""
        if not (self.folder / name / str(version)).exists():
            make(self.folder / name / str(version))
        return self.folder / name

    def empty(self, name):
        (self.folder / name).mkdir()
        return self.folder / name

    def __getitem__(self, name):
        if name not in self._made:
            self._made[name] = getattr(self, f"_{name}")()
        return self._made[name]

    def _hp2(self):
        return self.fresh({"default": self.folder / "hp2"})

    def _hp2_label(self):
        made = self._hp2()
        labels = 'version_labels { key: "my_label" value: 123 }'
        made.reload(
            f'model_config_list {{ config {{ name: "default" base_path: "{self.folder / "hp2"}" '
            f'model_platform: "tensorflow" {labels} }} }}'
        )
        return made

    def _hp2_prometheus(self):
        config = self.file("monitoring", 'prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }')
        made = self.fresh({"default": self.folder / "hp2"}, monitoring_config_file=str(config))
        made.half("default")
        return made

    def _hp2_batching(self):
        return self.batching("hp2_batching", BATCHING, {"default": self.folder / "hp2"})

    def _toys(self):
        return self.fresh({name: self.model(name, make) for name, make in TOYS.items()})

    def batching(self, name, parameters, models):
        """An endpoint with batching, parameters as text."""
        file = self.file(f"{name}.batching", parameters)
        return self.fresh(models, enable_batching=True, batching_parameters_file=str(file))

    def _command(self):
        """One process with a list that is not read again, a socket, and XLA switched off."""
        models = {"half_plus_two": self.folder / "hp2", "default": self.folder / "hp2"}
        models["compiled"] = self.model("compiled", toy_models.must_compile)
        file = self.folder / "command.config"
        file.write_text(model_list(models))
        socket = self.folder / "tf-serving.sock"
        arguments = [f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=0"]
        made = self._stack.enter_context(Command(*arguments, f"--grpc_socket_path={socket}"))
        made.config_file, made.socket = file, socket
        return made.wait_ready()
