# LoraPress. `make help` lists the targets; JOBS=n sets parallel jobs (default: all cores).

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := build
MAKEFLAGS += --no-print-directory
JOBS ?= $(shell nproc)
PROGRAM := build/lorapress
FUZZ_SECONDS ?= 60
# What clang-tidy looks at: `make tidy FILES='src/graph/.*'` (a regular expression of paths).
FILES ?= (src|cli|fuzz)/.*
export PATH := $(HOME)/.cargo/bin:$(PATH)

# One line per phase, so that a long one is known by its name.
say = @printf '\n== %s\n' "$(1)"

.PHONY: build
build: deps ## Install what is missing, configure, compile: leaves build/lorapress
	$(call say,compiling the program (from nothing: 3 to 6 minutes on two cores))
	cmake --preset release --log-level=WARNING
	cmake --build build -j $(JOBS)

.PHONY: deps
deps: ## Debian packages and pinned third-party files only
	$(call say,Debian packages)
	@tools/setup.sh build
	$(call say,pinned files: ONNX Runtime and ONNX)
	@tools/fetch_deps.sh

.PHONY: test
test: test-deps build checks ## Everything CI runs: unit tests, checks, end to end, sanitizers
	$(call say,tests)
	ctest --test-dir build --output-on-failure -j $(JOBS) --no-tests=error
	@$(MAKE) sanitize

.PHONY: test-deps
test-deps: test-tools ## What tests need beside the program: Python environments, npm packages
	$(call say,packages of the tests: npm and Python)
	@tools/test_deps.sh

.PHONY: test-tools
test-tools:
	$(call say,Debian packages of the tests)
	@tools/setup.sh test
	@tools/python_env.sh .venv-lint tools/requirements.txt

.PHONY: checks
checks: build ## Compile the unit tests and the fuzz targets
	$(call say,compiling the tests)
	cmake --build build -j $(JOBS) --target checks

.PHONY: quick
quick: checks ## The inner loop: unit tests, fuzz corpora, house rules; no browsers, no Python
	ctest --test-dir build --output-on-failure -j $(JOBS) --no-tests=error -LE script

.PHONY: unit
unit: checks ## Unit tests only, in the release build
	build/lorapress_tests --gtest_brief=1

.PHONY: asan
asan: build ## All unit tests and fuzz corpora under address and undefined-behaviour sanitizers
	cmake --preset asan --log-level=WARNING
	cmake --build build-asan -j $(JOBS) --target checks
	ctest --test-dir build-asan --output-on-failure -j $(JOBS)

.PHONY: sanitize
sanitize: build ## Corpora of all parsers, unit tests of checkpoint, weights, graph and passes under the same sanitizers
	$(call say,sanitizers: address and undefined behaviour)
	cmake --preset asan --log-level=WARNING
	cmake --build build-asan -j $(JOBS) --target fuzz_targets lorapress_core_tests
	ctest --test-dir build-asan --output-on-failure -j $(JOBS) --no-tests=error -L core

.PHONY: demo
demo: build ## Press the trained demo checkpoint, caption, serve its page (DEMO_ARGS=--no-serve: not)
	$(call say,press and caption)
	tools/demo.sh $(PROGRAM) $(DEMO_ARGS)

.PHONY: page
page: ## Bundle the page and its runtime into web/build/demo, which `lorapress deploy` puts into sites
	$(call say,the page)
	@tools/npm_install.sh web
	node web/tools/bundle.mjs --demo web/build/demo

# Outputs of packaging/: dist/*.whl, an SBOM for each and SHA256SUMS.
TARGETS ?=
.PHONY: wheels
wheels: ## Python wheels into dist/, checked, for Linux, Windows, macOS [TARGETS="linux-x86_64 linux-aarch64"]; packaging/ says how
	@tools/setup.sh wheels
	@tools/fetch_deps.sh
	python3 packaging/make_wheels.py $(TARGETS)

.PHONY: site
site: ## The docs as a site in build-site/site, links checked; lints Dockerfile and workflows [SOURCE=ADDRESS of the tree]
	@SOURCE=$(SOURCE) tools/site.sh

.PHONY: bench
bench: build ## Measure speed and memory; bench/ says what is measured
	bench/run.sh $(PROGRAM)

.PHONY: bench-web
bench-web: build ## Measure captions in Chromium against transformers.js; bench/web/ says what is measured
	bench/web/run.sh $(PROGRAM)

.PHONY: oracle
oracle: ## Make tests/goldens again with the real Python libraries (needs the training environment)
	tests/oracle/run.sh --all

