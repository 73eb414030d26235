# Needs make, git and a Python 3.10 to 3.13. What else it takes goes into .venv, from the package
# index; with uv if that is on the PATH, and else with pip.

PYTHON := .venv/bin/python
DEMO := examples/reverse_etl_demo/demo/demo.py
PORT := 3000
# Two at a time; the tests of a module, which share what is slow to make, stay together.
PYTEST := -n 2 --dist loadscope
# Further arguments of pytest: make test ARGS="-k resource"
ARGS :=

.PHONY: help demo dev test test-processes lint bench clean
.DELETE_ON_ERROR:

help:
	@echo "make demo            warehouse rows travel through a local RudderStack, with Dagster in charge"
	@echo "make dev             open Dagster's UI on what the demo has left (PORT=3000)"
	@echo "make test            run the tests, but for the next (ARGS=... go to pytest)"
	@echo "make test-processes   run the tests that start real Dagster processes"
	@echo "make lint            check style and types"
	@echo "make bench           compare with the vendor's package"
	@echo "make clean           remove all that these have made"

demo: .venv/installed
	@$(PYTHON) -u $(DEMO) run

dev: .venv/installed
	@$(PYTHON) -u $(DEMO) dev --port $(PORT)

test: .venv/installed
	$(PYTHON) -m pytest $(PYTEST) -m "not processes" $(ARGS)

test-processes: .venv/installed .venv-vendor/installed .venv-dbt/installed
	$(PYTHON) -m pytest $(PYTEST) -m processes $(ARGS)

lint: .venv/installed
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

bench: .venv/installed .venv-vendor/installed
	$(PYTHON) -m benchmarks

clean:
	rm -rf .venv .venv-* .demo dist build
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: pyproject.toml .ci/make-venv
	@echo "Installing into .venv ..."
	@.ci/make-venv .venv any -e '.[lineage,testing]' --group dev
	@touch $@

# The vendor's own package has the same name, so it lives apart: as an independent client of the
# local RudderStack in the tests, and as a peer in the benchmarks.
.venv-vendor/installed: .ci/make-venv
	@echo "Installing the vendor's package into .venv-vendor ..."
	@.ci/make-venv .venv-vendor any 'dagster-rudderstack==1.3.0'
	@touch $@

# dbt and mypy want different releases of pathspec. From 1.12 on, dbt-core fetches its parser from
# GitHub while it is installed, so it takes more than the package index.
.venv-dbt/installed: .ci/make-venv
	@echo "Installing dbt into .venv-dbt ..."
	@.ci/make-venv .venv-dbt any 'dbt-core>=1.10,<1.12' dbt-duckdb
	@touch $@
