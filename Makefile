# `make demo` alone brings up everything on a fresh machine; `make test` alone passes the tests.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.NOTPARALLEL:

# Python 3.11 or 3.12: the first one found; choose another by `make PYTHON=/path/to/python3.12 ...`.
PYTHON ?= $(shell scripts/find_python.sh)
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.streamcdp-installed
LOCK := requirements.lock
NODE_STAMP := tests/vendors/node_modules/.streamcdp-installed

.PHONY: help setup system jars demo test test-programs lint format bench lock clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: system $(STAMP) jars ## Install everything: programs, the Python environment, the jars. Does nothing twice

system:
	@scripts/install_programs.sh

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or 3.12 is needed. Install it: sudo apt-get install -y python3 python3-venv" >&2; exit 1; }
	@echo "Creating $(VENV) with $(PYTHON)"
	@"$(PYTHON)" -m venv $(VENV)

$(STAMP): $(BIN)/python pyproject.toml $(LOCK)
	@echo "Installing $(LOCK)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r $(LOCK)
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

jars: $(STAMP)
	@$(BIN)/cdp setup

demo: setup ## Start everything and play a shop for a minute; stays up until Ctrl-C (DEMO_EXIT=1: stops and checks)
	@$(BIN)/cdp demo

# What tests need besides: without it, those that send with SDKs for Node or from a browser say so and skip.
$(NODE_STAMP): tests/vendors/package-lock.json
	@if command -v npm >/dev/null; then \
	    echo "Installing the vendors' packages for Node" && \
	    npm ci --prefix tests/vendors --no-audit --no-fund --ignore-scripts --loglevel=error && touch $@ || \
	    echo "They could not be installed: their tests will be skipped." >&2; \
	fi

test-programs:
	@scripts/install_programs.sh for-tests

test: setup test-programs $(NODE_STAMP) ## Run all tests, the fast ones first
	@$(BIN)/python -m pytest tests

lint: setup ## Check style, types and the direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: setup ## Put the code into its one style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup ## Measure throughput and latency of the whole way, the collector and the identity graph alone
	@$(BIN)/cdp bench collect
	@$(BIN)/cdp bench pipeline
	@$(BIN)/cdp bench latency
	@$(BIN)/cdp bench identity

lock: $(STAMP) ## Work out the exact versions anew, for Python 3.11 and 3.12 alike
	@scripts/lock.sh "$(BIN)/python" "$(LOCK)"

clean: ## Remove the Python environment and caches; data folders stay
	@rm -rf $(VENV) tests/vendors/node_modules build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
