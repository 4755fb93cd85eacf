# What a developer of evident types. `make` alone explains itself.
# Needed: Go, git and make; for the race detector a C compiler as well. The tests
# of PostgreSQL need its server programs, which `make postgres` installs.

GO     ?= go
TOOL   := $(GO) tool -modfile=internal/tools/go.mod
REPORT := $(GO) run ./internal/report/cmd

# The core rooms: what `make cover` measures.
CORE := event eventstore checkpoint dlq lease registry aggregate projection process audit auth jetstream memory sqlite postgres

##@ Variables: make test PKG=./sqlite/... TESTFLAGS=-run=Append

#: packages to test or lint
PKG ?= ./...
# The race detector watches everything but the SQLite driver: that is C which was
# translated to Go, and with it the tests take six times as long.
#: empty where there is no C compiler
RACE ?= -race -gcflags=modernc.org/...=-race=false
#: more flags for go test, such as -run=Name
TESTFLAGS ?=
#: test-stress: how often each suite runs
COUNT ?= 50
#: test-stress: which tests, as go test -run takes them
STRESS ?= Conformance
#: test-stress: where they are
STRESSPKG ?= ./memory ./sqlite ./postgres ./jetstream ./projection
#: test-stress: steps of the random program that drives projections, on each store
STEPS ?= 1000000
#: test-stress: where it is played
MODELPKG ?= ./projection ./sqlite ./postgres
#: test-chaos: how often a runner is killed
KILLS ?= 200
#: test-chaos: how long the writers of PostgreSQL write
CHAOS ?= 60s
#: test-chaos: how many clusters of NATS are disturbed
RUNS ?= 10
#: bench: which benchmarks, as go test -bench takes them
BENCH ?= .
#: bench: where they are
BENCHPKG ?= ./aggregate/... ./sqlite/... ./postgres/... ./jetstream/... ./eventstore/... ./projection/...
#: bench: how long each runs, or with an x how often: 100x
BENCHTIME ?= 1s
#: bench: runs of each; the medians are compared
BENCHRUNS ?= 3
#: cover: the least share of statements, for each core room
PERCENT ?= 90
#: mutate: the room whose conditions are inverted
ROOM ?= eventstore

.DEFAULT_GOAL := help
.PHONY: help test test-stress test-chaos examples update-golden cover bench bench-postgres bench-postgres-large bench-jetstream bench-jetstream-large bench-audit scale mutate \
	lint fmt tidy docs ci postgres chromium

##@ Help

help: ## Show this text
	@awk 'BEGIN { FS = ":.*## " } \
		/^[a-z-]+:.*## / { printf "  make %-21s %s\n", $$1, $$2 } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^#: / { about = substr($$0, 4) } \
		/^[A-Z]+ \?=/ && about { name = $$0; sub(/ .*/, "", name); sub(/^[A-Z]+ \?= ?/, ""); \
			printf "  %-10s %s%s\n", name, about, ($$0 ? " [" $$0 "]" : ""); about = "" }' $(MAKEFILE_LIST)

##@ Tests

test: compiler postgres chromium ## Run every test with the race detector, in random order; a skipped test fails
	@$(REPORT) test $(RACE) -shuffle=on -timeout=20m $(TESTFLAGS) $(PKG)

test-stress: compiler postgres ## Run the conformance suites COUNT times in a row with the race detector, and STEPS steps against the model
	@$(REPORT) test $(RACE) -shuffle=on -count=$(COUNT) -timeout=120m -run='$(STRESS)' $(TESTFLAGS) $(STRESSPKG)
	@EVIDENT_STEPS=$(STEPS) $(REPORT) test -count=1 -timeout=240m -run='TestModel' $(TESTFLAGS) $(MODELPKG)

test-chaos: compiler postgres ## Kill servers and cut connections for CHAOS while others write and publish; look for what is lost
	EVIDENT_CHAOS=$(CHAOS) EVIDENT_KILLS=$(KILLS) EVIDENT_RUNS=$(RUNS) $(GO) test $(RACE) -v -p=1 -count=1 -timeout=90m -run='Chaos' $(TESTFLAGS) ./sqlite ./postgres ./jetstream

examples: postgres chromium ## Run every example and compare what it prints with its golden output
	$(GO) test -count=1 ./examples/...

update-golden: postgres chromium ## Write the golden files anew; read the difference before you commit it
	EVIDENT_UPDATE_GOLDEN=1 $(GO) test -count=1 $(PKG)

cover: postgres chromium ## Show how much of each core room is covered; less than PERCENT fails
	$(GO) test -coverprofile=coverage.out -coverpkg=$(subst $(space),$(comma),$(CORE:%=./%/...)) $(CORE:%=./%/...)
	@$(REPORT) cover coverage.out $(PERCENT) $(CORE)

# Benchmarks named Large fill a database for many minutes. They run when they are
# asked for, and EVIDENT_LARGE says so to those who run go test themselves.
BENCHMARK = $(REPORT) bench -run='^$$' -benchmem

bench: postgres ## Run the benchmarks and show how near each comes to the limit beside it
	@$(BENCHMARK) -bench='$(BENCH)' -skip=Large -benchtime=$(BENCHTIME) -count=$(BENCHRUNS) -timeout=60m $(BENCHPKG)

