# make demo   the paper in miniature, end to end, in a virtual environment of its own
# make test   every test, in the same environment
# make bench  a smoke run of the benchmarks: every answer checked, nothing timed
# make lint   ruff and mypy

PYTHON ?= python3
VENV ?= .venv
DEMO ?= pivotkit-demo
BIN = $(VENV)/bin
SOURCES := $(shell find csrc pivotkit -type f -not -name '*.so' -not -path '*/__pycache__/*') \
           pyproject.toml CMakeLists.txt constraints.txt README.md

.PHONY: demo test bench lint install clean

demo: $(VENV)/.installed
	$(BIN)/pivotkit demo --out $(DEMO)

test: $(VENV)/.tests
	$(BIN)/pytest tests

bench: $(VENV)/.tests
	$(BIN)/pytest benchmarks --benchmark-disable

lint: $(VENV)/.tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

install: $(VENV)/.installed

$(VENV)/.installed: $(SOURCES)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt .
	touch $@

$(VENV)/.tests: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt '.[test]'
	touch $@

clean:
	rm -rf $(VENV) build
