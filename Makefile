# Two commands are all the set-up there is: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
TOOLS ?= .tools
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PYTEST := $(BIN)/python -m pytest
# The files that wait longest go first: with four at a time two cores are busy to the end.
IN_TURN := -n 4 --dist loadfile --no-loadscope-reorder tests/crash tests/e2e tests
COMPILE := .cache/lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header

# Tests start hundreds of processes: none of them is to compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test test-newest package site field clients moto-patches lint lock sbom bench docs soak steady clean system-tools

demo: $(VENV)/.demo ## create the environment and run the main job on examples/demo.ova, offline
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

test: $(VENV)/.dev $(TOOLS)/.done system-tools ## lint, then every test (what CI runs)
	@$(BIN)/python -m tests.debian >/dev/null 2>&1 & # a disk that tests share takes a minute: meanwhile we lint
	@$(BIN)/python -m tests.field --fetch >/dev/null 2>&1 & # so do small downloads; what fails here is tried again
	$(MAKE) --no-print-directory lint
	$(PYTEST) $(IN_TURN) --durations=25 --durations-min=5

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/generate.py --check

docs: $(VENV)/.dev ## regenerate docs/reference and man/ from the code
	$(BIN)/python docs/generate.py

package: $(VENV)/.dev $(TOOLS)/.done ## dist/: sdist and wheel, checked, installed and used on every supported Python that is here
	sh tests/package.sh $(TOOLS)/bin/twine $(BIN)/python

# The site in an environment of its own; mkdocs-material tells of its successor in every build, and that is noted.
site: export NO_MKDOCS_2_WARNING := 1
site: .venv-docs/.done ## the site, into dist/site: every link and anchor is checked, a broken one fails
	.venv-docs/bin/python -m mkdocs build --strict

.venv-docs/.done: requirements/docs.txt pyproject.toml
	$(PYTHON) -m venv .venv-docs || { test "$$(id -u)" = 0 && apt-get install -y -qq python3-venv && $(PYTHON) -m venv .venv-docs; }
	.venv-docs/bin/python -m pip --disable-pip-version-check -q install --require-hashes -r requirements/docs.txt
	.venv-docs/bin/python -m pip --disable-pip-version-check -q install --no-deps --no-build-isolation -e .
	@touch $@

bench: $(VENV)/.dev $(TOOLS)/.done system-tools ## every benchmark, both sides in one run
	for b in benchmarks/bench_*.py; do $(BIN)/python $$b || exit 1; done

field: $(VENV)/.dev $(TOOLS)/.done system-tools ## what vmie reads of other projects' own test files, against their tests
	$(BIN)/python -m tests.field --page docs/explanation/judges-from-outside.md

clients: $(VENV)/.dev $(TOOLS)/.done system-tools ## other people's AWS clients, and moto's own tests, against the sandbox
	$(BIN)/python -m tests.clients --page docs/explanation/sandbox.md
	$(BIN)/python -m tests.clients.moto_suites -n 2 --page docs/explanation/sandbox.md

moto-patches: $(VENV)/.dev ## contrib/moto's patches on moto's newest release, with the tests that they bring
	$(BIN)/python contrib/moto/check.py

soak: $(VENV)/.dev $(TOOLS)/.done system-tools ## the full-size runs of which `make test` makes a tenth
	VMIE_SOAK=1 $(PYTEST) -m soak

steady: $(VENV)/.dev $(TOOLS)/.done system-tools ## tests in random order, and what a busy machine can upset 20 times on one
	$(BIN)/python -m tests.steady

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { test "$$(id -u)" = 0 && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); }

# What is installed is locked, with hashes: the same on any day (docs/adr/0001-locked-requirements.md).
$(VENV)/.demo: requirements/demo.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --require-hashes -r requirements/demo.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@ $(VENV)/.demo

# Oracles and rivals in an environment of their own: awscli pins its botocore.
$(TOOLS)/.done: requirements/tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip --disable-pip-version-check -q install --require-hashes -r requirements/tools.txt
	@touch $@

lock: ## resolve requirements/*.txt anew, for every Python and platform that is supported
	$(PYTHON) -m venv .cache/lock && .cache/lock/bin/python -m pip --disable-pip-version-check -q install uv
	$(COMPILE) pyproject.toml requirements/build.in -o requirements/container.txt
	for part in demo dev; do extra=$$part; test $$part = dev || extra=sandbox; \
	  $(COMPILE) pyproject.toml requirements/build.in --extra $$extra -o requirements/$$part.txt || exit 1; done
	$(COMPILE) requirements/tools.in -o requirements/tools.txt
	$(COMPILE) pyproject.toml requirements/build.in requirements/docs.in -o requirements/docs.txt
	for part in requirements/clients/*.in; do $(COMPILE) $$part -o $${part%.in}.txt || exit 1; done

sbom: $(TOOLS)/.done ## dist/sbom.json: every package that `pip install 'vmie[sandbox]'` brings, with hashes (CycloneDX)
	@mkdir -p dist
	$(TOOLS)/bin/cyclonedx-py requirements --output-reproducible --pyproject pyproject.toml -o dist/sbom.json requirements/demo.txt

test-newest: $(TOOLS)/.done system-tools ## every test on the newest release of everything that pyproject.toml allows
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip --disable-pip-version-check -q install --upgrade -e '.[dev]'
	.venv-newest/bin/python -m pytest $(IN_TURN)

system-tools: ## what the tests need from Debian: installed where that can be done, else named
	@sh tests/install-tools.sh

clean:
	rm -rf $(VENV) .venv-newest .venv-docs $(TOOLS) dist build .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
