# The two front doors are `make demo` and `make test`; both need only Python 3.11+, make and git.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
CORE_PORT ?= 50051
GATEWAY_PORT ?= 8080
ENVOY_PORT ?= 8081
PORTS = CORE_PORT=$(CORE_PORT) GATEWAY_PORT=$(GATEWAY_PORT) ENVOY_PORT=$(ENVOY_PORT)

FUZZ_SECONDS ?= 600
SOAK_SECONDS ?= 1800
ATTACK_SECONDS ?= 600
RELOAD_RATE ?= 200
RELOAD_STREAMS ?= 100
SHARED_READERS ?= 1000
SHARED_FEEDS ?= 20
SHARED_KILLS ?= 50
SHARED_PAUSES ?= 20
SHARED_CUTS ?= 20
SHARED_RESTARTS ?= 10
SHARED_ROLLS ?= 1
SHARED_PROCESSES ?= 4
SHARED_TICK ?= 0.5
BENCH ?=
FLOORS ?=
INTEROP ?= $(CURDIR)/build/interop
CONFORMANCE ?= $(CURDIR)/build/conformance
EVOLUTION ?= $(CURDIR)/build/evolution
GRPCURL := github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
CONNECT := connectrpc.com/conformance
CONNECT_VERSION := v1.0.7
OPENAPI ?= $(CURDIR)/build/openapi
DEPLOY ?= $(CURDIR)/build/deploy
HELM_VERSION := v3.19.0
KUBECONFORM_VERSION := v0.7.0
# whose schemas the manifests are held against
KUBERNETES := k8s.io/kubernetes@v1.36.1
GATEWAY_API := sigs.k8s.io/gateway-api@v1.4.1
PROMETHEUS_OPERATOR := github.com/prometheus-operator/prometheus-operator@v0.92.1
# where Debian's packages of Go sources are
GOCODE := /usr/share/gocode

# in the order of their names: by their number of tests, the longest files, of one test each, would come last
THREE_FILES := -n 3 --dist loadfile --no-loadscope-reorder
COMPILED_TESTS ?=
# imports the compiled packages, and not the sources of the folder that one stands in; tests/conftest.py looks
COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/compiled:$(CURDIR)
SOURCES := $(shell find gateway grpc_wire server_process -name '*.py')

.DEFAULT_GOAL := help
.PHONY: help demo up down test suite test-long test-others test-floors test-compiled test-compiled-floors e2e evolution interop conformance conformance-suites openapi deploy-check deploy-render tutorial fuzz soak reloads rolling shared faults attack bench bench-micro check fmt generate lock clean

help: ## list what can be made
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

# What `make test` needs: the demo's packages, the tools, and the command `protoway` from this checkout.
$(VENV)/installed: requirements/dev.txt pyproject.toml | $(BIN)/python
	@echo "installing requirements/dev.txt into $(VENV); this takes a minute"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $(VENV)/demo $@

# What `make demo` needs: the packages that core and edge import.
$(VENV)/demo: requirements/demo.txt | $(BIN)/python
	@echo "installing requirements/demo.txt into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/demo.txt
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "protoway needs Python 3.11 or newer; set PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

demo: $(VENV)/demo ## run core and edge; CORE_PORT and GATEWAY_PORT move them
	@exec $(BIN)/python scripts/demo.py --core-port $(CORE_PORT) --gateway-port $(GATEWAY_PORT)

up: ## run core, edge and Envoy in containers; the same, and ENVOY_PORT, move them
	$(PORTS) docker compose up --build --wait

down: ## take them down
	docker compose --profile tls --profile watch --profile scale down --volumes --remove-orphans

test: $(VENV)/installed ## run every check and, beside them, every test, three files at a time
	@$(MAKE) --no-print-directory -j 2 check suite

suite: $(VENV)/installed
	$(BIN)/python -m pytest $(THREE_FILES)

test-long: $(VENV)/installed ## run the tests that take longest: thousands of streams, renewed CAs, soaks of grpc_wire
	$(BIN)/python -m pytest -m long -n 2 --dist load tests

