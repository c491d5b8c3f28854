# Everything is built without cgo. The test targets need the programs that
# scripts/deps installs: PostgreSQL, a browser and real protocol clients.
export CGO_ENABLED = 0

# One set of compiled packages serves the tests, the program and what is shipped.
export GOFLAGS += -trimpath

FUZZTIME ?= 60s

.PHONY: run build deps lint test fuzz package bench chaos

# A working trial with nothing to configure.
run: build
	bin/chancery quickstart

build:
	go build -ldflags '-s -w' -o bin/chancery ./cmd/chancery

# Installs what the tests need when run as root, else names what is missing.
deps:
	@scripts/deps

lint:
	@unformatted=$$(gofmt -l .) || exit 1; \
	if [ -n "$$unformatted" ]; then \
		echo "gofmt: these files are not formatted:"; echo "$$unformatted"; \
		echo "hint: gofmt -w $$unformatted"; exit 1; \
	fi
	go vet ./...

# The one command: everything, against real peers and never from the cache, then
# a short fuzz of as many targets as fit into half a minute. Many tests wait for somebody,
# so that there is one package more at a time than two processors. Vet has seen all
# of it before; what is built stays on the disk, and what tests write does not.
test: deps lint
	GOTMPDIR=$${TMPDIR:-/tmp} TMPDIR=$$(scripts/scratch) go test -vet=off -count=1 -timeout 14m -p 3 ./...
	CGO_ENABLED=1 go vet -tags pkcs11 ./internal/keystore ./internal/ca/embedded ./internal/ca/adcs
	CGO_ENABLED=1 go test -vet=off -count=1 -tags pkcs11 -run Token ./internal/keystore ./internal/ca/embedded ./internal/ca/adcs
	@scripts/fuzz 2s 25

# Kills the server ROUNDS times on each database, at every labelled step and at
# random moments, and draws up the ledger: all but the kills must be 0.
ROUNDS ?= 2000
chaos: deps
	CHAOS_ROUNDS=$(ROUNDS) go test -count=1 -timeout 0 -v -run TestKillAnywhere ./internal/chaos

# Every fuzz target for FUZZTIME each.
fuzz:
	@scripts/fuzz $(FUZZTIME)

# What is shipped, into dist/: a Debian package, and the folder a container is
# built from.
package:
	@scripts/package

# Measures beside other servers; a whole run takes about 40 minutes of a machine
# with nothing else to do and writes bench/RESULTS.md. CASE=scep,rest measures
# only these, QUICK=1 shows that it works, PROFILES=folder keeps profiles.
bench:
	go build -o bin/bench ./bench
	bin/bench $(if $(QUICK),-quick) $(if $(CASE),-case $(CASE)) $(if $(PROFILES),-profiles $(PROFILES)) $(if $(QUICK)$(CASE)$(PROFILES),,-out bench/RESULTS.md)
