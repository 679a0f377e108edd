# Everyday commands. `make demo` and `make test` need only Python 3.11 or 3.12 and make: they set up .venv themselves.

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3)
BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps --require-hashes
# Downloads that break off are resumed by running the same command again.
INSTALL_FAILED := (echo "The packages could not be installed. Check the network and the free disk space (7 GB), then run the same command again." >&2; exit 1)

.DEFAULT_GOAL := help
.PHONY: help demo serve test test-postgres lint format types migrations lock docs-tables benchmarks clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/.runtime  ## Set up, start everything, submit the demo experiment and print its address
	@$(BIN)/python manage.py demo

serve: .venv/.runtime  ## Start Canopy without the demo
	@$(BIN)/python manage.py serve

test: .venv/.dev  ## Set up and run the test suite (SQLite)
	@$(BIN)/python -m pytest

test-postgres: .venv/.dev  ## Run the tests that use a database on PostgreSQL
	@CANOPY_TEST_DATABASE=postgres $(BIN)/python -m pytest tests/jobs tests/webapp tests/faults

lint: .venv/.dev  ## Format check, ruff, mypy, import rules, migrations, YAML and Dockerfile
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python manage.py makemigrations --check --dry-run
	@$(BIN)/yamllint --strict docker-compose.yml .pre-commit-config.yaml
	@$(BIN)/hadolint Dockerfile

format: .venv/.dev  ## Format the code and fix what ruff can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock:  ## Resolve pyproject.toml again into the two lock files (needs uv)
	@uv pip compile pyproject.toml --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url --no-header -q -o requirements.lock
	@uv pip compile pyproject.toml --group dev --group bench --python-version 3.11 --python-platform x86_64-manylinux_2_28 --generate-hashes --no-emit-index-url --no-header -q -c requirements.lock -o requirements-dev.lock

docs-tables: .venv/.dev  ## Make docs/benchmarks.md and the engine's figures (those whose numbers changed) from docs/benchmarks/*.json
	@$(BIN)/python -m benchmarks.tables
	@$(BIN)/python -m benchmarks.figures

benchmarks: .venv/.dev  ## Measure what needs no GPU on this machine (about 20 minutes), then make the tables
	@$(BIN)/python -m benchmarks.cpu_sampling
	@$(BIN)/python -m benchmarks.live_latency
	@$(BIN)/python -m benchmarks.sample_browser
	@$(BIN)/python -m benchmarks.sampling_scale
	@$(BIN)/python -m benchmarks.compare_page
	@$(BIN)/python -m benchmarks.import_scale
	@$(BIN)/python -m benchmarks.tables

clean:  ## Remove the environment and caches, keep the data in .canopy
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@test -n "$(PYTHON)" || (echo "Python 3.11 or 3.12 is needed and no python3 was found." >&2; exit 1)
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || \
		(echo "Python 3.11 or 3.12 is needed; $(PYTHON) is $$($(PYTHON) -V). Set PYTHON=/path/to/python3.11." >&2; exit 1)
	@$(PYTHON) -m venv .venv || (echo "This Python cannot make a virtual environment: install its venv package (Debian, Ubuntu: python3-venv)." >&2; rm -rf .venv; exit 1)

.venv/.runtime: requirements.lock | .venv/bin/python
	@echo "Installing Canopy into .venv, once: about 6 GB (torch with CUDA), a few minutes ..."
	@$(PIP_INSTALL) -r requirements.lock || $(INSTALL_FAILED)
	@touch $@

.venv/.dev: requirements-dev.lock | .venv/bin/python
	@echo "Installing Canopy and its test tools into .venv, once: about 6 GB (torch with CUDA), a few minutes ..."
	@$(PIP_INSTALL) -r requirements-dev.lock || $(INSTALL_FAILED)
	@touch $@ .venv/.runtime
