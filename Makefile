# Needs make, git and Python 3.10 to 3.14. All other packages are installed into .venv from the
# package index, with uv if it is on the PATH and with pip if not. The tests of test-browser are
# skipped without Chromium. test-cluster needs Debian's packages redis-server and postgresql, and bench
# leaves out the benchmark of the cluster without them.

PYTHON := .venv/bin/python
DEMO := examples/reverse_etl_demo/demo/demo.py
CLUSTER := examples/cluster/cluster.py
PORT := 3000
CLUSTER_PORT := 13000
DOCS_PORT := 8000
# The tests of a module run in the same process, because they share fixtures.
PYTEST := --dist loadscope
# Some machines forbid it. Then each process of the tests compiles all of them again.
export PYTHONDONTWRITEBYTECODE :=
# The Python of a new .venv: the newest one, or the first of PYTHON_VERSIONS="3.11 3.10" that exists.
PYTHON_VERSIONS := any
# More arguments for pytest or the cluster: make test ARGS="-k resource"
ARGS :=

# The folders whose mutants the tests of the same folder must kill.
MUTATED := sync sensor step

.PHONY: help install demo dev cluster test test-processes test-browser test-cluster \
	lint ruff check build docs docs-serve screenshots bench mutants $(MUTATED:%=mutants-%) clean
.DELETE_ON_ERROR:

help:
	@echo "make install          install this package and all tools of development into .venv"
	@echo "make demo             sync a DuckDB warehouse through a local RudderStack with Dagster"
	@echo "make dev              open Dagster's UI on the result of the demo (PORT=3000)"
	@echo "make cluster          run the demo on Celery workers and Postgres (CLUSTER_PORT=13000)"
	@echo "make test             run the tests, without those of the next two (ARGS=... for pytest)"
	@echo "make test-processes   run the tests that start real Dagster processes"
	@echo "make test-browser     open Dagster's UI in Chromium, and test what it shows"
	@echo "make test-cluster     break a cluster of Celery, Redis and PostgreSQL (ARGS=\"--only plain\")"
	@echo "make screenshots      run the demo, and write pictures of Dagster's UI to docs/images"
	@echo "make lint             check style and types, without changing a file"
	@echo "make ruff             fix what ruff can fix, and format all files"
	@echo "make check            check the types with mypy and pyright"
	@echo "make build            build the wheel and the source distribution into dist/"
	@echo "make docs             build the site of the documentation into site/"
	@echo "make docs-serve       serve that site, and build it again after each change (DOCS_PORT=8000)"
	@echo "make bench            run the benchmarks against RudderStack's own package"
	@echo "make mutants          change the code in small ways, and list what the tests do not notice"
	@echo "make clean            remove all files that these commands have created"

install: .venv/installed

demo: .venv/installed
	@$(PYTHON) -u $(DEMO) run

dev: .venv/installed
	@$(PYTHON) -u $(DEMO) dev --port $(PORT)

# Needs redis-server and postgresql of Debian.
cluster: .venv/installed
	@PYTHONPATH=examples/cluster/src:examples/reverse_etl_demo/src $(PYTHON) -u $(CLUSTER) \
		--port $(CLUSTER_PORT)

# Four processes, also on two cores, since many tests only wait.
test: .venv/installed
	$(PYTHON) -m pytest $(PYTEST) -n 4 -m "not processes and not browser" $(ARGS)

test-processes: .venv/installed .venv-vendor/installed .venv-airflow/installed .venv-dbt/installed
	$(PYTHON) -m pytest $(PYTEST) -n 2 -m processes $(ARGS)

# Two processes: each has a Chromium, a webserver and a code server.
test-browser: .venv/installed
	$(PYTHON) -m pytest $(PYTEST) -n 2 -m browser $(ARGS)

test-cluster: .venv/installed
	$(PYTHON) -m dagster_rudderstack_tests.cluster $(ARGS)

# Needs Chromium.
screenshots: .venv/installed
	@PYTHONPATH=.:examples/reverse_etl_demo $(PYTHON) -m dagster_rudderstack_tests.browser.screenshots

lint: .venv/installed
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(MAKE) --no-print-directory check

# install, build, test, ruff and check are also the names in dagster-io/community-integrations.
ruff: .venv/installed
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

check: .venv/installed
	$(PYTHON) -m mypy
	$(PYTHON) -m pyright

build: .venv/installed
	$(PYTHON) -m build --no-isolation --outdir dist

docs: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

docs-serve: .venv-docs/installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs serve --dev-addr 127.0.0.1:$(DOCS_PORT)

bench: .venv/installed .venv-vendor/installed
	$(PYTHON) -m benchmarks

mutants:
	rm -rf mutants
	$(MAKE) --no-print-directory -j 1 $(MUTATED:%=mutants-%)
	.venv-mutation/bin/mutmut results

# mutmut notes which tests reach which function. Those of the other folders are left out.
$(MUTATED:%=mutants-%): mutants-%: .venv-mutation/installed
	rm -f mutants/mutmut-stats.json
	PYTEST_ADDOPTS="$(foreach other,$(filter-out $*,$(MUTATED)),--deselect dagster_rudderstack_tests/$(other))" \
		.venv-mutation/bin/mutmut run --max-children 4 'dagster_rudderstack.$*.*'

clean:
	rm -rf .venv .venv-* .demo .cluster mutants dist build site
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis .schemathesis
	find . -name __pycache__ -prune -exec rm -rf {} +

.venv/installed: pyproject.toml .ci/make-venv
	@echo "Installing into .venv ..."
	@.ci/make-venv .venv '$(PYTHON_VERSIONS)' -e '.[lineage,testing]' --group dev
	@touch $@

# RudderStack's own package has the same name, so it needs its own environment. The tests use it as
# an independent client of the local RudderStack, the benchmarks for comparison.
.venv-vendor/installed: .ci/make-venv
	@echo "Installing RudderStack's own package into .venv-vendor ..."
	@.ci/make-venv .venv-vendor any 'dagster-rudderstack==1.3.0'
	@touch $@

# RudderStack's Airflow provider, another independent client of the local RudderStack. It needs Airflow
# and Python 3.11 or newer.
.venv-airflow/installed: .ci/make-venv
	@echo "Installing RudderStack's Airflow provider into .venv-airflow ..."
	@.ci/make-venv .venv-airflow '3.13 3.12 3.11' 'rudderstack-airflow-provider==2.4.3' \
		'apache-airflow>=3,<4'
	@touch $@

# dbt and mypy need different releases of pathspec. dbt-core 1.12 and later download their parser
# from GitHub during the installation, so they need more than the package index.
.venv-dbt/installed: .ci/make-venv
	@echo "Installing dbt into .venv-dbt ..."
	@.ci/make-venv .venv-dbt any 'dbt-core>=1.10,<1.12' dbt-duckdb dbt-postgres
	@touch $@

# The site is made of the sources, so the package itself is not installed.
.venv-docs/installed: pyproject.toml .ci/make-venv
	@echo "Installing mkdocs into .venv-docs ..."
	@.ci/make-venv .venv-docs any --group docs
	@touch $@

# mutmut brings a terminal interface and a parser, which nothing else here needs.
.venv-mutation/installed: pyproject.toml .ci/make-venv
	@echo "Installing mutmut into .venv-mutation ..."
	@.ci/make-venv .venv-mutation any -e '.[lineage,testing]' --group mutation
	@touch $@
