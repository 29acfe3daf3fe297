# make setup   a virtual environment with everything, in .venv
# make demo    retries, live, on the embedded API server
# make test    every test; those on a real kube-apiserver wherever Go is present
# make bench   how fast it is, beside Go where Go is present, and beside kopf (about 10 minutes)
# make oracle  record every trace again from the Go libraries, and compare (needs Go 1.26)
# make schedules  ten thousand schedules of the lost retry's scenario
# make lint    format, style, types, direction of imports
# make envtest build the real kube-apiserver and etcd once (about 4 minutes; make test does it by itself)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PEERS := $(VENV)/peers

.PHONY: help setup demo test bench oracle schedules lint format envtest changelog clean

help:
	@sed -n 's/^# //p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing the package and its tools into $(VENV) (a minute or two the first time) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $(STAMP)

demo: setup
	@$(BIN)/reconciler demo

test: setup
	$(BIN)/python -m pytest

## Peers have an environment of their own, so that nobody who uses the library installs them.
bench: setup
	@cmp -s benchmarks/requirements.txt $(PEERS)/.installed || { \
	  echo "Installing the peers of the benchmarks into $(PEERS) ..."; \
	  $(BIN)/python -m venv $(PEERS) && \
	  $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check \
	    --requirement benchmarks/requirements.txt && \
	  cp benchmarks/requirements.txt $(PEERS)/.installed; } || \
	  echo "They could not be installed; the benchmarks go on without them."
	$(BIN)/python -m benchmarks

oracle:
	@tests/oracle/check.sh

schedules: setup
	$(BIN)/python -m tests.simulation.schedules --count 10000

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

envtest: setup
	$(BIN)/python -m reconciler.envtest build

changelog: setup
	$(BIN)/python docs/changelog.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
