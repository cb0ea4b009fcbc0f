# Two commands matter: `make demo` and `make test`. Both set up what they need in .venv, once.
# The first Python of 3.11 or newer on the path is taken; PYTHON names another: make test PYTHON=/opt/bin/python3

PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null && echo $$each && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
OLDEST := .venv-minimum
S3     := .venv-s3

.PHONY: demo test test-long test-minimum test-s3 check bench lock docs site format clean

demo: $(VENV)/.base
	@$(BIN)/prunescope demo

test: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 --durations 15

check: $(VENV)/.dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m prunescope.table.reference --check docs/table.md
	@$(BIN)/python tools/package.py

# What shows at full size what `make test` shows in small: hundreds of kills, hundreds of families.
test-long: $(VENV)/.dev
	@$(BIN)/python -m pytest -n 2 --dist load --max-worker-restart 0 -m long

# The lowest versions that pyproject.toml names. Left out: what needs a browser, trains for long, or holds for the lock alone.
test-minimum: $(OLDEST)/.dev
	@$(OLDEST)/bin/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 0 -m 'not stress and not long' --ignore tests/report/test_page.py \
		--ignore tests/run --ignore tests/train --ignore tests/test_readme.py --ignore tests/lens/test_trained.py \
		--deselect tests/test_house.py::test_the_lock_holds_every_package_that_is_installed_here

# Stores in a real S3 server. It has an environment of its own, since boto wants an older dateutil than the lock holds.
test-s3: $(S3)/.dev
	@$(S3)/bin/python -m pytest tests/table/test_remote.py

bench: $(VENV)/.dev
	@$(BIN)/python -m benchmarks

# The documentation in site/: it opens from the disk and loads nothing from elsewhere. A broken link is an error.
# With --quiet it would be none: mkdocs counts only the warnings that it shows.
site: $(VENV)/.site
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build
	@echo "site/index.html"

format: $(VENV)/.dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: $(VENV)/.base
	@$(BIN)/python -m prunescope.table.reference docs/table.md
	@$(BIN)/python -m tools.pictures docs/pictures/reproduction
	@$(BIN)/python -m tools.reproduction docs/reproduction.md

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

$(VENV)/.site: $(VENV)/.base
	@echo "adding what builds the documentation"
	@$(PIP) install --constraint requirements.lock --editable '.[train,report,site]'
	@touch $@

$(OLDEST)/.dev: pyproject.toml requirements.lock tools/minimum.py
	@echo "setting up the lowest versions in $(OLDEST)"
	@rm -rf $(OLDEST)
	@$(PYTHON) -m venv $(OLDEST)
	@$(PYTHON) tools/minimum.py > $(OLDEST)/constraints.txt
	@$(OLDEST)/bin/python -m pip --disable-pip-version-check --quiet install --constraint $(OLDEST)/constraints.txt \
		--editable '.[train,report,dev]'
	@touch $@

$(S3)/.dev: pyproject.toml
	@echo "setting up an S3 server in $(S3)"
	@$(PYTHON) -m venv $(S3)
	@$(S3)/bin/python -m pip --disable-pip-version-check --quiet install 'moto[s3,server]>=5.1' 's3fs>=2025.2' pytest hypothesis \
		--editable '.[remote]'
	@touch $@

clean:
	rm -rf $(VENV) $(OLDEST) $(S3) site build dist demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
