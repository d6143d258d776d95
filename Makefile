# Commands that run and check the project; `make` alone lists them.
PYTHON ?= python3
VENV ?= $(if $(filter python3,$(PYTHON)),.venv,.venv-$(notdir $(PYTHON)))
BIN := $(VENV)/bin
export PYTHON VENV
# Bytecode is kept, also against the environment: without it each server that a test starts compiles
# the whole project.
unexport PYTHONDONTWRITEBYTECODE

USERS ?= 60
SECONDS ?= 60
HOSTS ?= 1
WORKERS ?= 3
# One more than there are cores, because tests also wait: four take a quarter more CPU time.
PYTEST := $(BIN)/pytest -n $(WORKERS) --dist worksteal
# Tests of pure rules: no server, no database, no network.
PURE := tests/rooms tests/ledger tests/people tests/realtime/test_wire.py tests/realtime/test_frames.py
# Tests whose number of examples is configurable; see tests/support/hypothesis_profiles.py.
SCALED = $(shell grep -lE "hypothesis_profiles|callback_storm|from hypothesis" -r tests --include="test_*.py")
RULES := rooms/*,ledger/*,people/*,services/room_changes.py,services/gold/ledger.py,services/payments/payments.py

ifdef MONGOD
export MONGOD
endif

.PHONY: help setup run quick quick-tests quick-lint test test-long check lint lint-api bench chaos loadtest pictures sdk miniprogram-check lock clean

help:
	@echo "make run        start the server on http://127.0.0.1:8000 with an embedded MongoDB and the simulator"
	@echo "make quick      tests of the room and ledger rules, lint, types: 10 s"
	@echo "make test       all tests: 5 to 8 min on two cores"
	@echo "  COVER=1       measure coverage, for make check: a quarter longer"
	@echo "  PROFILE=1     print the tests and fixtures that take most CPU time"
	@echo "  WORKERS=6     number of test workers; 3 by default"
	@echo "  MONGOD=/path  run on another mongod than that of the wheel"
	@echo "make lint       format, lint, types, import rules, lock files: 15 s"
	@echo "make lint-api   linters of OpenAPI and AsyncAPI, on the documents of this server: 5 s"
	@echo "make check      make lint and lint-api; coverage of the last make test COVER=1"
	@echo "make test-long  property tests with 16,000 to 100,000 examples each, longer storm tests"
	@echo "make chaos      6 storms and seven other fault scenarios: about 30 min; fails if a guarantee is violated"
	@echo "make bench      compare with other servers, as ratios within one run: 14 min; writes docs/benchmarks.md"
	@echo "  ONLY=fanout   event deliveries, compared with the limit and four servers; writes nothing"
	@echo "  ONLY=reads    HTTP reads, compared with Tornado and FastAPI"
	@echo "  ONLY=changes  changes of rooms;  ONLY=gifts  gifts into one room"
	@echo "  ONLY=joins    sockets opened, 10,000 clients after a kill"
	@echo "  ONLY='compare PATH --only changes --pairs 5'  this checkout and another one in turn"
	@echo "make loadtest URL=http://127.0.0.1:8000  send load to your own deployment with Locust"
	@echo "  USERS=60 SECONDS=60 HOSTS=1 TOKENS=file  a file of tokens, without the simulator"
	@echo "make setup      install what is missing; run, quick and test do this themselves"
	@echo "make sdk        generate the calls and types of the client SDK, build and check it; var/qlive-miniprogram-*.tgz"
	@echo "make miniprogram-check  compile the example with WeChat's own compiler; downloads 275 MB the first time"
	@echo "make lock       generate locks/ from requirements*.txt; UPGRADE=1 takes newer releases"
	@echo "make pictures   retake the screenshots of the README"
	@echo "make clean      remove .venv, build output and caches; data in var/ is kept"
	@echo "Another Python version: make test PYTHON=python3.13"

setup:
	@scripts/setup test

run:
	@scripts/setup run
	@exec $(BIN)/python server.py

# One process runs the tests while another checks the text: two workers would import everything twice.
quick:
	@scripts/setup quick
	@$(MAKE) --no-print-directory -j 2 quick-tests quick-lint

quick-tests:
	@QLIVE_EXAMPLES=dev $(BIN)/pytest --quiet $(PURE)

quick-lint:
	@$(BIN)/ruff format --check --quiet
	@$(BIN)/ruff check --quiet
	@$(BIN)/mypy .

# With COVER=1 it also measures coverage for `make check`, and takes a quarter longer.
test:
	@scripts/setup test
	$(if $(PROFILE),PROFILE=1) $(PYTEST) $(if $(COVER),--cov --cov-report=)

test-long:
	@scripts/setup test
	QLIVE_EXAMPLES=long $(PYTEST) $(SCALED)

check: lint lint-api
	@test -f .coverage || { echo "There is no coverage yet; run \`make test COVER=1\`." >&2; exit 2; }
	$(BIN)/coverage report --format=total --fail-under=95
	$(BIN)/coverage report --include='$(RULES)' --fail-under=100

lint:
	@scripts/setup quick
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy .
	$(BIN)/lint-imports
	scripts/lock --check

lint-api:
	@scripts/setup sdk
	$(BIN)/python scripts/api-linters/check

sdk:
	@scripts/setup sdk
	$(BIN)/python scripts/sdk
	@mkdir -p var
	@export PATH="$$($(BIN)/python -m tests.support.node):$$PATH"; cd clients/miniprogram && \
		npm run --silent check && npm pack --silent --pack-destination ../../var

# WeChat's own compiler takes 275 MB, so this is not part of `make test`.
miniprogram-check: .miniprogram/.ready
	@export PATH="$$($(BIN)/python -m tests.support.node):$$PATH"; \
		node clients/miniprogram/build.mjs && node scripts/miniprogram-check.mjs .miniprogram

.miniprogram/.ready:
	@scripts/setup sdk
	@export PATH="$$($(BIN)/python -m tests.support.node):$$PATH"; \
		npm install --silent --no-fund --no-audit --ignore-scripts --prefix .miniprogram miniprogram-ci@2.1.42
	@touch $@

lock:
	@scripts/setup quick
	scripts/lock $(if $(UPGRADE),--upgrade)

bench: .bench/.ready
	@.bench/venv/bin/python -m bench $(ONLY)

.bench/.ready: locks/test.txt bench/requirements.txt
	@VENV=.bench/venv scripts/setup bench
	.bench/venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r locks/test.txt
	.bench/venv/bin/python -m pip install --quiet --disable-pip-version-check -r bench/requirements.txt
	-npm install --silent --no-fund --no-audit --prefix .bench/node ws@8.23.0 # left out without npm
	@touch $@

loadtest: .loadtest/.ready
	@test -n "$(URL)" || { echo "Name your own deployment: make loadtest URL=http://127.0.0.1:8000" >&2; exit 2; }
	@mkdir -p var
	@TOKENS="$(TOKENS)" HOSTS="$(HOSTS)" .loadtest/venv/bin/locust -f loadtest/locustfile.py --host "$(URL)" \
		--headless --only-summary --users $(USERS) --spawn-rate 10 --run-time $(SECONDS)s --stop-timeout 10 \
		--html var/loadtest.html

.loadtest/.ready: loadtest/requirements.txt
	$(PYTHON) -m venv --clear .loadtest/venv
	.loadtest/venv/bin/python -m pip install --quiet --disable-pip-version-check -r loadtest/requirements.txt
	@touch $@

chaos:
	@scripts/setup test
	@$(BIN)/python -m chaos all

pictures:
	@scripts/setup test
	$(BIN)/pytest -q tests/browser -k "three_users_complete or room_page_shows_events_live or items_are_decided"
	cp var/screenshots/demo-gift.png docs/pictures/demo-room.png
	cp var/screenshots/ops-room.png docs/pictures/console-room.png
	cp var/screenshots/ops-moderation.png docs/pictures/console-moderation.png

clean:
	rm -rf clients/miniprogram/dist clients/*/node_modules examples/*/node_modules .bench .loadtest .miniprogram .venv* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +
