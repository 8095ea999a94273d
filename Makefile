# Every command of this project; `make help` lists them. Nothing needs to be installed but Go, bash and make:
# tools and the Kubernetes control plane are built from pinned Go modules into bin/ when they are first needed.

SHELL := /usr/bin/env bash
.SHELLFLAGS := -o errexit -o nounset -o pipefail -c
.DEFAULT_GOAL := help

# What the programs call themselves.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X github.com/turnout-ai/turnout/internal/version.Version=$(VERSION)

# Where the tests find kube-apiserver and etcd. If this is set outside, nothing is built.
ifeq ($(origin KUBEBUILDER_ASSETS),undefined)
export KUBEBUILDER_ASSETS := $(CURDIR)/bin/k8s
assets := control-plane
else
export KUBEBUILDER_ASSETS
assets :=
endif

# The kubectl of install and deploy: yours, or the one built beside the control plane.
KUBECTL ?= $(shell command -v kubectl || echo bin/k8s/kubectl)
ifeq ($(KUBECTL),bin/k8s/kubectl)
kubectl := control-plane
else
kubectl :=
endif

# Test packages at a time: as many as there are processors, at most four. Some start an API server, which
# takes a third of a gigabyte.
P ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n < 4 ? n : 4)))
# What `make test` tests; for example make test PACKAGES=./internal/routing/...
PACKAGES ?= ./...

CONTAINER_TOOL ?= docker
# Prefix and tag of the images.
IMAGES ?= turnout
TAG ?= dev

##@ General

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN { FS = ":.*##"; printf "Usage: make \033[36m<target>\033[0m\n" } \
		/^[a-zA-Z0-9_-]+:.*##/ { printf "  \033[36m%-15s\033[0m %s\n", $$1, $$2 } \
		/^##@/ { printf "\n\033[1m%s\033[0m\n", substr($$0, 5) }' $(MAKEFILE_LIST)

##@ Run

.PHONY: run
run: ## Run everything on this machine; CLUSTER=current uses the current kubeconfig context instead, after asking.
	@CLUSTER="$(CLUSTER)" go run ./hack/run $(ARGS)

.PHONY: control-plane
control-plane: ## Build etcd, kube-apiserver and kubectl into bin/k8s (minutes the first time).
	@hack/control-plane.sh

##@ Build

.PHONY: build
build: ## Build operator, proxy, kubectl-turnout and modelsim into bin/.
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -ldflags "$(LDFLAGS)" -o bin/ ./cmd/operator ./cmd/proxy ./cmd/kubectl-turnout ./cmd/modelsim

.PHONY: docker-build
docker-build: ## Build the images of operator and proxy.
	$(CONTAINER_TOOL) build --build-arg PROGRAM=operator --build-arg VERSION="$(VERSION)" -t $(IMAGES)/operator:$(TAG) .
	$(CONTAINER_TOOL) build --build-arg PROGRAM=proxy --build-arg VERSION="$(VERSION)" -t $(IMAGES)/proxy:$(TAG) .

.PHONY: docker-push
docker-push: ## Push the images of operator and proxy.
	$(CONTAINER_TOOL) push $(IMAGES)/operator:$(TAG)
	$(CONTAINER_TOOL) push $(IMAGES)/proxy:$(TAG)

.PHONY: clean
clean: ## Remove what was built, but not bin/k8s and bin/tools, which take minutes.
	@if [ -d bin ]; then find bin -mindepth 1 -maxdepth 1 ! -name k8s ! -name tools -exec rm -rf {} +; fi

.PHONY: distclean
distclean: ## Remove everything that was built.
	rm -rf bin

##@ Develop

.PHONY: manifests
manifests: bin/tools/controller-gen ## Write the CustomResourceDefinitions from api/.
	bin/tools/controller-gen crd paths=./api/... output:crd:dir=config/crd/bases

