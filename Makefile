.DEFAULT_GOAL := help
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 10s
PROFILE ?= full
SEED ?= 0
ROLLS ?= 20

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z%-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.PHONY: test
test: ## Run all tests, as a user does
	go test ./...

.PHONY: race
race: ## Run all tests under the race detector
	go test -race -timeout 0 ./...

.PHONY: stress
stress: ## Run the concurrent packages fifty times under the race detector
	go test -race -count=50 -timeout 0 ./mono ./transport/inproc/...
	go test -race -count=10 -timeout 0 ./transport/natsx/...

.PHONY: soak
soak: ## List the pieces of the soak: the checks beside two busy loops, at most 45 minutes each
	@.ci/soak

.PHONY: soak-%
soak-%: ## Run one piece of the soak, or all with soak-all
	.ci/soak $*

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each (10s; 5000x is a number of executions)
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
			echo "$$pkg $$target"; go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 100x -timeout 0 $$pkg || exit 1; \
		done; \
	done

.PHONY: conformance
conformance: ## Run the suite, the model and the comparison on five targets (PROFILE=short: in a few minutes; SEED=n)
	PROFILE=$(PROFILE) SEED=$(SEED) ./transport/conformance/run

.PHONY: interop
interop: ## Install the nats command, nats.js, nats-py and tus-js-client, and test with them (needs npm and Python)
	./kv/interop/run
	./mono/interop/run
	./objstore/interop/run

.PHONY: rollout
rollout: ## Roll three replicas of examples/orders to another release and back, ROLLS times (20), under load
	go test -count=1 -timeout 0 -v -tags rollout ./examples/orders -run '^TestRollout$$' -rollout.rolls=$(ROLLS)

.PHONY: browser
browser: ## Test the page of examples/files in Chromium (needs chromium and npm)
	./examples/files/browser/run

.PHONY: bench
bench: ## Run the benchmarks, print the budgets, write their part of docs/benchmarks.md
	go run ./bench/report

.PHONY: peers
peers: ## Compare with other libraries, which are fetched first, and write their part of docs/benchmarks.md
	go run ./bench/report -peers -rounds 7 -time 40ms

.PHONY: lint
lint: ## Check format, go vet, staticcheck, and forbidden calls in tests
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "not formatted:"; echo "$$unformatted"; exit 1; fi
	go vet ./...
	go vet -tags conformance ./transport/conformance
	go vet -tags interop ./kv/interop ./mono/interop ./objstore/interop
	go vet -tags rollout ./examples/orders
	go run $(STATICCHECK) ./...
	@sleeps=$$(grep -rnE 'time\.Sleep\(|t\.Skip' --include='*_test.go' . || true); if [ -n "$$sleeps" ]; then echo "tests must wait for conditions, and must not be skipped:"; echo "$$sleeps"; exit 1; fi
	@.ci/soak >/dev/null # every package with tests is in a piece
	go mod tidy -diff
	GOOS=windows go vet ./...
	GOOS=darwin go vet ./...

.PHONY: examples
examples: ## Run the examples
	go run ./examples/hello
	go run ./examples/jobs
	go run ./examples/orders -transport inproc
	go run ./examples/orders -store .tmp/orders
	go run ./examples/shortener -tour
	go run ./examples/shortener -tour -store .tmp/shortener
	go run ./examples/files -tour
	go run ./examples/files -tour -store .tmp/files

.PHONY: check
check: lint test race examples ## Run everything that a change must pass
