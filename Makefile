# Every target installs what it needs and is missing, says so, and is quiet
# about the rest. `make help` lists them.

GO       ?= go
VERSION  := $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
LDFLAGS  := -s -w -X main.version=$(VERSION)
LINT     := 2.15.0
FUZZTIME ?= 20s
# What reads bytes of strangers: each is fuzzed for a second by every make test.
PARSERS  := internal/sigv4 internal/sigv2 internal/signedurl internal/h1 internal/iam metadata/lifecycle origin/s3api edge/httpcache:FuzzParseRange
BENCH    ?= .
ARGS     ?=
TRACES   ?=
SECONDS  ?= 5
ROUNDS   ?= 3
ROWS     ?=
DIR      ?=
BENCH_ROWS ?= 10000000
SUITES   ?= versitygw,minio-go
ONLY     ?=

.DEFAULT_GOAL := help
.PHONY: help console console-test dev build test fuzz-parsers test-long race lint fuzz bench bench-hits bench-edge bench-s3 bench-list e2e cache-tests conformance clients clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

dev: ## install what is missing, build, and run all of Meridian here (ARGS="--port-base 9100")
	@deploy/install.sh dev
	@$(MAKE) --no-print-directory build
	@exec bin/meridian dev $(ARGS)

build: console ## build bin/meridian, with the console where Node is there
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/meridian ./cmd/meridian

console: # the web page; left out, with one line, where there is no Node
	@deploy/install.sh console

console-test: console
	@deploy/install.sh console-test

test: ## install what is missing and run every test
	@deploy/install.sh test
	@$(MAKE) --no-print-directory console-test
	$(GO) test -race -timeout 15m ./...
	@$(MAKE) --no-print-directory fuzz-parsers

fuzz-parsers: # signatures, chunks, ranges, XML, policies and forms, for a second each
	@mkdir -p bin/fuzz
	@set -e; top=$$PWD; for p in $(PARSERS); do \
	  dir=$${p%%:*}; names='^Fuzz'; case $$p in *:*) names="^$${p#*:}$$";; esac; \
	  built=$$top/bin/fuzz/$$(echo $$dir | tr / -).test; \
	  $(GO) test -c -fuzz . -o $$built ./$$dir; \
	  for name in $$(cd $$dir && $$built -test.list "$$names"); do \
	    out=$$(cd $$dir && $$built -test.run '^$$' -test.fuzz "^$$name\$$" -test.fuzztime 1s -test.fuzzminimizetime 5x -test.fuzzcachedir $$top/bin/fuzz/cache/$$dir 2>&1) || \
	      { echo "$$name in $$dir"; echo "$$out"; exit 1; }; \
	    echo "ok  	$$dir $$name, $$(echo "$$out" | sed -n 's/.*\(execs: [0-9]*\).*/\1/p' | tail -n 1)"; \
	  done; done

race: test ## the same: tests always run with the race detector

test-long: ## the tests that take longer than a coffee
	@deploy/install.sh test
	@$(MAKE) --no-print-directory console
	TEST_LONG=1 $(GO) test -race -timeout 80m -count=1 ./...

lint: ## gofmt, go vet, golangci-lint, and tsc for the console
	@deploy/install.sh lint $(LINT)
	@deploy/install.sh console-check
	@bad=$$(git ls-files -z --cached --others --exclude-standard '*.go' | xargs -0 gofmt -l); test -z "$$bad" || { echo "gofmt would change:"; echo "$$bad"; exit 1; }
	$(GO) vet ./...
	$$(deploy/install.sh where-lint $(LINT)) run ./...

fuzz: ## run every fuzz test for FUZZTIME
	@deploy/install.sh go
	@set -e; for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
	  for name in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' $$f); do \
	    echo "$$name in $$(dirname $$f)"; \
	    $(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$(dirname $$f); \
	  done; done

bench: ## Go benchmarks, for benchstat (BENCH=regexp)
	@deploy/install.sh test
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -count 6 ./...

bench-hits: ## hit ratios against LRU, S3-FIFO, GDSF, otter, Ristretto and MIN (TRACES=files)
	@deploy/install.sh go
	@$(GO) run ./internal/hitbench $(TRACES)

bench-edge: ## an edge against nginx, Varnish, HAProxy and Traffic Server (SECONDS=5 each, ROUNDS=3)
	@deploy/install.sh bench-edge
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/meridian ./cmd/meridian
	@$(GO) run ./internal/edgebench -meridian bin/meridian -each $(SECONDS)s -rounds $(ROUNDS)

bench-s3: ## Meridian on disk against MinIO and versitygw (SECONDS=5 each, ROUNDS=3, ROWS=names, DIR=on a disk)
	@deploy/install.sh bench-s3
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/meridian ./cmd/meridian
	@$(GO) run ./internal/s3bench -meridian bin/meridian -tools "$$(deploy/install.sh where-suites)" -each $(SECONDS)s -rounds $(ROUNDS) -rows '$(ROWS)' -dir '$(DIR)'

bench-list: ## pages of a bucket of BENCH_ROWS objects (10000000 take minutes and 6 GB of disk), and of a hundredth
	@deploy/install.sh dev
	$(GO) test -run '^$$' -bench '^BenchmarkList$$' -timeout 2h ./metadata/postgres -bench-objects $(BENCH_ROWS)

e2e: ## only the tests that start all of Meridian
	@deploy/install.sh test
	@$(MAKE) --no-print-directory console
	$(GO) test -race -count=1 -timeout 15m -v ./cmd/meridian/

cache-tests: build ## the public HTTP cache tests against an edge (CACHE_TESTS=dir)
	@CACHE_TESTS='$(CACHE_TESTS)' deploy/cache-tests.sh

conformance: build ## public S3 suites against a Meridian of their own (SUITES=versitygw,minio-go ONLY=regexp)
	@deploy/install.sh conformance
	@$(GO) run ./internal/conformance -meridian bin/meridian -tools "$$(deploy/install.sh where-suites)" -suites '$(SUITES)' -only '$(ONLY)'

clients: build ## S3 tools and SDKs that people use, each a full round against a Meridian of its own (ONLY=regexp)
	@deploy/install.sh clients
	@$(GO) run ./internal/clients -meridian bin/meridian -install deploy/install.sh -tools "$$(deploy/install.sh where-suites)" -only '$(ONLY)'

clean: ## remove what make built
	rm -rf bin console/dist/app console/node_modules