.PHONY: generate
generate: manifests ## Write all generated files: CustomResourceDefinitions, DeepCopy methods, tables in documents.
	bin/tools/controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/...
	go run ./test/evidence/render docs/*.md

.PHONY: fmt
fmt: bin/tools/golangci-lint ## Format the Go code.
	bin/tools/golangci-lint fmt

.PHONY: lint
lint: bin/tools/golangci-lint ## Lint the Go code, api/ also by the Kubernetes API conventions.
	bin/tools/golangci-lint run

.PHONY: lint-fix
lint-fix: bin/tools/golangci-lint ## Lint, and mend what a linter can mend.
	bin/tools/golangci-lint run --fix

.PHONY: verify
verify: bin/tools/controller-gen bin/tools/golangci-lint bin/tools/kustomize ## Generate, format and lint; fail when anything was not as it should be.
	@hack/verify.sh

.PHONY: tools
tools: $(addprefix bin/tools/,controller-gen golangci-lint ginkgo kustomize kubeconform) ## Build the tools pinned in hack/tools (minutes the first time).

bin/tools/%: hack/tools/go.mod hack/tools/go.sum hack/tools/build.sh
	@hack/tools/build.sh $*

##@ Test

# The race detector needs a C compiler; without one the tests run all the same, and say so.
RACE ?= $(shell command -v cc gcc clang >/dev/null 2>&1 && echo -race)

.PHONY: test
test: $(assets) ## Run all tests with the race detector, those with an API server too, and a million steps of the simulation without it.
	@[ -n "$(RACE)" ] || echo 'make test: there is no C compiler, so the race detector is off'
	go test $(RACE) -p $(P) -timeout 30m $(PACKAGES)
	$(if $(filter ./...,$(PACKAGES)),go test -count=1 -v -run TestLimitsHold ./test/sim)

# How long each target is fuzzed: a time, or a number of inputs such as 1000x.
FUZZTIME ?= 30s

.PHONY: fuzz
fuzz: ## Fuzz everything that reads bytes of strangers, FUZZTIME=30s for each target; ARGS=-write keeps the counts in docs/evidence.
	go run ./test/fuzz -time $(FUZZTIME) $(ARGS)

.PHONY: e2e
e2e: $(assets) ## Run the end-to-end test: real processes, killed and revived under load.
	go test ./test/e2e -count=1 -v -timeout 30m

.PHONY: soak
soak: $(assets) ## Run the simulation and the end-to-end test for half an hour, and a storm for ten minutes; SOAK=2h for longer.
	TURNOUT_SOAK=$(or $(SOAK),30m) go test -p 2 ./test/sim ./test/e2e -count=1 -v -timeout 0
	TURNOUT_SOAK=$(or $(SOAK),10m) go test ./test/storm -count=1 -v -timeout 0

.PHONY: interop
interop: $(assets) ## Let the official clients of OpenAI talk to a proxy.
	./test/interop/run.sh

.PHONY: wirecheck
wirecheck: build ## Hold the simulated provider against OpenAI's own specification: SPEC=path/to/openapi.json.
	@[ -n "$(SPEC)" ] || { echo 'make wirecheck: set SPEC to the path of openapi.json (github.com/openai/openai-openapi)'; exit 1; }
	go -C test/wirecheck run . -spec "$(abspath $(SPEC))" -modelsim "$(CURDIR)/bin/modelsim"

.PHONY: bench
bench: $(assets) ## Measure the proxy beside a bare fasthttp proxy and nginx; ARGS="-without nginx" where it is not installed.
	go run ./test/bench $(ARGS)

##@ Deploy

.PHONY: context
context: $(kubectl)
	@printf 'using kubeconfig context %s\n' "$$($(KUBECTL) config current-context)"

.PHONY: install
install: context bin/tools/kustomize ## Install the kinds into the current kubeconfig context.
	bin/tools/kustomize build config/crd | $(KUBECTL) apply --server-side -f -

.PHONY: uninstall
uninstall: context ## Remove the kinds, and with them every endpoint and policy.
	@hack/uninstall.sh $(KUBECTL)

.PHONY: deploy
deploy: context bin/tools/kustomize ## Install kinds, operator and proxies into the current kubeconfig context.
	bin/tools/kustomize build config/default | sed 's#image: turnout/\([a-z]*\):dev#image: $(IMAGES)/\1:$(TAG)#' | $(KUBECTL) apply --server-side -f -

.PHONY: undeploy
undeploy: context bin/tools/kustomize ## Remove operator, proxies and kinds, and with them every endpoint and policy.
	bin/tools/kustomize build config/default | $(KUBECTL) delete --ignore-not-found --wait=false -f -
	@hack/uninstall.sh $(KUBECTL)
