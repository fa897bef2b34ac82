# Everything a developer runs. CI runs `make check`. `make test` needs Python 3.11 and make alone; the slow tests
# skip what needs a program that is not installed, such as Prometheus.

PYTHON ?= python3
BIN := .venv/bin
# --upgrade would let pip choose; the lock files choose.
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help demo stack test check soak coverage audit bench dashboards rules lint-dashboards \
	check-dashboards preview tools docs package chart manifests lock clean
.DEFAULT_GOAL := help

help:
	@echo "make demo             run the exporter on simulated providers; no keys needed"
	@echo "make stack            the same with Prometheus, its rules, Alertmanager, and Grafana if installed"
	@echo "make test             the quick tests: two and a half minutes, needs Python alone"
	@echo "make check            linters, types, the quick and the slow tests, as CI runs them: ten minutes"
	@echo "make soak             10,000 scrapes through faults, kills and restarts: eight minutes"
	@echo "make coverage         branch coverage of all tests, with the lines that no test reaches"
	@echo "make audit            look for known vulnerabilities in the dependencies; needs the internet"
	@echo "make bench            measure speed and memory: twelve minutes; ONLY=PART one part; AGAINST=CHECKOUT compares"
	@echo "make dashboards       write grafana/dashboards from grafana/*.py"
	@echo "make rules            write deploy/prometheus/rules from deploy/mixin; needs Go 1.26"
	@echo "make lint-dashboards  lint the dashboards and the alerting rules; needs Go 1.24"
	@echo "make check-dashboards check the dashboards against the types that Grafana publishes; needs Node 20"
	@echo "make preview          draw the dashboards with Grafana's components over make stack's Prometheus, or another:"
	@echo "                      FLAGS='--prometheus URL'; needs Node 20 and Chromium"
	@echo "make tools            build promtool 3, jsonnet, Helm and linters for the tests: minutes, once; needs Go 1.26"
	@echo "make docs             the documents as a site, in dist/site"
	@echo "make package          wheel and sdist, checked, in dist/package"
	@echo "make chart manifests  the Helm chart, and plain manifests made from it, in dist/kubernetes; needs Go 1.26"
	@echo "make lock             update the pinned dependencies"
	@echo "make clean            remove the virtual environment and all caches"

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
	$(BIN)/cloud-browser-exporter demo --rate 600

stack: .venv/dev
	$(BIN)/python -m deploy.stack

# A file's tests share what they start, so that each file runs in one worker. A worker that ended would begin its file anew.
PYTEST = $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --max-worker-restart 0
WORKERS ?= 2

test: .venv/dev
	$(PYTEST) -m "not slow"

# The slow tests wait more than they compute, so a third worker has something to do.
check: WORKERS = 3
check: .venv/dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	HYPOTHESIS_PROFILE=ci $(PYTEST) --durations=10

soak: .venv/dev
	SOAK_SCRAPES=10000 $(BIN)/python -m pytest -o faulthandler_timeout=0 -s tests/system/test_soak.py

# Programs that tests start are measured, too.
coverage: .venv/dev
	$(PYTEST) --cov --cov-report=term-missing:skip-covered

# Asks an outside service for known vulnerabilities, so it is no part of `check`.
audit: .venv/dev
	$(INSTALL) pip-audit
	$(BIN)/pip-audit --disable-pip --require-hashes --requirement requirements.txt

bench: .venv/dev
	$(BIN)/python -m bench.run $(if $(ONLY),--only $(ONLY)) $(if $(AGAINST),--against $(AGAINST))

dashboards: .venv/dev
	$(BIN)/python -m grafana

# deploy/mixin is the source; what is made of it is committed, so that nobody needs jsonnet to use it.
rules: .tools/jsonnet
	$< --string deploy/mixin/rules.jsonnet > deploy/prometheus/rules/cloud-browser.yml

