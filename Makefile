# Everything here uses relative paths: make can't handle a clone in a path with spaces otherwise.
.DEFAULT_GOAL := help
.PHONY: help setup compare soak test prove chaos fuzz check up down lock clean
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# `make setup PYTHON=python3.12` picks another one.
PYTHON := $(shell for one in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$one" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$one" && break; done)
ARGUMENTS ?=
COMPARE := $(if $(PATTERNS),--patterns "$(PATTERNS)") $(if $(SECONDS),--seconds "$(SECONDS)") \
	$(if $(SAGA),--saga "$(SAGA)") $(if $(JSON),--json "$(JSON)") $(if $(FULL),--full)
SOAK := $(if $(SAGA),--saga "$(SAGA)") $(if $(MINUTES),--minutes "$(MINUTES)") $(if $(RATE),--rate "$(RATE)") \
	$(if $(PATTERNS),--patterns "$(PATTERNS)") $(if $(SEED),--seed "$(SEED)") $(if $(JSON),--json "$(JSON)")
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## the environment in .venv, from hashed requirements; quick when nothing changed
	@echo ".venv is ready"

$(STAMP): requirements/dev.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer was found: install one (Debian: apt-get install python3 python3-venv), or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		echo "Making .venv with $$($(PYTHON) --version); the first time takes a minute or two."; \
		$(PYTHON) -m venv --clear $(VENV); }
	$(BIN)/python -m pip install --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $(STAMP)

compare: $(STAMP) ## a saga's patterns side by side; SAGA=name PATTERNS=a,b SECONDS=n JSON=file FULL=1
	$(BIN)/python manage.py compare $(COMPARE) $(ARGUMENTS)

soak: $(STAMP) ## load with kills, cuts and losses, then the audit; MINUTES=n (a pattern) SAGA= RATE= SEED=
	$(BIN)/python manage.py soak $(SOAK) $(ARGUMENTS)

test: $(STAMP) ## the tests, beside a fresh PostgreSQL and RabbitMQ; ARGUMENTS='-k name' for some
	$(BIN)/python -m stack.backing -- $(BIN)/python -m tests.lanes $(ARGUMENTS)

prove: $(STAMP) ## the long proofs: schedules, crash points, seeded bugs, a short soak
	$(BIN)/python -m stack.backing -- $(BIN)/python -m tests.lanes prove

chaos: $(STAMP) ## kills every process at every point, cuts the broker off, restarts the database; an hour
	$(BIN)/python -m pytest tests/chaos --all-faults -v $(ARGUMENTS)

fuzz: $(STAMP) ## 100,000 random requests and as many messages, at every door and consumer; COUNT=n SEED=n
	$(BIN)/python -m stack.backing -- $(BIN)/python -m pytest tests/fuzz --fuzz "$(or $(COUNT),100000)" \
		--fuzz-seed "$(or $(SEED),0)" -v $(ARGUMENTS)

check: $(STAMP) ## format, lint, types, layers, compose files, Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose*.yml
	$(BIN)/hadolint Dockerfile

up: $(STAMP) ## the whole stack in the foreground, with its addresses; Ctrl-C stops it
	@$(BIN)/python manage.py up $(ARGUMENTS)

down: $(STAMP) ## stops what `up` runs; ARGUMENTS=--purge removes its data too
	@$(BIN)/python manage.py down $(ARGUMENTS)

lock: $(STAMP) ## compiles requirements/*.in to pinned, hashed *.txt
	$(LOCK) $(ARGUMENTS) requirements/base.in -o requirements/base.txt
	$(LOCK) $(ARGUMENTS) requirements/dev.in -o requirements/dev.txt

clean: ## removes .venv, the stack's data and what tools left behind
	@if test -e .dueto/run.json && test -x $(BIN)/python; then $(BIN)/python manage.py down --purge; fi
	rm -rf .dueto $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
