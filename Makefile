# What a developer of evident types. `make` alone explains itself.
# Needed: Go, git and make; for the race detector a C compiler as well.

GO     ?= go
TOOL   := $(GO) tool -modfile=internal/tools/go.mod
REPORT := $(GO) run ./internal/report/cmd

# The core rooms: what `make cover` measures.
CORE := event eventstore checkpoint dlq lease aggregate projection audit memory sqlite

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
STRESSPKG ?= ./memory ./sqlite ./projection
#: bench: which benchmarks, as go test -bench takes them
BENCH ?= .
#: bench: where they are
BENCHPKG ?= ./aggregate/... ./sqlite/... ./eventstore/... ./projection/...
#: bench: how long each runs, or with an x how often: 100x
BENCHTIME ?= 1s
#: bench: runs of each; the medians are compared
BENCHRUNS ?= 3
#: cover: the least share of statements, for each core room
PERCENT ?= 90
#: mutate: the room whose conditions are inverted
ROOM ?= eventstore

.DEFAULT_GOAL := help
.PHONY: help test test-stress examples update-golden docs lint fmt tidy bench cover mutate ci

##@ Help

help: ## Show this text
	@awk 'BEGIN { FS = ":.*## " } \
		/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^#: / { about = substr($$0, 4) } \
		/^[A-Z]+ \?=/ && about { name = $$0; sub(/ .*/, "", name); sub(/^[A-Z]+ \?= ?/, ""); \
			printf "  %-10s %s%s\n", name, about, ($$0 ? " [" $$0 "]" : ""); about = "" }' $(MAKEFILE_LIST)

##@ Tests

test: compiler ## Run every test with the race detector, in random order; a skipped test fails
	@$(REPORT) test $(RACE) -shuffle=on $(TESTFLAGS) $(PKG)

test-stress: compiler ## Run the conformance suites COUNT times in a row with the race detector
	@$(REPORT) test $(RACE) -shuffle=on -count=$(COUNT) -timeout=120m -run='$(STRESS)' $(TESTFLAGS) $(STRESSPKG)

examples: ## Run every example and compare what it prints with its golden output
	$(GO) test -count=1 ./examples/...

update-golden: ## Write the golden files anew; read the difference before you commit it
	EVIDENT_UPDATE_GOLDEN=1 $(GO) test -count=1 $(PKG)

cover: ## Show how much of each core room is covered; less than PERCENT fails
	$(GO) test -coverprofile=coverage.out -coverpkg=$(subst $(space),$(comma),$(CORE:%=./%/...)) $(CORE:%=./%/...)
	@$(REPORT) cover coverage.out $(PERCENT) $(CORE)

bench: ## Run the benchmarks and show how near each comes to the limit beside it
	@$(REPORT) bench -run='^$$' -bench='$(BENCH)' -benchmem -benchtime=$(BENCHTIME) -count=$(BENCHRUNS) -timeout=60m $(BENCHPKG)

mutate: ## Invert conditions in ROOM and list those that no test notices (advisory, slow)
	-$(GO) run github.com/go-gremlins/gremlins/cmd/gremlins@v0.6.0 unleash --workers=1 --timeout-coefficient=20 ./$(ROOM)

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
