# What the project is run and checked with; `make` alone lists it.
PYTHON ?= python3
VENV ?= $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
export PYTHON VENV

WORKERS ?= 3
# More workers than cores: a test waits much of its time.
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal
# The tests of pure rules: no server, no database, no network.
PURE := tests/rooms tests/money tests/realtime/test_wire.py
# What tries as many examples as it is told to; see tests/examples.py.
SCALED := tests/rooms/test_properties.py tests/money/test_properties.py \
  tests/realtime/test_wire.py tests/realtime/test_fanout.py tests/test_schemathesis.py \
  tests/handlers/test_payments_storm.py tests/handlers/test_mic.py tests/test_kill.py
RULES := rooms/*,money/*

.PHONY: help setup run quick test test-long check lint bench chaos pictures lock clean

help:
	@echo "make run        serve on http://127.0.0.1:8000 with an embedded MongoDB and the simulator"
	@echo "make quick      rules of rooms and money, lint, types: 15 s"
	@echo "make test       run every test: under 5 min on two cores"
	@echo "make check      format, lint, types, import rules, locks; coverage of the last make test COVER=1"
	@echo "make test-long  search: 16,000 to 100,000 examples for every property, longer storms"
	@echo "make chaos      20 storms and six other troubles, about 40 minutes: no promise may break"
	@echo "make bench      measure beside others, as ratios in one run: 20 min; writes docs/benchmarks.md"
	@echo "  ONLY=fanout   deliveries beside the limit and nine servers: 11 min; writes nothing"
	@echo "  ONLY=calls    reads and changes over HTTP: 2.5 min"
	@echo "  ONLY=growth   more rooms, more processes: 2.5 min"
	@echo "  ONLY=changes  a change of a room: 0.5 min"
	@echo "  ONLY=gifts    gifts into one room: 1.5 min"
	@echo "  ONLY=relay    calls while Tencent IM is slow: 1.5 min"
	@echo "make setup      install what is missing; run, quick and test do it by themselves"
	@echo "make lock       make locks/ from requirements*.txt; make lock UPGRADE=1 takes newer releases"
	@echo "make pictures   take the README's pictures again"
	@echo "make clean      remove .venv and caches; the data in var/ stay"
	@echo "With another Python: make test PYTHON=python3.13"

setup:
	@scripts/setup test

run:
	@scripts/setup run
	@exec $(BIN)/python server.py

quick:
	@scripts/setup quick
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy --strict .
	QLIVE_EXAMPLES=dev $(BIN)/pytest --quiet -n 2 --dist worksteal $(PURE)

# With COVER=1 it also measures coverage for `make check`, and takes half as long again.
test:
	@scripts/setup test
	$(PYTEST) $(if $(COVER),--cov --cov-report=)

test-long:
	@scripts/setup test
	QLIVE_EXAMPLES=long $(PYTEST) $(SCALED)

check: lint
	@test -f .coverage || { echo "There is no coverage yet; run \`make test COVER=1\`." >&2; exit 2; }
	$(BIN)/coverage report --format=total --fail-under=95
	$(BIN)/coverage report --include='$(RULES)' --fail-under=100

lint:
	@scripts/setup quick
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy --strict .
	$(BIN)/lint-imports
	scripts/lock --check

lock:
	@scripts/setup quick
	scripts/lock $(if $(UPGRADE),--upgrade)

bench: .bench/.ready
	@.bench/venv/bin/python -m bench $(ONLY)

.bench/.ready: locks/run.txt bench/requirements.txt
	@VENV=.bench/venv scripts/setup bench
	.bench/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r locks/run.txt
	.bench/venv/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	@touch $@

chaos:
	@scripts/setup test
	@$(BIN)/python -m chaos all

pictures:
	@scripts/setup test
	$(BIN)/pytest -q tests/browser -k "three_windows or watched_as_it_happens"
	cp var/screenshots/demo-gift.png docs/pictures/demo-room.png
	cp var/screenshots/ops-room.png docs/pictures/console-room.png

clean:
	rm -rf clients/miniprogram/dist .bench .venv* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +
