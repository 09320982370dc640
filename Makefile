# The front door. `make` alone tells what there is.

SHELL := /bin/bash
SECONDS ?= 30
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
RELEASE := build/release

.PHONY: help quickstart check bench soak chaos fuzz interchange coverage format lint symbols install clean \
        bootstrap-% release

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

bootstrap-%:
	@scripts/bootstrap.sh $*

release:
	@scripts/build.sh release

quickstart: ## install what is missing, build, and watch slow things become fast
	@scripts/bootstrap.sh build
	@scripts/build.sh release tour cachekit_cli
	@$(RELEASE)/examples/tour
	@scripts/show_run.sh $(RELEASE)/bin/cachekit

check: ## install what is missing, then all tests: builds dev, asan, tsan, and the Python package
	@scripts/bootstrap.sh build check
	@scripts/check.sh dev asan tsan

bench: ## install what is missing, measure, write build/bench/results.json
	@scripts/bootstrap.sh build bench
	@scripts/build.sh release
	@mkdir -p build/bench
	@$(RELEASE)/bench/ckit_bench --out build/bench/results.json
	@scripts/bench_python.sh --out build/bench/results.json

soak: ## the rehearsals of failure with full counts (long); a fleet on one Redis for SECONDS=300 in each build
	@scripts/bootstrap.sh build check
	@CKIT_SOAK_SECONDS=$(if $(filter file,$(origin SECONDS)),300,$(SECONDS)) scripts/soak.sh release asan

chaos: ## what callers see while stores, networks, disks and clocks fail: a table, and build/chaos/results.json
	@scripts/bootstrap.sh build check
	@scripts/chaos.sh

fuzz: ## libFuzzer, each target for SECONDS=30
	@scripts/bootstrap.sh build check
	@scripts/fuzz.sh $(SECONDS)

interchange: ## entries, names and sealed bytes exchanged with the released Rust crates (needs cargo and its registry)
	@scripts/bootstrap.sh build check
	@tests/interchange/rust.sh release

coverage: ## lines that the tests execute, in build/coverage/report
	@scripts/bootstrap.sh build check coverage
	@scripts/coverage.sh

format: ## bring all C files into shape (clang-format-14)
	@scripts/bootstrap.sh format
	@git ls-files -z '*.c' '*.h' | xargs -0 clang-format-14 -i

lint: ## clang-format-14 and clang-tidy-14 over what has changed since it was clean
	@scripts/bootstrap.sh build check format lint
	@tests/repository/formatted.sh . clang-format-14
	@python3 -B scripts/lint.py

symbols: ## rewrite the list of exported symbols, src/exported-symbols.txt
	@scripts/build.sh release cachekit
	@scripts/symbols.sh write $(RELEASE)/libcachekit.so

install: ## install library, tool and man pages to PREFIX=/usr/local (DESTDIR is obeyed)
	@scripts/bootstrap.sh build
	@cmake --preset release -DCKIT_TESTS=OFF -DCMAKE_INSTALL_PREFIX="$(PREFIX)" > /dev/null
	@cmake --build --preset release -j $(JOBS) --target cachekit cachekit_static cachekit_tool
	@cmake --install $(RELEASE)

clean: ## remove everything that was built
	@rm -rf build
