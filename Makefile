# make demo     the paper in miniature, end to end, in a virtual environment of its own
# make test     every test, in the same environment
# make bench    a smoke run of the benchmarks: every answer checked, nothing timed
# make lint     ruff and mypy
# make dev      for changing the code: the environment follows the sources, and git checks each commit

PYTHON ?= python3
VENV ?= .venv
DEMO ?= pivotkit-demo
WORKERS ?= auto
BIN = $(VENV)/bin
export PATH := $(abspath $(BIN)):$(PATH)
# What is imported is compiled once and kept. The tests start hundreds of processes, each of which would compile it again.
unexport PYTHONDONTWRITEBYTECODE
PIP = $(BIN)/pip --quiet --disable-pip-version-check
# Python compiles what it imports; to compile all of it beforehand takes longer than the rest of the installation.
INSTALL = $(PIP) install --no-compile -c constraints.txt
# What a build without isolation finds in the environment: build-system.requires, and the tools that scikit-build-core runs.
BUILD_REQUIRES = 'scikit-build-core>=0.10' 'pybind11>=2.13' 'cython>=3.0' cmake ninja
# After `make dev` the environment follows the sources by itself; before it, a change of a source means a new wheel.
ifeq ($(wildcard $(VENV)/.dev),)
SOURCES := $(shell find csrc pivotkit -type f -not -name '*.so' -not -path '*/__pycache__/*') \
           pyproject.toml CMakeLists.txt constraints.txt README.md
endif

.PHONY: demo test bench lint install environment dev clean

demo: $(VENV)/.installed
	$(BIN)/pivotkit demo --out $(DEMO)

test: $(VENV)/.tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal tests

bench: $(VENV)/.tests
	$(BIN)/pytest -n $(WORKERS) --dist worksteal benchmarks --benchmark-disable

lint: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/.installed

environment: $(VENV)/.tests

$(VENV)/.installed: $(SOURCES) | $(BIN)/python
	$(INSTALL) .
	touch $@

# The package is already there, so pip installs only what the extra adds and builds nothing.
$(VENV)/.tests: $(VENV)/.installed
	$(INSTALL) 'pivotkit[test]'
	touch $@

dev: | $(BIN)/python
	$(INSTALL) $(BUILD_REQUIRES)
	$(INSTALL) --no-build-isolation -e '.[dev,test]'
	touch $(VENV)/.dev $(VENV)/.installed $(VENV)/.tests
	if git rev-parse --git-dir >/dev/null 2>&1; then $(BIN)/pre-commit install; fi

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

clean:
	rm -rf $(VENV) build
