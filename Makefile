# What one does with this repository. `make help` lists it; the comment behind a target's name with
# two hashes is what it prints.

SHELL := /bin/bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# The version is that of the last tag. Without tags, or without git, the code's own stays.
VERSION := $(patsubst v%,%,$(shell git describe --tags --dirty 2>/dev/null))
# Where git cannot read the repository, in a container for one, Go would refuse to build.
STAMP := $(if $(shell git rev-parse --verify HEAD 2>/dev/null),auto,false)

# Root may have cloned this into a folder that nobody else may read.
STAY_ROOT := $(if $(filter 0,$(shell id -u)),--user=root --allow-root)

# How long `make fuzz` runs each fuzz test.
FUZZTIME ?= 20s

.PHONY: help
help: ## this list
	@echo "Two to begin with: 'make run' and 'make test'. All there are:"
	@echo
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

.PHONY: build
build: ## build bin/thralld
	@mkdir -p bin
	CGO_ENABLED=0 go build -trimpath -buildvcs=$(STAMP) $(if $(VERSION),-ldflags='-X main.version=$(VERSION)') -o bin/thralld ./cmd/thralld

.PHONY: run
run: build ## build thralld and serve examples/hello on http://localhost:5000
	bin/thralld $(STAY_ROOT) examples/hello/app.psgi

.PHONY: test
test: ## install what the tests need, and run all of them (minutes)
	@test/run

.PHONY: check
check: test ## what CI runs: the same as test

.PHONY: test-go
test-go: ## the tests of the Go packages
	@test/run go

.PHONY: test-perl
test-perl: ## the tests of the Perl runtime
	@test/run perl

.PHONY: test-daemon
test-daemon: ## the tests of the whole daemon, with real applications
	@test/run build daemon

.PHONY: lint
lint: ## everything that looks at the code without running it
	@test/run lint

.PHONY: fuzz
fuzz: ## run every fuzz test for FUZZTIME, 20s by default
	@test/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## measure thralld beside Debian's servers, and write what README.md shows (15 minutes)
	@bench/run --markdown=bench/RESULTS.md --svg=bench/results.svg

.PHONY: bench-check
bench-check: ## compare with what bench/record.json holds, and fail on a loss (4 minutes)
	@bench/run --check=bench/record.json

.PHONY: bench-record
bench-record: ## make bench/record.json anew, after a change that is meant (4 minutes)
	@bench/run --record=bench/record.json

.PHONY: fmt
fmt: tools ## format all Go and Perl
	@.tools/bin/golangci-lint fmt
	@test/run --perl-files | xargs --no-run-if-empty perltidy --profile=.perltidyrc --backup-and-modify-in-place --backup-file-extension=/

.PHONY: deps
deps: ## install the Debian packages that the tests need
	@test/install-deps

.PHONY: tools
tools: ## put the linters that Debian does not package into .tools/bin
	@test/tools

.PHONY: hooks
hooks: ## have git check the staged files before each commit
	git config core.hooksPath .githooks

.PHONY: clean
clean: ## remove what was built (the linters in .tools stay)
	rm -rf bin dist
