# Targets for people and for CI. Plain `make` prints them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:

# Go is often unpacked there without anybody's PATH knowing; system tools are
# missing in the PATH of users other than root.
export PATH := $(PATH):/usr/local/go/bin:/usr/sbin:/sbin
# A clone that belongs to another user makes git, and so version stamping, fail.
export GOFLAGS := $(GOFLAGS) -buildvcs=false -tags=grpcnotrace

GO      := go
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
TOOLS   := bin/tools
# Modules beside the product's, so that what tests need never reaches it.
MODULES := $(patsubst %/go.mod,%,$(wildcard test/*/go.mod) test/clients/buildkit/go.mod)

FUZZTIME  ?= 20s
BENCHTIME ?= 1s

##@ Try

.PHONY: build
build: ## Build bin/csi-driver and the credential helper beside it, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/csi-driver ./cmd/docker-credential-regcred

.PHONY: demo
demo: export REGCRED_CLIENTS := few
demo: setup ## Show one volume's whole life against a real registry (root; else in a user namespace)
	$(GO) run -C test/clients ./cmd/demo

##@ Check

.PHONY: test
test: needs setup build lint verify unit modules ## Everything that must hold before a change goes in
	@echo "make test: all good"

.PHONY: test-all
test-all: export REGCRED_CLIENTS := all
test-all: test long race fuzz ## make test, the long tests, the race detector and every fuzz target
	@echo "make test-all: all good"

.PHONY: lint
lint: $(TOOLS)/golangci-lint ## Lint all modules (the first time it builds the linter: minutes)
	$< run ./...
	@for module in $(MODULES); do \
		echo "linting $$module"; (cd $$module && "$(CURDIR)/$<" run --config "$(CURDIR)/.golangci.yml" ./...); \
	done

.PHONY: unit
unit: ## Tests of the product module, with the committed fuzz corpora
	$(GO) test $$($(GO) list ./... | grep -v /test/)
	$(GO) test -count=1 -timeout 20m ./test/... # they run the driver's binary, of which Go's cache knows nothing

.PHONY: modules
modules: ## Tests of all modules under test/
	@for module in $(MODULES); do \
		echo "testing $$module"; $(GO) test -C $$module -count=1 ./...; \
	done
	@[ "$${REGCRED_CLIENTS-}" = all ] || echo "left to make test-all: a build that outlives three passwords, and a thousand changes of a login (make long)"

.PHONY: long
long: setup ## A build longer than three lives of its password; a thousand changes of a login while all clients pull
	REGCRED_LONG=1 REGCRED_TURNS=1000 $(GO) test -C test/clients -count=1 -timeout 60m -v -run 'Long$$|TestMatrix$$' .

.PHONY: crash abuse soak model
crash: ## Kill the driver before every system call, and at random under load
abuse: ## Canaries in everything it writes, and two tenants of whom one is hostile
soak: ## Churn, rotation and faults for a while (REGCRED_SOAK=10m for longer)
model: ## Random steps against a small model
crash abuse soak model:
	$(GO) test -count=1 -timeout 60m -v ./test/$@

.PHONY: sanity formats crds buildx
sanity: ## csi-test's sanity suite over the driver's socket
formats: ## Golden files read by the strict readers of the programs that consume them
buildx: ## Golden files of buildx-scoped, read by buildx's own code
crds: ## The generated CRDs, enforced by a real API server's validation
sanity formats crds buildx:
	$(GO) test -C test/$@ -count=1 ./...

.PHONY: clients
clients: setup ## Real registries and every client of docs/clients.md, end to end
	$(GO) test -C test/clients -count=1 ./...

.PHONY: race
race: ## The product's own tests and the model under the race detector (needs a C compiler)
	@command -v gcc >/dev/null || { echo "the race detector needs a C compiler: apt-get install gcc libc6-dev"; exit 1; }
	CGO_ENABLED=1 $(GO) test -race -timeout 60m ./cmd/... ./pkg/... ./internal/... ./test/model

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (20s)
	@grep -rlE '^func Fuzz' --include='*_test.go' cmd pkg internal test | while read -r file; do \
		grep -oE '^func Fuzz[A-Za-z0-9_]*' "$$file" | while read -r _ target; do \
			$(GO) test -C "$$(dirname "$$file")" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) . || exit 1; \
		done || exit 1; \
	done

.PHONY: bench
bench: build ## Hold the driver against its budgets (BENCHFLAGS="-strict -only calls"), after each package's benchmarks
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./pkg/... ./internal/... | grep -Ev '^(PASS|ok|\?) *'
	$(GO) run ./test/bench $(BENCHFLAGS)

##@ Change

.PHONY: generate
generate: build $(TOOLS)/controller-gen ## Write the CRDs and docs/flags.md from the code
	@mkdir -p $(OUT)deploy/crds $(OUT)docs
	$(TOOLS)/controller-gen crd paths=./pkg/apis/... output:crd:dir=$(OUT)deploy/crds
	tools/flags.sh bin/csi-driver >$(OUT)docs/flags.md

.PHONY: verify
verify: ## Fail when make generate would change something, or a dependency is not accounted for
	@rm -rf .cache/generated && mkdir -p .cache/generated
	@$(MAKE) --no-print-directory generate OUT=.cache/generated/
	@for path in deploy/crds docs/flags.md; do \
		diff -ru "$$path" ".cache/generated/$$path" || { echo "$$path is not what the code says: run make generate and commit it"; exit 1; }; \
	done
	@$(GO) list -m -f '{{if not (or .Main .Indirect)}}{{.Path}}{{end}}' all | while read -r module; do \
		grep -qF "\`$$module\`" docs/dependencies.md || { echo "docs/dependencies.md does not say what $$module saves"; exit 1; }; \
	done

.PHONY: format
format: $(TOOLS)/golangci-lint ## Format all Go files
	$< fmt ./...

##@ Prepare

.PHONY: needs
needs: ## Say what is missing on this machine
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.26 from https://go.dev/dl/"; exit 1; }
	@if [ "$$(id -u)" != 0 ]; then \
		unshare --user --map-root-user --mount true 2>/dev/null || { \
			echo "tests mount real file systems: run make as root, or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1)"; exit 1; }; \
		echo "not root: tests mount in user namespaces; those that need a real root (dockerd) say that they were skipped"; \
	fi

.PHONY: setup
setup: needs ## Install and build what the client tests and the demo run
	test/clients/setup.sh

.PHONY: clean
clean: ## Remove what was built
	rm -rf bin dist .cache

# go tool links its program anew each time, which takes golangci-lint half a
# minute, so the tools are built once for each change of tools/go.mod.
TOOL_PACKAGES := \
	github.com/golangci/golangci-lint/v2/cmd/golangci-lint \
	sigs.k8s.io/controller-tools/cmd/controller-gen

$(addprefix $(TOOLS)/,$(notdir $(TOOL_PACKAGES))): tools/go.mod tools/go.sum
	@echo "building $(@F) (once)"
	@CGO_ENABLED=0 $(GO) build -modfile=tools/go.mod -trimpath -ldflags '-s -w' -o $@ $(filter %/$(@F),$(TOOL_PACKAGES))
	@touch $@

.PHONY: help
help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z]+:.*## / {printf "  %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
