# Bascule and its reference workload Veza. `make` alone tells what there is to make.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

CARGO ?= cargo
WEB := veza/web
NPM := npm --prefix $(WEB)
SHELL_SCRIPTS := .ci/run crates/bascule/starter/build crates/engine/src/image/base.sh crates/roles/src/postgres/archive.sh $(wildcard scripts/* veza/build bench/*/run bench/*/*.sh)

.PHONY: help
help: ## What there is to make
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

##
.PHONY: lab lab-down
lab: ## Brings the lab up on this machine and releases HEAD to it; again: changes nothing
	@scripts/lab up

lab-down: ## Removes the lab: its instances and credentials; images stay, as a cache
	@scripts/lab down

.PHONY: test test-tools test-style test-lints test-leaks test-docs test-units test-web test-lab
test: test-tools test-style test-lints test-leaks test-docs test-units test-web test-lab ## Everything that must be green

test-tools: ## Installs what the tests need
	@scripts/setup test

test-style: ## Formatting, and shellcheck
	$(CARGO) fmt --all --check
	shellcheck --external-sources $(SHELL_SCRIPTS)

test-lints: ## Clippy, and the rules for dependencies
	$(CARGO) clippy --locked --workspace --all-targets --all-features -- -D warnings
	$(CARGO) clippy --locked --package bascule --package bascule-incus --test lab -- -D warnings
	$(CARGO) deny --log-level error check bans licenses sources

test-leaks: ## No secret in the whole history
	scripts/leaks

test-docs: ## The book builds (what it says is tried by test-units and test-lab)
	scripts/docs

test-units: ## Levels 1 and 2: units, properties and scenarios
	$(CARGO) test --locked --profile checked --workspace

test-web: $(WEB)/node_modules/.package-lock.json ## The web app: lint, types and units
	$(NPM) run lint
	$(NPM) run typecheck
	$(NPM) test

test-lab: $(WEB)/node_modules/.package-lock.json ## Levels 3 and 4: real instances under load, and a real browser
	scripts/test-lab $(LAB)

.PHONY: bench-converge bench-scale bench-cache bench-recovery
bench-converge: ## Ansible and Bascule do the same things on the same instances; ends with the ratios
	@bench/converge/run

bench-scale: ## Planning, and a run without changes, for 125 to 2,000 instances in the modelled world
	$(CARGO) run --locked --release --package bascule-bench-scale

bench-cache: ## An edge out of its cache, and a plain nginx out of a file; ends with the ratio
	@bench/cache/run

bench-recovery: ## Writes after the primary of PostgreSQL is lost, by our settings and by pg_auto_failover's own; ends with the ratio
	@bench/recovery/run

.PHONY: fmt
fmt: $(WEB)/node_modules/.package-lock.json ## Formats everything
	$(CARGO) fmt --all
	$(NPM) run format

# npm writes this file when an installation is whole.
$(WEB)/node_modules/.package-lock.json: $(WEB)/package-lock.json
	$(NPM) ci --no-audit --no-fund
	@touch $@
