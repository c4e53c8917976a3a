# Handrail. The two commands to know are `make demo` and `make test`.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION)

.DEFAULT_GOAL := help

help: ## what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-14s %s\n", $$1, $$2}' Makefile

build: ## bin/handrail, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags='$(LDFLAGS)' -o bin/handrail ./cmd/handrail

demo: ## a plan, a run, kill -9, the resume and the proof; needs Go and nothing else
	@examples/quickstart/demo

stack: ## the numbering stack in containers: Redis cluster, MariaDB, two back ends
	@examples/numbering/stack up

stack-down: ## remove all of it
	@examples/numbering/stack down

test: ## everything: format, vet, lint, import rules, all tests on real servers with -race
	@scripts/test

torture: ## the crash tests of docs/reliability.md, at length; HANDRAIL_TORTURE=full for days
	@scripts/torture

mutants: ## remove each sync, marker, lock and check, one at a time: the tests must notice
	@$(GO) run ./internal/mutants

lint: ## gofmt, go vet, golangci-lint
	@scripts/lint

bench: ## the table of docs/performance.md, measured here and now
	@scripts/bench

docs: build ## docs/kinds.md, docs/lint.md and the schemas from the definitions
	bin/handrail lint --rules > docs/lint.md.new && mv docs/lint.md.new docs/lint.md
	bin/handrail kinds > docs/kinds.md.new && mv docs/kinds.md.new docs/kinds.md
	bin/handrail schema > docs/playbook.schema.json.new && mv docs/playbook.schema.json.new docs/playbook.schema.json
	bin/handrail schema plan > docs/plan.schema.json.new && mv docs/plan.schema.json.new docs/plan.schema.json
	bin/handrail schema diff > docs/diff.schema.json.new && mv docs/diff.schema.json.new docs/diff.schema.json
	bin/handrail schema doctor > docs/doctor.schema.json.new && mv docs/doctor.schema.json.new docs/doctor.schema.json

servers: ## bring up the servers that the tests ask
	@scripts/servers up

servers-down: ## stop them
	@scripts/servers down

.PHONY: help build demo stack stack-down test torture mutants lint bench docs servers servers-down
