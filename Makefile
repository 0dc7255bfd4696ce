# The menu. `make demo` and `make test` install all they need into .venv; nothing else has to be set up.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --constraint constraints.txt

.PHONY: help demo test check format clean
help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

demo: .venv/package  ## pre-train, fine-tune and analyse two small networks, with pictures (ten minutes on two cores)
	$(BIN)/python -m a2mim.experiments.demo

test: check  ## lint, type check, tests
	$(BIN)/pytest -n 2

check: .venv/tools  ## lint and type check alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/support/typed_tree.py .venv/typed
	$(BIN)/mypy

format: .venv/tools  ## put the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was built (the environment too), keep runs
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "a2mim needs Python 3.10 or later; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/package: .venv/bin/python setup.cfg pyproject.toml constraints.txt
	$(INSTALL) --editable .
	@touch $@

.venv/tools: .venv/package
	$(INSTALL) --editable '.[test]'
	@touch $@
