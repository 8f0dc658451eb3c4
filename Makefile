# Every command looks first for what it needs and says how to get what is missing.
XTASK := cargo run --quiet --package xtask --

.DEFAULT_GOAL := help
.PHONY: help check control-plane generate lint test bench run up down

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  TIME_SCALE=N       make run/up: how much faster than wall time the hardware's clock runs (default 15)"
	@echo "  KUBECONFIG=FILE    make run KUBECONFIG=…: an existing cluster instead of a control plane of our own"
	@echo "  CLEAN=1            make down: remove the kept state as well"

check: ## Look for Rust, Go, a C compiler, ports and disk
	@echo "looking for what is needed"
	@$(XTASK) check

control-plane: ## Build etcd, kube-apiserver, kube-controller-manager, kubectl and helm, once
	@$(XTASK) control-plane

generate: check ## Generate the manifests of the kinds from their types
	@cargo run --quiet --package scaleset-crds --bin crdgen -- crds/manifests

lint: check ## Formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

test: check control-plane ## Run all tests
	cargo test --workspace

bench: check control-plane ## Measure against the floor of the same run; the report goes to docs/benchmarks.md
	cargo run --release --package scaleset-tests --bin bench

# make passes command-line variables on; one that only stands in the environment is not meant for us.
run: ## Start everything, apply the samples, show a live table until Ctrl-C
	@echo "looking for what is needed"
	@$(XTASK) run $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig $(KUBECONFIG))

up: ## Start control plane and controller in the background
	@echo "looking for what is needed"
	@$(XTASK) up $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig $(KUBECONFIG))

down: ## Stop what `make up` started
	@$(XTASK) down $(if $(CLEAN),--clean)
