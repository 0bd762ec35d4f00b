# Everything from a bare machine: Python 3.11 or newer and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: train test test-slow lint format notebook digit-classifier benchmark \
  benchmark-inception mode-coverage downstream test-oracles test-matrix test-one \
  clean

train: $(VENV)/digits
	$(BIN)/python -m experiments.train --workdir=runs/digits

test: $(VENV)/test
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m 'not slow'

# What the other tests leave: long runs, trainings to the end, processes that are
# killed.
test-slow: $(VENV)/test
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m slow

lint: $(VENV)/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebook: $(VENV)/test
	$(BIN)/jupytext --update --to ipynb notebooks/quickstart.py

# Trained anew; experiments/extractors.py records the sha256 of its weights.
digit-classifier: $(VENV)/digits
	$(BIN)/python -m experiments.digit_classifier --data-dir='$(DATA)' \
	  --out=experiments/digit_classifier.npz

# Training steps: against PyTorch's, against the fewest FLOPs, on several devices,
# and against what the device can do. Wants an idle machine.
benchmark: $(VENV)/benchmark
	$(BIN)/python -m experiments.benchmark torch
	$(BIN)/python -m experiments.benchmark profile
	$(BIN)/python -m experiments.benchmark flops
	$(BIN)/python -m experiments.benchmark scaling
	$(BIN)/python -m experiments.benchmark cost
	$(BIN)/python -m experiments.benchmark memory
	$(BIN)/python -m experiments.benchmark utilisation

# Fetches Inception's weights the first time; COUNT=200 for a try.
COUNT ?= 10000
benchmark-inception: $(VENV)/digits
	$(BIN)/python -m experiments.benchmark inception --count=$(COUNT)

# The page docs/mode_coverage.md, with its numbers and its picture.
mode-coverage: $(VENV)/digits
	$(BIN)/python -m experiments.mode_coverage --output=docs

# The page docs/downstream.md, likewise.
downstream: $(VENV)/digits
	$(BIN)/python -m experiments.downstream --output=docs

# Scores against other implementations of them.
test-oracles: $(VENV)/test
	$(BIN)/python -m pip install -q -e '.[test,oracles]'
	$(BIN)/python -m pytest -q tests/metrics

# The oldest, the middle and the newest supported jax, each on its Python; the
# oldest with the oldest flax.
test-matrix:
	$(MAKE) test-one PYTHON=python3.13 VENV=.venv-jax0.7 \
	  PINS='jax==0.7.2 flax==0.11.2'
	$(MAKE) test-one PYTHON=python3.11 VENV=.venv-jax0.10 PINS='jax==0.10.*'
	$(MAKE) test-one PYTHON=python3.12 VENV=.venv-jax0.12 PINS='jax==0.12.*'

test-one: $(BIN)/python
	$(BIN)/python -m pip install -q -e '.[test]' $(PINS)
	$(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "jgan needs Python 3.11 or newer; $(PYTHON) is" \
	    "$$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12" >&2; \
	  exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/digits $(VENV)/test $(VENV)/benchmark: $(VENV)/%: $(BIN)/python \
  pyproject.toml
	$(BIN)/python -m pip install -q -e '.[$*]'
	@touch $@

clean:
	rm -rf .venv .venv-jax* build *.egg-info
