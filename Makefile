# What the project is run and checked with; `make` alone lists it.
PYTHON ?= python3
BIN := .venv/bin
RULES := rooms/*,money/*
ON_ALL_CORES := -n auto --dist loadfile

.PHONY: help run test check bench chaos pictures clean

help:
	@echo "make run    serve on http://127.0.0.1:8000 with an embedded MongoDB and the simulator"
	@echo "make test   run every test"
	@echo "make check  format, lint, types, import rules, tests, coverage of rooms/ and money/"
	@echo "make bench  measure beside others, as ratios in one run; writes docs/benchmarks.md"
	@echo "make chaos  20 storms and six other troubles, about 40 minutes: no promise may break"
	@echo "make pictures  take the README's pictures anew"
	@echo "make clean  remove .venv and caches; the data in var/ stay"

run: .venv/.runtime
	@exec $(BIN)/python server.py

test: .venv/.dev
	$(BIN)/pytest $(ON_ALL_CORES)

bench: .bench/.ready
	@.bench/venv/bin/python -m bench

.bench/.ready: requirements.txt bench/requirements.txt
	$(PYTHON) -m venv .bench/venv
	.bench/venv/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch $@

chaos: .venv/.dev
	@$(BIN)/python -m chaos all

pictures: .venv/.dev
	$(BIN)/pytest -q tests/browser -k "three_windows or watched_as_it_happens"
	cp var/screenshots/demo-gift.png docs/pictures/demo-room.png
	cp var/screenshots/ops-room.png docs/pictures/console-room.png

check: .venv/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy --strict .
	$(BIN)/lint-imports
	$(BIN)/pytest $(ON_ALL_CORES) --cov --cov-report=
	$(BIN)/coverage report
	$(BIN)/coverage report --include='$(RULES)' --fail-under=100

clean:
	rm -rf clients/miniprogram/dist .bench .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +

# A stamp says which requirements are installed, so that a start installs only what changed.
.venv/.runtime: requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/.dev: requirements-dev.txt requirements.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@ .venv/.runtime

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "QLive needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
