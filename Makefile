# Two commands are all the set-up there is: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
TOOLS ?= .tools
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
PYTEST := $(BIN)/python -m pytest

.PHONY: demo test lint bench docs soak clean system-tools

demo: $(VENV)/.demo ## create the environment and run the main job on examples/demo.ova, offline
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh examples/demo.sh

test: $(VENV)/.dev $(TOOLS)/.done system-tools lint ## lint, then every test (what CI runs)
	$(PYTEST) -n 2 --dist loadgroup --durations=15 --durations-min=5

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python docs/generate.py --check

docs: $(VENV)/.dev ## regenerate docs/reference from the code
	$(BIN)/python docs/generate.py

bench: $(VENV)/.dev $(TOOLS)/.done system-tools ## every benchmark, both sides in one run
	for b in benchmarks/bench_*.py; do $(BIN)/python $$b || exit 1; done

soak: $(VENV)/.dev $(TOOLS)/.done system-tools ## the full-size runs of which `make test` makes a tenth
	VMIE_SOAK=1 $(PYTEST) -m soak

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || { test "$$(id -u)" = 0 && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); }

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(PIP) install -e '.[sandbox]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(PIP) install -e '.[dev]'
	@touch $@ $(VENV)/.demo

# Oracles and rivals in an environment of their own: awscli pins its botocore.
$(TOOLS)/.done: tests/tools.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip --disable-pip-version-check -q install -r tests/tools.txt
	@touch $@

system-tools: ## what the tests need from Debian: installed where that can be done, else named
	@sh tests/install-tools.sh

clean:
	rm -rf $(VENV) $(TOOLS) dist build .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
