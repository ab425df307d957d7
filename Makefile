# `make demo` and `make test` need only make and Python 3.11 or newer: they create
# .venv and install into it. Later runs reinstall only when one of INPUTS changed.
PYTHON ?= python3
BIN = .venv/bin
INPUTS = pyproject.toml setup.cfg constraints.txt

# One torch thread per test worker: more would only compete for the same cores.
test: export OMP_NUM_THREADS ?= 1
# As variables, and in both spellings, they also hold in the environments pip builds in.
INSTALLS = .venv/demo.stamp .venv/test.stamp .venv/perf.stamp wheel
$(INSTALLS): export PIP_CONSTRAINT = constraints.txt
$(INSTALLS): export PIP_BUILD_CONSTRAINT = constraints.txt

.PHONY: demo test perf lint types docs wheel install clean

demo: .venv/demo.stamp
	$(BIN)/symnas demo

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal

perf: .venv/perf.stamp
	$(BIN)/python perf/run_all.py

lint: install
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: install
	$(BIN)/mypy

# Into `site/`: open site/index.html. The variable silences a notice of the theme's makers.
docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel: install
	$(BIN)/python -m build --wheel

install: .venv/test.stamp

.venv/demo.stamp: $(INPUTS)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e .
	touch $@

.venv/test.stamp: $(INPUTS)
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e '.[test]'
	touch .venv/demo.stamp $@

.venv/perf.stamp: .venv/test.stamp
	$(BIN)/python -m pip install -c constraints.txt -e '.[test,perf]'
	touch $@

clean:
	rm -rf .venv build dist site *.egg-info