# grafana/lint/go.sum pins the linter and all that it is made of; building it takes minutes, once.
lint-dashboards:
	for file in grafana/dashboards/*.json; do \
		go -C grafana/lint tool dashboard-linter lint --strict --config lint.yml "../../$$file" || exit; \
	done
	go -C deploy/prometheus/lint tool pint --offline --config pint.hcl lint \
		--min-severity warning --fail-on warning ../rules

# The package-lock files pin Grafana's packages and all that they need, and name no registry.
grafana/%/node_modules/.package-lock.json: grafana/%/package-lock.json
	npm --prefix grafana/$* ci --no-audit --no-fund --loglevel=error
	touch $@

check-dashboards: grafana/schema/node_modules/.package-lock.json
	node grafana/schema/check.mjs grafana/dashboards/*.json

preview: .venv/dev grafana/preview/node_modules/.package-lock.json
	$(BIN)/python -m devtools.preview $(FLAGS)

# What tests run that no Debian has: promtool 3 for the rules (it needs no service discovery), jsonnet for the
# mixin, Helm and a strict decoder for the chart, the Compose Specification's loader, actionlint. Each go.sum pins its
# program and all that it is made of.
tools: .tools/promtool3 .tools/jsonnet .tools/helm .tools/manifest-lint .tools/compose-lint .tools/actionlint
.tools/promtool3: deploy/prometheus/promtool/go.mod deploy/prometheus/promtool/go.sum
	go -C deploy/prometheus/promtool build -tags remove_all_sd -o "$(CURDIR)/$@" github.com/prometheus/prometheus/cmd/promtool
.tools/helm: deploy/helm/lint/go.mod deploy/helm/lint/go.sum
	go -C deploy/helm/lint build -o "$(CURDIR)/$@" helm.sh/helm/v4/cmd/helm
.tools/manifest-lint: deploy/helm/lint/go.mod deploy/helm/lint/go.sum deploy/helm/lint/main.go
	go -C deploy/helm/lint build -o "$(CURDIR)/$@" .
.tools/compose-lint: deploy/compose/lint/go.mod deploy/compose/lint/go.sum
	go -C deploy/compose/lint build -o "$(CURDIR)/$@" github.com/compose-spec/compose-go/v2/cmd
.tools/actionlint: .github/lint/go.mod .github/lint/go.sum
	go -C .github/lint build -o "$(CURDIR)/$@" github.com/rhysd/actionlint/cmd/actionlint

# Strict: a link that leads nowhere ends the build.
docs: .venv/dev
	$(BIN)/python -m devtools.site dist/pages
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --clean

package: .venv/dev
	rm -rf dist/package
	$(BIN)/hatchling build --directory dist/package
	$(BIN)/twine check --strict dist/package/*

# Rules and dashboards are links in the chart; its package has them as files.
CHART := deploy/helm/cloud-browser-exporter
chart: .tools/helm
	.tools/helm package $(CHART) --destination dist/kubernetes

manifests: .tools/helm
	mkdir -p dist/kubernetes
	.tools/helm template cloud-browser-exporter $(CHART) --namespace monitoring --skip-tests \
		--values $(CHART)/ci/sqlite-values.yaml > dist/kubernetes/cloud-browser-exporter.yaml

.tools/jsonnet: deploy/mixin/jsonnet/go.mod deploy/mixin/jsonnet/go.sum
	go -C deploy/mixin/jsonnet build -o "$(CURDIR)/$@" github.com/google/go-jsonnet/cmd/jsonnet

# The lock files name no index, so that each machine uses its own.
LOCK := $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --upgrade
lock: .venv/dev
	$(INSTALL) pip-tools
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) --extra postgres --output-file requirements.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) --extra dev --output-file requirements-dev.txt pyproject.toml
	CUSTOM_COMPILE_COMMAND="make lock" $(LOCK) --build-deps-for wheel --only-build-deps \
		--output-file requirements-build.txt pyproject.toml

clean:
	rm -rf .venv dist grafana/*/node_modules .coverage* .mypy_cache .pytest_cache .ruff_cache .hypothesis
