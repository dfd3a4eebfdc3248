# Everything on a fresh machine with python3 and make: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
DOCS := $(VENV)/.docs
# JAX for NVIDIA GPUs where there is one; `make EXTRAS= …` leaves it out.
EXTRAS ?= $(if $(shell command -v nvidia-smi),[cuda])

.PHONY: demo docs test slow coverage check format smoke wheel fuzz peers bench gpu-check clean

# First the network of the book, then all methods on a modern one.
demo: $(CORE)
	$(VENV)/bin/jaxbq run book
	$(VENV)/bin/jaxbq run all_methods

# The documentation site, build/site/index.html; the built pages need neither a server nor a network.
docs: $(DOCS)
	$(VENV)/bin/python scripts/site/pages.py
	$(VENV)/bin/zensical build --strict --clean

# Tests mostly compile: programs are kept, for the other worker and the next time. Most are not of
# a run, which would keep its own.
test slow coverage: export JAX_COMPILATION_CACHE_DIR = $(abspath $(VENV))/compiled
test slow coverage: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
# So is bytecode, beside the environment: tests start Python often.
test slow coverage: export PYTHONDONTWRITEBYTECODE =
test slow coverage: export PYTHONPYCACHEPREFIX = $(abspath $(VENV))/bytecode
# So are judges, panels and autoencoders.
test slow coverage: export JAXBQ_CACHE = $(abspath $(VENV))/cache
# Tests of one file on one worker, which has its programs.
PYTEST := $(VENV)/bin/python -m pytest --numprocesses auto --dist loadfile --durations 10

test: $(DEV)
	$(PYTEST) -m "not slow"

# The tests that `make test` leaves out because they take longest: a browser, real processes, the
# full MNIST. With them, types and shapes of every call are checked. Few share programs, so a worker
# that is done takes over what another has left.
slow: export JAXBQ_CHECK_TYPES = 1
slow: $(DEV)
	$(PYTEST) -m slow --dist worksteal

# What `make test` covers, by line and branch.
coverage: $(DEV)
	$(PYTEST) -m "not slow" --cov --cov-report=term

check: $(DEV)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

format: $(DEV)
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

smoke: $(CORE)
	$(VENV)/bin/jaxbq run smoke --out $(VENV)/smoke

# The wheel, installed into a fresh environment outside the checkout, and one bundled config.
wheel: $(VENV)/bin/python
	PYTHON=$(abspath $(VENV))/bin/python scripts/try_wheel.sh

# A short run of the fuzzer on every reader of untrusted files.
fuzz: $(DEV)
	$(PIP) --editable '.[fuzz]'
	$(VENV)/bin/python scripts/fuzz.py --runs 1000 --keep $(VENV)/fuzz-failures

# PyTorch and the other peers of the benchmark, for tests that are skipped without them.
peers: $(DEV)
	$(PIP) --editable '.[torch,bench]'

# jaxbq beside its peers; leave the machine alone meanwhile.
bench: peers
	$(VENV)/bin/python -m benchmarks benchmarks/benchmark.toml

# All that a GPU has to show, in eight minutes: runs/gpu-check/table.md.
gpu-check: $(DEV)
	$(VENV)/bin/python scripts/gpu_check.py

clean:
	rm -rf $(VENV) runs

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("jaxbq needs Python 3.11 or newer: make PYTHON=python3.12 …" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

$(CORE): $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) --editable '.$(EXTRAS)'
	@touch $@

$(DEV): $(CORE)
	$(PIP) --editable '.[dev]'
	@touch $@

$(DOCS): $(CORE)
	$(PIP) --editable '.[docs]'
	@touch $@
