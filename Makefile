# Everything a developer runs. CI runs `make check`; nothing here needs more than Python 3.11 and make.

PYTHON ?= python3
BIN := .venv/bin
# --upgrade would let pip choose; the lock files choose.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo stack test check soak audit bench dashboards lint-dashboards tools lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    see it run, with simulated providers; no keys needed"
	@echo "make stack   the same with Prometheus, its rules, Alertmanager, and Grafana if installed"
	@echo "make test    run the test suite"
	@echo "make check   ruff, mypy, bandit and the tests, as CI does"
	@echo "make soak    10,000 scrapes through faults, kills and restarts: some eight minutes"
	@echo "make audit   ask for known vulnerabilities of the dependencies; needs the internet"
	@echo "make bench   measure speed and size"
	@echo "make dashboards       write grafana/dashboards from grafana/*.py"
	@echo "make lint-dashboards  Grafana's linter on them, and pint on the rules; needs Go 1.24"
	@echo "make tools   build promtool 3 for the rule tests; needs Go 1.26, takes minutes once"
	@echo "make lock    choose newer dependencies"

.venv/pip:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	touch $@

.venv/run: .venv/pip requirements.txt pyproject.toml
	$(INSTALL) --require-hashes --requirement requirements.txt
	$(INSTALL) --no-deps --editable .
	touch $@

.venv/dev: .venv/run requirements-dev.txt
	$(INSTALL) --require-hashes --requirement requirements-dev.txt
	touch $@

demo: .venv/run
	$(BIN)/cloud-browser-exporter demo --speed 60

stack: .venv/dev
	$(BIN)/python deploy/stack.py

test: .venv/dev
	$(BIN)/python -m pytest

check: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/bandit --quiet --recursive --configfile pyproject.toml exporter bench
	$(BIN)/python -m pytest

soak: .venv/dev
	SOAK_SCRAPES=10000 $(BIN)/python -m pytest -s tests/system/test_soak.py

# Asks an outside service for known vulnerabilities, so it is no part of `check`.
audit: .venv/dev
	$(INSTALL) pip-audit
	$(BIN)/pip-audit --disable-pip --require-hashes --requirement requirements.txt

bench: .venv/dev
	$(BIN)/python -m bench.run

dashboards: .venv/dev
	$(BIN)/python -m grafana

# grafana/lint/go.sum pins the linter and all that it is made of; building it takes minutes, once.
lint-dashboards:
	for file in grafana/dashboards/*.json; do \
		go -C grafana/lint tool dashboard-linter lint --strict "../../$$file" || exit; \
	done
	go -C deploy/prometheus/lint tool pint --offline --config pint.hcl lint \
		--min-severity warning --fail-on warning ../rules

# Tests run the rules with promtool 3 too, which no Debian has yet. It needs no service discovery.
tools: .tools/promtool3
.tools/promtool3: deploy/prometheus/promtool/go.mod deploy/prometheus/promtool/go.sum
	go -C deploy/prometheus/promtool build -tags remove_all_sd -o "$(CURDIR)/$@" github.com/prometheus/prometheus/cmd/promtool

# The lock files name no index, so that each machine uses its own.
LOCK := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --upgrade
lock: .venv/dev
	$(INSTALL) pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) --output-file requirements.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) --extra dev --output-file requirements-dev.txt pyproject.toml

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
