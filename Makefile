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
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@

install: $(VENV)/.installed

# The main job on the built-in sample corpus: train, evaluate, export, predict. No network beyond the package index.
quickstart: install
	$(BIN)/python pipelines/quickstart.py

test: install
	$(BIN)/python -m pytest

# JAX and PyTorch are needed by the backend matrix only, so they come with the slow tests.
$(VENV)/.backends: $(VENV)/.installed
	$(BIN)/pip install --quiet --editable '.[dev,jax,torch]' $(BACKEND_PINS)
	@touch $@

test-slow: $(VENV)/.backends
	$(BIN)/python -m pytest -m slow

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf $(VENV) .cache runs build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