test-others: $(VENV)/installed ## try edge and core on grpcio, which is not their default
	PROTOWAY_TRANSPORT=grpcio CORE_TRANSPORT=grpcio \
		$(BIN)/python -m pytest $(THREE_FILES) tests/whole tests/parity tests/soak

test-floors: $(VENV)/installed build/floors/installed ## run every test (FLOORS: some, by arguments of pytest) on the lowest versions that pyproject.toml allows
	build/floors/bin/python -m pytest $(THREE_FILES) $(FLOORS)

# Of a package in both locks, the floor. What is not imported needs no bytecode, and these are most modules.
build/floors/installed: requirements/dev.txt requirements/floors.txt pyproject.toml
	@echo "making build/floors from requirements/dev.txt and requirements/floors.txt; this takes a minute"
	@$(PYTHON) -m venv build/floors
	@awk -F '==' '!($$1 in pinned) {pinned[$$1]; print}' requirements/floors.txt requirements/dev.txt > build/floors/requirements.txt
	@build/floors/bin/python -m pip install --quiet --disable-pip-version-check --no-compile -r build/floors/requirements.txt
	@build/floors/bin/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@build/floors/bin/python -m pip check
	@touch $@

test-compiled: build/compiled/installed ## run the tests (COMPILED_TESTS: of some folders) on compiled modules, as the images have them (needs a C compiler)
	$(COMPILED) $(BIN)/python -m pytest $(THREE_FILES) $(COMPILED_TESTS)

test-compiled-floors: build/compiled/installed build/floors/installed ## run every test (FLOORS: some) on compiled modules and the lowest versions at once, as CI does
	$(COMPILED) build/floors/bin/python -m pytest $(THREE_FILES) $(FLOORS)