# The variables of `make train`, `press`, `verify` and `serve`; docs/training.md says what each is.
OUT ?= $(if $(DATASET),runs/$(notdir $(patsubst %/,%,$(DATASET))))
PRESSED ?= $(OUT)/pressed
DTYPE ?= q4,fp32
TRAIN_VARIABLES := DATASET EPOCHS ENCODER DECODER FROM MODEL PROMPT SAMPLE MAX_LENGTH PROJECTION UNFREEZE OUT FORMAT BATCH SEED QAT ADAPTER LORA_RATE PROJECTION_RATE LORA_RANK LORA_ALPHA
lower = $(shell echo $(1) | tr A-Z_ a-z-)
need_run = @[ -n "$(OUT)" ] || { echo "make $@: DATASET=DIR|shapes or OUT=DIR is needed, as make train had it" >&2; exit 2; }

.PHONY: train
train: ## Train a captioner: DATASET=DIR EPOCHS=5 [ENCODER= DECODER=|MODEL= SAMPLE= MAX_LENGTH= PROJECTION= UNFREEZE= FROM= QAT= OUT=]
	@[ -n "$(DATASET)" ] || { echo "make train: DATASET=DIR|shapes is needed; docs/training.md; make train-demo makes models/demo again" >&2; exit 2; }
	@train/setup.sh
	@.venv-train/bin/python -m train.tune $(foreach v,$(TRAIN_VARIABLES),$(if $($(v)),--$(call lower,$(v)) '$($(v))'))

.PHONY: train-demo
train-demo: ## Train models/demo again, by two uses of make train (about 35 minutes on two cores)
	train/run.sh

.PHONY: press
press: build ## Press what make train made: DATASET= or OUT= as there [DTYPE=q4,fp32 PRESSED=DIR PRESS_ARGS=]
	$(need_run)
	$(PROGRAM) press $(OUT)/best $(PRESSED) --dtype $(DTYPE) --force $(if $(wildcard $(OUT)/best/prompt.txt),--prompt "$$(cat $(OUT)/best/prompt.txt)") $(PRESS_ARGS)

.PHONY: verify
verify: build ## Compare what make press wrote with its checkpoint: DATASET= or OUT= [IMAGES=DIR]
	$(need_run)
	$(PROGRAM) verify $(OUT)/best $(PRESSED) $(if $(IMAGES),--images $(IMAGES)) $(VERIFY_ARGS)

.PHONY: serve
serve: build ## The page with what make press wrote: DATASET= or OUT= [PORT=8080]
	$(need_run)
	@tools/npm_install.sh web
	@node web/tools/bundle.mjs --demo $(OUT)/page
	@rm -rf $(OUT)/page/model && cp -r $(PRESSED) $(OUT)/page/model
	$(PROGRAM) serve $(OUT)/page --port $(or $(PORT),8080)

.PHONY: e2e
e2e: build ## End-to-end tests only
	tests/e2e/run.sh $(PROGRAM)

.PHONY: check
check: test-tools ## Format, linters and house rules, as CI checks them
	tools/check.sh

.PHONY: tidy
tidy: build ## clang-tidy-19 on FILES (slow)
	@tools/setup.sh dev
	cmake --preset tidy --log-level=WARNING
	run-clang-tidy-19 -quiet -j $(JOBS) -p build-tidy '^$(CURDIR)/$(FILES)'

.PHONY: format
format: test-tools ## Rewrite sources with clang-format-19, ruff and biome
	tools/check.sh --format

.PHONY: format-check
format-check: test-tools ## Only report what `make format` would change
	tools/check.sh --format-check

.PHONY: fuzz
fuzz: build ## Run every fuzz target for FUZZ_SECONDS (60) with libFuzzer, from fuzz/corpus
	@tools/setup.sh dev
	cmake --preset fuzz --log-level=WARNING
	cmake --build build-fuzz -j $(JOBS) --target fuzz_targets
	shopt -s nullglob; for source in fuzz/*_fuzz.cc; do \
	  name=$$(basename $$source .cc); corpus=$${name%_fuzz}; \
	  mkdir -p build-fuzz/corpus/$$corpus fuzz/corpus/$$corpus; \
	  build-fuzz/fuzz/$$name -max_total_time=$(FUZZ_SECONDS) -artifact_prefix=build-fuzz/$$name- \
	    build-fuzz/corpus/$$corpus fuzz/corpus/$$corpus; \
	done

.PHONY: install
install: build ## Install under PREFIX (default /usr/local)
	cmake --install build $(if $(PREFIX),--prefix $(PREFIX)) --strip

.PHONY: clean
clean: ## Remove the build folders; `make distclean` also the fetched files
	rm -rf build build-*

.PHONY: distclean
distclean: clean
	rm -rf .deps

.PHONY: help
help: ## This list
	@sed -n 's/^\([a-z0-9-]*\):.* ## \(.*\)/  \1|\2/p' $(firstword $(MAKEFILE_LIST)) | column -t -s'|'
