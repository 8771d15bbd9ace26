# Every target installs what it lacks first and says so; what is already there is left alone. Node is pinned in .node-version.
.DEFAULT_GOAL := help
PREFIX ?= /usr/local
DESTDIR ?=

# Tools run on the pinned Node; npm does not: Debian's npm finds its parts only under the Node it came with.
TOOLS = PATH="$(CURDIR)/.toolchain/node_modules/.bin:$(CURDIR)/node_modules/.bin:$$PATH"

# Whoever owns the checkout builds in it. Another (sudo make install) takes the build that stands there, so nothing in it becomes root's.
OWN_BUILD = $(if $(filter $(shell id -u),$(shell stat -c %u .)),build)

.PHONY: help build test test-kernel test-small test-boot demo lint format reference bench soak chaos fuzz mutate healthy faults package install uninstall clean toolchain

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' Makefile

build: toolchain ## bin/sallyport, ready to run, from src/
	@$(TOOLS) node scripts/build.ts

# The fuzzer's hands in its namespaces.
FUZZ_AGENT = node_modules/.cache/fuzz/agent
$(FUZZ_AGENT): $(wildcard fuzz/agent/*) | build
	@sh scripts/packages.sh test
	@mkdir -p $(@D)
	@cc -std=c11 -O2 -Wall -Wextra -Werror -o $@ fuzz/agent/*.c

test: toolchain build $(FUZZ_AGENT) ## all tests, on this machine's kernel; FILES='src/net' for some
	@sh scripts/packages.sh test
	@$(TOOLS) sh scripts/namespaces.sh test vitest run --configLoader native $(FILES)

# What runs there is said where it is written: tests with the tag vm, or vm-only. FILES of one's own run whole.
IN_VM = --tags-filter 'vm || vm-only' $$(grep -rlE "'vm(-only)?'" --include='*.test.ts' src)

test-kernel: toolchain build $(if $(FILES),,test-small test-boot) ## those tagged vm, on a stock Debian kernel with its own WireGuard, in a VM; FILES='src/net' for others
	@sh scripts/packages.sh test
	@sh scripts/vm.sh vitest run --configLoader native --reporter verbose --hideSkippedTests --reporter ./scripts/totals.ts \
	  $(or $(FILES),$(IN_VM))

test-small: toolchain build ## an edge of 512 MB, in a VM: 50,000 forwards and 100,000 connections
	@sh scripts/packages.sh test
	@mkdir -p node_modules/.cache/small-edge
	@$(TOOLS) node scripts/vm/small-edge.ts node_modules/.cache/small-edge
	@VM_MEMORY=512M sh scripts/vm.sh sh scripts/vm/small-edge.sh node_modules/.cache/small-edge

test-boot: toolchain build ## an edge with Debian's systemd, in a VM: its power fails, nobody confirms a change, its clock is set
	@sh scripts/packages.sh test
	@VM_DISK=1 VM_TIMEOUT=15m sh scripts/vm.sh sh scripts/vm/boot/job.sh

demo: toolchain build ## a story told on this machine's kernel: the slim edge, or STORY=wireguard-behind-lb
	@sh scripts/packages.sh demo
	@$(TOOLS) sh scripts/namespaces.sh demo node bin/sallyport lab demo $(or $(STORY),slim-edge)

lint: toolchain ## format, lint, types, import walls, dead code, reference, shell
	@$(TOOLS) sh scripts/lint.sh

format: toolchain ## write what lint asks of the format
	@$(TOOLS) biome check --write

reference: toolchain ## docs/reference.md from the schema
	@$(TOOLS) node scripts/reference.ts

bench: toolchain build ## measure, beside nginx, haproxy, iptables and bare nft; ARGS='--quick planes' for a part
	@sh scripts/packages.sh bench
	@cc -std=c11 -O2 -Wall -Wextra -Werror -o dist/load bench/load.c
	@$(TOOLS) sh scripts/namespaces.sh test node bench/run.ts $(ARGS)

soak: toolchain build ## 1,000 connections held over 1,000 re-applies; 1,000 drawn sets: what is proven, by real packets; ARGS='--seed 7'
	@sh scripts/packages.sh test
	@$(TOOLS) sh scripts/namespaces.sh test node bench/soak.ts $(ARGS)
	@$(TOOLS) sh scripts/namespaces.sh test node bench/proven.ts $(ARGS)

chaos: toolchain build ## 1,000 drawn changes over ssh that go wrong: who goes back, when, and whether what is said is so; ARGS='--seed 7 --cases 50'
	@sh scripts/packages.sh test
	@$(TOOLS) sh scripts/namespaces.sh test node bench/chaos.ts $(ARGS)

fuzz: toolchain build $(FUZZ_AGENT) ## drawn networks beside the model, on from where it stopped, to 1,000,000 checks; ARGS='--seconds 600', '--from 7'
	@sh scripts/packages.sh test
	@$(TOOLS) sh scripts/namespaces.sh test node fuzz/run.ts $(ARGS)

mutate: toolchain ## small faults in what is rendered: how many of those that change a packet's fate verify finds; ARGS='--list', '--scene plain'
	@$(TOOLS) node fuzz/mutate/run.ts $(ARGS)

healthy: toolchain ## no false alarm: doctor on 1,000 drawn healthy hosts, and 1,000 with others' firewalls; verify on 1,000 plans; SEED=7 for others
	@$(TOOLS) HEALTHY_HOSTS=1000 HEALTHY_PLANS=1000 HEALTHY_SEED=$(or $(SEED),20261127) vitest run --configLoader native healthy.test.ts src/verify/property.test.ts

faults: toolchain build ## every fault of the field built, named and mended on this machine's kernel; writes the table of docs/faults/README.md
	@sh scripts/packages.sh test
	@$(TOOLS) FAULTS_TABLE=write sh scripts/namespaces.sh test vitest run --configLoader native src/cli/faults.test.ts

package: toolchain build ## the tarball npm publishes
	@npm pack --loglevel=error

install: $(OWN_BUILD) ## into PREFIX (/usr/local), staged under DESTDIR
	@sh scripts/install.sh install '$(DESTDIR)' '$(PREFIX)'

uninstall: ## exactly what install put there
	@sh scripts/install.sh uninstall '$(DESTDIR)' '$(PREFIX)'

clean: ## what make made, the toolchain included
	rm -rf dist coverage .toolchain node_modules sallyport-*.tgz

toolchain:
	@sh scripts/toolchain.sh
