# Every command looks first for what it needs and says how to get what is missing.
# The first build of xtask shows its progress; later ones have nothing to show.
XTASK := cargo run $(if $(wildcard $(or $(CARGO_TARGET_DIR),target)/debug/xtask),--quiet) --package xtask --

# Another version of Kubernetes changes nothing for tests that ask no server.
TESTS := $(if $(KUBERNETES),--package scaleset-tests --test schema_on_server --test runtime_on_server --test end_to_end,--workspace)

.DEFAULT_GOAL := help
.PHONY: help tools check control-plane generate lint test test-alerts bench run up status down plugin node node-programs node-down kind image test-node test-image test-chart test-oldest test-fencing test-reproduce test-long

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  TIME_SCALE=N       make run/up: how much faster than wall time the hardware's clock runs (default 15)"
	@echo "  REGION_FILE=FILE   make run/up: other regions than the embedded ones, see docs/hardware.md"
	@echo "  KUBECONFIG=FILE    make run KUBECONFIG=…: an existing cluster instead of a control plane of our own"
	@echo "  CLEAN=1            make down: remove the kept state as well"
	@echo "  KUBERNETES=N       make test: the tests that ask a server, against that version (docs/control-plane.md)"

# xtask looks for the rest; without these two it cannot itself be built.
tools:
	@echo "looking for what is needed"
	@missing=0; \
	command -v cargo >/dev/null || { echo "  - Rust: install it with rustup, from rustup.rs" >&2; missing=1; }; \
	command -v cc >/dev/null || { echo "  - a C compiler named cc: apt-get install gcc, or your system's" >&2; missing=1; }; \
	exit $$missing

check: tools ## Look for Rust, Go, a C compiler, ports and disk
	@$(XTASK) check

control-plane: tools ## Build etcd, kube-apiserver, kube-controller-manager, kubectl and helm, once
	@$(XTASK) control-plane

generate: check control-plane ## Generate manifests, reference, the chart's rights and the kustomize base from their sources
	@cargo run --quiet --package scaleset-crds --bin crdgen -- crds/manifests charts/scaleset-crds/templates docs/reference.md
	@cp controller/manifests/role.yaml controller/manifests/namespace.yaml charts/scaleset-controller/rules
	@cargo run --quiet --package scaleset-tests --bin kustomize-base -- hack/kustomize/base

# kubectl finds a plugin by its name on PATH, and its completion by another name of it.
plugin: tools ## Install `kubectl scaleset` into cargo's folder for programs
	@echo "compiling kubectl-scaleset with optimization: some minutes the first time"
	cargo install --locked --path controller/plugin
	@bin="$${CARGO_INSTALL_ROOT:-$${CARGO_HOME:-$$HOME/.cargo}}/bin"; \
	ln -sf kubectl-scaleset "$$bin/kubectl_complete-scaleset"; \
	echo "installed: $$bin/kubectl-scaleset"; \
	case ":$$PATH:" in *":$$bin:"*) ;; *) echo "add $$bin to PATH, so that kubectl finds it" ;; esac

lint: check ## Formatting and clippy, warnings denied
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings

test: check control-plane ## Run all tests
	cargo test $(TESTS)

# The audit logs of all control planes of the run are compared with the chart's roles at the end.
AUDIT_LOGS := $(or $(CARGO_TARGET_DIR),target)/audit-logs
test-chart: check node-programs image ## Run the end-to-end tests against what the charts install on a real node (Linux, root)
	rm -rf $(AUDIT_LOGS)
	SCALESET_AUDIT_LOGS=$(abspath $(AUDIT_LOGS)) cargo test --package scaleset-tests --features node --test chart_on_node
	SCALESET_AUDIT_LOGS=$(abspath $(AUDIT_LOGS)) SCALESET_END_TO_END=chart cargo test --package scaleset-tests --test end_to_end
	cargo run --quiet --package scaleset-tests --bin rights-used -- $(AUDIT_LOGS)

# The lines behind the mark in docs/high-availability.md are what the tries have shown.
test-fencing: check control-plane ## Pause leaders a hundred times; the transcript goes to docs/high-availability.md
	TRIES=100 TRANSCRIPT="$(CURDIR)/docs/high-availability.md" \
	cargo test --package scaleset-tests --test high_availability -- --nocapture a_leader_that_was_paused

test-alerts: ## Check the alert rules and run their tests
	@command -v promtool >/dev/null || { echo "promtool is missing: apt-get install prometheus" >&2; exit 1; }
	promtool check rules charts/scaleset-controller/alerts/scaleset.yaml
	promtool test rules tests/alerts/scaleset.yaml

bench: check control-plane ## Measure against the floor of the same run; the report goes to docs/benchmarks.md
	cargo run --release --package scaleset-tests --bin bench

# make passes command-line variables on; one that only stands in the environment is not meant for us.
run: tools ## Start everything, apply the samples, show a live table until Ctrl-C
	@$(XTASK) run $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig $(KUBECONFIG))

up: tools ## Start control plane and controller in the background, without samples
	@$(XTASK) up $(if $(filter command line,$(origin KUBECONFIG)),--kubeconfig $(KUBECONFIG))

status: tools ## Say what of `make up` is running
	@$(XTASK) status

down: tools ## Stop what `make up` started
	@$(XTASK) down $(if $(CLEAN),--clean)

node: tools ## Start a control plane and a real node with our image, without a container engine (Linux, root)
	@$(XTASK) node

node-down: tools ## Stop what `make node` started; nothing is left behind
	@$(XTASK) node-down

node-programs: tools
	@$(XTASK) node-programs

kind: tools ## The same as `make node` in a container, for those who have Docker and kind
	@$(XTASK) kind

image: tools ## Build our image as an OCI layout and an archive, without a daemon
	@$(XTASK) image

test-node: check node-programs ## Run the tests that need a real node (Linux, root)
	cargo test --package scaleset-control-plane --features node --test node

test-image: node-programs image ## Run the tests of the image, one of them in a pod (Linux, root)
	cargo test --package xtask --features image --test image

test-reproduce: tools ## Compile the image in two folders and compare (long)
	@$(XTASK) image-reproduce

test-oldest: ## Run the tests that ask a server on the oldest Kubernetes that is supported
	$(MAKE) test KUBERNETES=1.33.13

test-long: test-fencing test-reproduce test-oldest ## Run the tests that take long
