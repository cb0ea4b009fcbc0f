# Two commands matter: `make demo` and `make test`. Both set up what they need in .venv, once.
# The first Python of 3.11 or newer on the path is taken; PYTHON names another: make test PYTHON=/opt/bin/python3

PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo $$each && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: demo test check bench lock docs format clean

demo: $(VENV)/.base
	@$(BIN)/prunescope demo

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist loadfile --max-worker-restart 0 --durations 15

check: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m prunescope.table.reference --check docs/table.md

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks

format: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.base
	@$(BIN)/python -m prunescope.table.reference docs/table.md

lock: $(VENV)/bin/python
	@$(PYTHON) tools/lock.py requirements.lock

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "prunescope needs Python 3.11 or newer; there is none on the path"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made: on Debian or Ubuntu, apt-get install python3-venv"; exit 1; }

# requirements.lock holds every version, for all extras; an install takes from it what its extras need.
$(VENV)/.base: $(VENV)/bin/python pyproject.toml requirements.lock
	@echo "setting up prunescope in $(VENV)"
	@$(PIP) install --constraint requirements.lock --editable '.[train,report]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base
	@echo "adding what the tests need"
	@$(PIP) install --constraint requirements.lock --editable '.[train,report,dev]'
	@$(BIN)/python tools/browser.py
	@touch $@

clean:
	rm -rf $(VENV) build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