# What an image has: the packages of a wheel whose hook has compiled some of their modules.
build/compiled/installed: hatch_build.py pyproject.toml $(SOURCES) | $(VENV)/installed
	@echo "compiling into build/compiled; this takes two minutes"
	@rm -rf build/compiled
	@HATCH_BUILD_HOOK_ENABLE_CUSTOM=true $(BIN)/python -m hatchling build -t wheel -d build/compiled
	@$(BIN)/python -m zipfile -e build/compiled/*.whl build/compiled
	@touch $@

e2e: $(VENV)/installed ## try core, edge and Envoy in containers; needs a Docker engine
	$(BIN)/python -m pytest -m e2e -s tests/e2e

interop: $(VENV)/installed ## install clients that are not ours, and let them call the edge, the core, Envoy and grpc_wire (needs Node.js)
	mkdir -p $(INTEROP)/bin
	cp tests/interop/package.json tests/interop/*.mjs $(INTEROP)
	npm install --prefix $(INTEROP) --no-save --no-audit --no-fund
	$(INTEROP)/node_modules/.bin/esbuild $(INTEROP)/edge_browser.mjs --bundle --log-level=warning --outfile=$(INTEROP)/browser.js
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(INTEROP) --upgrade buf-bin
	if command -v go >/dev/null && test -d $(GOCODE)/src/google.golang.org/grpc; then \
		cd tests/interop/grpc_go && GO111MODULE=off GOPATH=$(GOCODE) go build -o $(INTEROP)/bin/grpc_go main.go; \
	fi
	if command -v go >/dev/null; then \
		for program in reflection_go edge_go; do \
			(cd tests/interop/$$program && GO111MODULE=on GOFLAGS=-mod=readonly go build -o $(INTEROP)/bin/$$program .) || exit 1; \
		done; \
		GOBIN=$(INTEROP)/bin go install $(GRPCURL); \
	fi
	INTEROP=$(INTEROP) $(BIN)/python -m pytest -m interop -rs tests/interop

# Without optimisation they build in two thirds of the time, and ask as fast.
conformance-suites: export CGO_ENABLED := 0
conformance-suites: export GOFLAGS := '-gcflags=all=-N -l' -ldflags=-s
conformance-suites: export GOBIN := $(CONFORMANCE)
conformance-suites: # what `make conformance` asks with; a minute of two cores where nothing is built yet
	@if command -v go >/dev/null; then \
		go install github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible && \
		go install $(CONNECT)/cmd/connectconformance@$(CONNECT_VERSION); \
	else \
		echo "Go is not installed: the suites are not built, and their tests are skipped"; \
	fi

conformance: $(VENV)/installed conformance-suites ## build h2spec and the Connect conformance suite (needs Go), and let them ask the edge and the core
	H2SPEC=$(CONFORMANCE)/h2spec CONNECTCONFORMANCE=$(CONFORMANCE)/connectconformance \
		CONFORMANCE_PROTOS="$$(go env GOMODCACHE 2>/dev/null)/$(CONNECT)@$(CONNECT_VERSION)/proto" \
		$(BIN)/python -m pytest -m conformance -rs tests/conformance

evolution: $(VENV)/installed ## install buf, and ten public contracts at two revisions each, and compare what breaks
	mkdir -p $(EVOLUTION)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --target $(EVOLUTION)/buf --upgrade buf-bin
	for side in old new; do \
		while read -r package old new; do \
			version=$$old && test $$side = old || version=$$new; \
			test -d $(EVOLUTION)/$$side/$$package || $(BIN)/python -m pip install --quiet --disable-pip-version-check \
				--no-deps --ignore-requires-python --target $(EVOLUTION)/$$side/$$package $$package==$$version || exit 1; \
		done < tests/contract/evolution/public.txt; \
	done
	EVOLUTION=$(EVOLUTION) BUF=$(EVOLUTION)/buf/bin/buf $(BIN)/python -m pytest -m evolution tests/contract/evolution

openapi: $(VENV)/installed ## install openapi-typescript and schemathesis, and try the OpenAPI documents with them (needs Node.js)
	mkdir -p $(OPENAPI)
	cp tests/openapi/package.json $(OPENAPI)
	npm install --prefix $(OPENAPI) --no-save --no-package-lock --no-audit --no-fund
	test -x $(OPENAPI)/venv/bin/python || $(BIN)/python -m venv $(OPENAPI)/venv
	$(OPENAPI)/venv/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "schemathesis>=4.30,<5"
	OPENAPI=$(OPENAPI) $(BIN)/python -m pytest -m openapi tests/openapi

deploy-check: $(VENV)/installed ## build Helm and kubeconform (needs Go), and hold the chart and deploy/kubernetes against the schemas of Kubernetes
	@if command -v go >/dev/null; then \
		set -e; \
		GOBIN=$(DEPLOY)/bin go install helm.sh/helm/v3/cmd/helm@$(HELM_VERSION); \
		GOBIN=$(DEPLOY)/bin go install github.com/yannh/kubeconform/cmd/kubeconform@$(KUBECONFORM_VERSION); \
		go mod download $(KUBERNETES) $(GATEWAY_API) $(PROMETHEUS_OPERATOR); \
		modules=$$(go env GOMODCACHE); \
		$(BIN)/python -m tests.deploy.schemas $(DEPLOY)/schemas $$modules/$(KUBERNETES)/api/openapi-spec/swagger.json \
			$$modules/$(GATEWAY_API)/config/crd/standard/gateway.networking.k8s.io_*routes.yaml \
			$$modules/$(PROMETHEUS_OPERATOR)/example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml; \
	else \
		echo "Go is not installed: Helm and kubeconform are not built, and their tests are skipped"; \
	fi
	HELM=$(DEPLOY)/bin/helm KUBECONFORM=$(DEPLOY)/bin/kubeconform SCHEMAS=$(DEPLOY)/schemas \
		$(BIN)/python -m pytest -m "deploy or not deploy" -rs tests/deploy

deploy-render: $(VENV)/installed ## render deploy/kubernetes from the chart (needs Helm; make deploy-check builds it)
	HELM=$(DEPLOY)/bin/helm $(BIN)/python scripts/render_kubernetes.py

tutorial: $(VENV)/installed ## follow the tutorial in an empty environment, with packages from the index
	$(BIN)/python -m pytest -m tutorial -s tests/tutorial

fuzz: $(VENV)/installed ## say odd things to the edge, its HTTP/1.1, and the protocol of grpc_wire, for FUZZ_SECONDS (600) each
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m pytest tests/fuzz tests/doors/http1/test_fuzz.py tests/wire/http2/test_fuzz.py tests/wire/http2/test_against_h2.py

soak: $(VENV)/installed ## let clients of all kinds come and go for SOAK_SECONDS (1800)
	SOAK_SECONDS=$(SOAK_SECONDS) UPLOAD_BYTES=1073741824 $(BIN)/python -m pytest -m "" -s tests/soak tests/wire/soak tests/whole/test_upload.py

reloads: $(VENV)/installed ## replace the contract 50 times under load, and 500 times for its memory; RELOAD_RATE, RELOAD_STREAMS change the load
	RELOAD_RATE=$(RELOAD_RATE) RELOAD_STREAMS=$(RELOAD_STREAMS) RELOAD_TICK=1 RELOAD_SWAPS=50 RELOAD_WORKERS=2 \
		$(BIN)/python -m pytest -s -m "reloads or not reloads" tests/reload/test_under_load.py tests/reload/test_memory.py

rolling: $(VENV)/installed ## replace two edges behind nginx, and two cores, under load; ROLLING_RATE and ROLLING_STREAMS raise it
	$(BIN)/python -m pytest -m rolling -s tests/whole/test_rolling_edges.py

shared: $(VENV)/installed ## let 1,000 readers of 20 feeds roam over three edges whose leaders and Redis die (as root: cables are pulled); SHARED_… change the sizes
	SHARED_READERS=$(SHARED_READERS) SHARED_FEEDS=$(SHARED_FEEDS) SHARED_PROCESSES=$(SHARED_PROCESSES) \
		SHARED_TICK=$(SHARED_TICK) SHARED_KILLS=$(SHARED_KILLS) SHARED_PAUSES=$(SHARED_PAUSES) \
		SHARED_CUTS=$(SHARED_CUTS) SHARED_RESTARTS=$(SHARED_RESTARTS) SHARED_ROLLS=$(SHARED_ROLLS) \
		$(BIN)/python -m pytest -s tests/whole/test_shared_feeds.py

faults: $(VENV)/installed ## let the upstream hang, die and vanish, and logs find no reader (as root: network namespaces)
	$(BIN)/python -m pytest -m faults -s tests/faults

attack: $(VENV)/installed ## attack core and edge beside callers that behave, for ATTACK_SECONDS (600)
	ATTACK_SECONDS=$(ATTACK_SECONDS) $(BIN)/python -m pytest -s tests/attack

bench: build/compiled/installed ## measure our edge, compiled as in the images, beside Envoy and others (40 min; BENCH=--quick: 15)
	$(COMPILED) $(BIN)/python -m bench --json build/bench.json $(BENCH)

bench-micro: $(VENV)/installed ## look whether a step of a request has become dearer by a fifth
	$(BIN)/python -m bench.micro

check: $(VENV)/installed ## format, lint, types, import contracts, generated files, pages
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python scripts/generate.py --check
	$(BIN)/python scripts/check_pages.py

fmt: $(VENV)/installed ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: $(VENV)/installed ## make stubs and descriptor set from protos/
	$(BIN)/python scripts/generate.py

lock: ## choose the newest versions anew (needs uv)
	uv pip compile --quiet --universal --no-annotate --no-header --no-emit-index-url \
		--upgrade --group dev pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --universal --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 --resolution lowest-direct --all-extras --group core pyproject.toml -o requirements/floors.txt
	for lock in "core --group pyproject.toml:core --group pyproject.toml:otel" "tls --group pyproject.toml:tls" \
		"build --group pyproject.toml:build" \
		"gateway --all-extras pyproject.toml" "demo --group core pyproject.toml"; do \
		set -- $$lock && name=$$1 && shift && \
		uv pip compile --quiet --universal --no-annotate --no-header --no-emit-index-url \
			--constraint requirements/dev.txt --python-version 3.11 \
			"$$@" -o requirements/$$name.txt || exit 1; \
	done

clean: ## remove the environment and the caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
