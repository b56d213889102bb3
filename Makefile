# `make help` lists what there is. Needs Python 3.11 to 3.13 and make; everything else comes from the hash locks.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: page-runtime docs help run test coverage test-all test-maths test-mutants test-mutmut lint format ui serve doctor install install-dev install-serve install-serve-gpu install-peers install-peers-series install-mutmut install-dask test-peers test-dask clean clean-all lock

PYTHON ?= python3
VENV ?= .venv
VENV_PEERS ?= .venv-peers
VENV_PEERS_SERIES ?= .venv-peers-series
VENV_DASK ?= .venv-dask
BIN := $(VENV)/bin
PORT ?= 8000
PRESET ?= digits
JOBS ?= 2
MIN_FREE_GB ?= 9
# The digits are this folder's own params.yaml; each other preset has a project in projects/.
PROJECT := $(if $(filter-out digits,$(PRESET)),projects/$(PRESET),.)
INSTALL := $(PYTHON) infra/install.py --venv $(VENV) --free-gb $(MIN_FREE_GB)

# No tool reports to its maker; waiting threads soon sleep (pipelines/runtime/environment.py).
export DO_NOT_TRACK := true
export PREFECT_SERVER_ANALYTICS_ENABLED := false
export MLFLOW_DISABLE_TELEMETRY := true
export GX_ANALYTICS_ENABLED := false
export DVC_NO_ANALYTICS := 1
export GOMP_SPINCOUNT := 2000

TEST_ENV := OMP_WAIT_POLICY=PASSIVE OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1
# A file of tests stays in one process, as its tests share what is dear to make. Where a process dies, the run ends.
QUICK := -q -m "not slow" --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0

help: ## show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: install ## run what is stale from data to champion; the second time it runs nothing (PRESET=name: another example)
	@test -f $(PROJECT)/params.yaml || $(BIN)/ddpm init $(PROJECT) --preset $(PRESET)
	@$(BIN)/ddpm run --project $(PROJECT)

test: install-dev ## the quick tests (5 minutes on 2 fast cores, up to 20 on slow ones)
	$(TEST_ENV) $(BIN)/python -m pytest $(QUICK)

coverage: install-dev ## the quick tests, and how much of the code they run (at least 85 %)
	$(TEST_ENV) $(BIN)/python -m pytest $(QUICK) --cov --cov-report=term:skip-covered --cov-fail-under=85

test-all: install-dev ## every test, with real servers and the pipeline twice (about an hour)
	$(TEST_ENV) $(BIN)/python -m pytest

test-peers: install-peers ## compare with other people's implementations, in an environment of their own
	$(TEST_ENV) $(VENV_PEERS)/bin/python -m pytest tests/peers

test-dask: install-dask ## partitions on a local Dask cluster of two workers, in an environment of its own
	$(TEST_ENV) $(VENV_DASK)/bin/python -m pytest tests/dask

test-maths: install-dev ## the quick tests of the mathematics alone (under 20 s of one core)
	PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 $(TEST_ENV) $(BIN)/python -m pytest -p pytest_timeout -q -m "not slow" $$($(BIN)/python tests/mutants/suite.py)

test-mutants: install-dev ## plant faults in a copy of the code and see that the tests notice (JOBS=2; FAULT=name for one)
	$(BIN)/python tests/mutants/run.py --jobs $(JOBS) $(FAULT)

test-mutmut: install-mutmut ## the same with a sample of the faults that mutmut makes in the mathematics (half an hour)
	$(BIN)/python tests/mutants/general.py --jobs $(JOBS)

lint: install-dev ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install-dev ## bring the code into ruff's form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

ui: install ## show the runs and the registry in MLflow's pages (PRESET=name)
	@$(BIN)/ddpm ui --project $(PROJECT)

serve: install ## serve the bundle over HTTP on this machine (PORT=8000, PRESET=name)
	@$(BIN)/ddpm serve --port $(PORT) --project $(PROJECT)

page-runtime: ## install what `ddpm page` puts into its file, and what checks the page: onnxruntime-web, axe-core (needs npm)
	npm ci --prefix infra/page --ignore-scripts --no-audit --no-fund

doctor: install ## show versions, devices, stores and what is missing
	@$(BIN)/ddpm doctor

install: ## make .venv and install from the hash lock (checks Python and free disk first)
	@$(INSTALL) requirements.lock

install-dev: ## the same with the tools for tests
	@$(INSTALL) requirements-dev.lock

install-serve: ## the same for sampling and serving alone: no torch
	@$(INSTALL) requirements-serve.lock

install-serve-gpu: ## the same with NVIDIA's libraries for onnxruntime on a GPU: no torch
	@$(INSTALL) requirements-serve-gpu.lock

install-dask: ## make .venv-dask: all of install-dev, and Prefect's task runner for Dask
	@$(PYTHON) infra/install.py --venv $(VENV_DASK) --free-gb $(MIN_FREE_GB) requirements-dask.lock

install-peers: ## make .venv-peers: all of install-dev, and the implementations to be compared with
	@$(PYTHON) infra/install.py --venv $(VENV_PEERS) --free-gb $(MIN_FREE_GB) requirements-peers.lock

install-peers-series: install-dev ## make .venv-peers-series: PyPOTS and gluonts, which need other versions than we have
	@test -d $(VENV_PEERS_SERIES) || $(PYTHON) -m venv $(VENV_PEERS_SERIES)
	@$(VENV_PEERS_SERIES)/bin/python -m pip install --quiet --no-deps --require-hashes -r requirements-peers-series.lock

install-mutmut: install-dev ## mutmut, in a corner of .venv where it meets no other package
	@$(BIN)/python -m pip --version > /dev/null 2>&1 || $(BIN)/python -m ensurepip > /dev/null
	@test -d $(VENV)/mutmut || $(BIN)/python -m pip install --quiet --no-deps --require-hashes --target $(VENV)/mutmut -r requirements-mutmut.lock

docs: install-dev ## write docs/configuration.md, docs/commands.md and the table of docs/serving/operate.md from the code
	$(BIN)/python infra/config_page.py

lock: install-dev ## resolve the lock files anew
	$(BIN)/python infra/lock.py

clean: ## remove what the stages wrote; DVC's cache keeps a copy, `dvc checkout` restores it
	rm -rf out data/prepared data/manifest.parquet data/quarantine data/shards
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* htmlcov build *.egg-info

clean-all: clean ## also the state (checkpoints, MLflow's store), DVC's cache, projects/ and both environments
	rm -rf .ddpm .dvc/cache .dvc/tmp projects $(VENV) $(VENV_PEERS) $(VENV_PEERS_SERIES) $(VENV_DASK)