bench-postgres: postgres ## Run PostgreSQL's benchmarks beside their limits, and compare the medians of 5 runs
	@$(BENCHMARK) -bench='$(BENCH)' -skip=Large -benchtime=$(BENCHTIME) -count=$(BENCHRUNS) -timeout=120m ./postgres/...

bench-postgres: BENCHRUNS = 5
bench-postgres: BENCHTIME = 5s

bench-postgres-large: postgres ## Run those with millions of stored events, once each
	@EVIDENT_LARGE=1 $(BENCHMARK) -bench=Large -benchtime=1x -timeout=180m ./postgres/...

bench-jetstream: ## Run JetStream's benchmarks beside their limits, and compare the medians of 5 runs
	@$(BENCHMARK) -bench='$(BENCH)' -skip=Large -benchtime=$(BENCHTIME) -count=$(BENCHRUNS) -timeout=120m ./jetstream/...

bench-jetstream: BENCHRUNS = 5
bench-jetstream: BENCHTIME = 3s

bench-jetstream-large: ## Run those with a million stored events, once: a server's memory and start, and loads
	@EVIDENT_LARGE=1 $(BENCHMARK) -bench=Large -benchtime=1x -timeout=30m ./jetstream/...

bench-audit: postgres ## Ask a million audit records every question, export them, and show the plans; measure what the audit costs
	@EVIDENT_LARGE=1 $(BENCHMARK) -bench='Audit' -benchtime=1x -count=$(BENCHRUNS) -timeout=60m ./postgres/...

scale: ## Print what the measured figures come to with many partitions: the tables of docs/scale.md
	@$(GO) run ./internal/scale/cmd

mutate: ## Invert conditions in ROOM and list those that no test notices (advisory, slow)
	-$(GO) run github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0 unleash --workers=1 --timeout-coefficient=20 ./$(ROOM)

# Nothing to do where a server is named, or the programs are where the tests look
# for them. Debian's package would make a cluster and start a server on it; the
# file that tells it not to is needed only while it is installed.
LOOKUP = $(GO) run ./internal/pgtest/cmd
SUDO = $(if $(filter-out 0,$(shell id -u)),sudo)
CLUSTERS = /etc/postgresql-common/createcluster.d

postgres: ## Install PostgreSQL's server programs if they are missing (apt-get or brew)
	@if [ -n "$$EVIDENT_POSTGRES_URL" ] || $(LOOKUP) >/dev/null; then exit 0; fi; \
	if command -v apt-get >/dev/null; then \
		echo 'Installing PostgreSQL with apt-get.'; set -e; \
		$(SUDO) mkdir -p $(CLUSTERS); \
		$(SUDO) sh -c 'echo create_main_cluster = off >$(CLUSTERS)/evident.conf'; \
		trap '$(SUDO) rm -f $(CLUSTERS)/evident.conf' EXIT; \
		$(SUDO) apt-get update; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends postgresql; \
	elif command -v brew >/dev/null; then \
		echo 'Installing PostgreSQL with brew.'; brew install postgresql@17; \
	else \
		echo "There is neither apt-get nor brew. Install PostgreSQL's server programs (initdb, postgres), or set EVIDENT_POSTGRES_URL."; exit 1; \
	fi; \
	$(LOOKUP)

chromium: ## Install the browser that the tests of the documentation page drive, if none is there (apt-get or brew)
	@for name in chromium chromium-browser google-chrome google-chrome-stable chrome headless-shell; do \
		if command -v $$name >/dev/null; then exit 0; fi; \
	done; \
	if [ -d '/Applications/Google Chrome.app' ] || [ -d /Applications/Chromium.app ]; then exit 0; fi; \
	if command -v apt-get >/dev/null; then \
		echo 'Installing chromium with apt-get.'; set -e; \
		$(SUDO) apt-get update; \
		$(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends chromium; \
	elif command -v brew >/dev/null; then \
		echo 'Installing chromium with brew.'; brew install --cask chromium; \
	else \
		echo 'There is neither apt-get nor brew. Install chromium.'; exit 1; \
	fi

##@ Code and documentation

lint: ## Run the linters, vet, the format check and the go.mod check; list dead code
	$(TOOL) golangci-lint config verify
	$(TOOL) golangci-lint run $(PKG)
	$(TOOL) golangci-lint fmt --diff
	$(GO) vet $(PKG)
	$(GO) mod tidy -diff
	$(GO) -C internal/tools mod tidy -diff
	@echo 'dead code, for information:'
	-@$(TOOL) deadcode -test $(PKG)

fmt: ## Format the code and sort its imports
	$(TOOL) golangci-lint fmt

tidy: ## Bring go.mod and go.sum up to date, of the module and of its tools
	$(GO) mod tidy
	$(GO) -C internal/tools mod tidy

docs: ## Fill the code blocks of README.md and docs from the files they name
	$(GO) run ./internal/docs/sync

ci: ## Do what continuous integration does, clean clone included; it downloads and builds everything
	.ci/run

# The race detector is linked with the C compiler that Go names.
.PHONY: compiler
compiler:
	@[ -z "$(RACE)" ] || command -v "$$($(GO) env CC)" >/dev/null || { \
		echo "The race detector needs a C compiler, and $$($(GO) env CC) is not there."; \
		echo "Install gcc or clang, or test without it: make $(MAKECMDGOALS) RACE="; exit 1; }

comma := ,
space := $() $()
