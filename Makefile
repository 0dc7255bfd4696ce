# The menu. `make demo` and `make test` install all they need into .venv; nothing else has to be set up.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --constraint constraints.txt

.PHONY: help demo test test-lowest check format docs clean
help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: .venv/package  ## pre-train, fine-tune and analyse two small networks, with pictures (ten minutes on two cores)
	$(BIN)/python -m a2mim.experiments.demo

test: check  ## lint, type check, tests
	$(BIN)/pytest -n 2

test-lowest: .venv-lowest/tools  ## the tests with the lowest versions that setup.cfg allows, in an environment apart
	.venv-lowest/bin/python -m pytest -n 2

check: .venv/tools  ## lint and type check alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/support/typed_tree.py .venv/typed
	$(BIN)/mypy

format: .venv/tools  ## put the code in the house's format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/docs  ## the reference site, in docs/_build/html (Python 3.11 or later)
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --builder html docs docs/_build/html

clean:  ## remove what was built (the environment too), keep runs
	rm -rf .venv .venv-lowest docs/_build docs/api/modules build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache

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

.venv/docs: .venv/package
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "the reference site needs Python 3.11 or later; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(INSTALL) --editable '.[docs]'
	@touch $@

# the tools of the tests are not held at their lowest: whatever goes with these versions
.venv-lowest/tools: setup.cfg pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --constraint constraints-lowest.txt --editable '.[test]'
	@touch $@
