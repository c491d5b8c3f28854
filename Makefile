# Everything is built without cgo. The test targets need the programs that
# scripts/deps installs: PostgreSQL, a browser and real protocol clients.
export CGO_ENABLED = 0

FUZZTIME ?= 60s

.PHONY: run build deps lint test fuzz package

# A working trial with nothing to configure.
run: build
	bin/chancery quickstart

build:
	go build -trimpath -o bin/chancery ./cmd/chancery

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
# a short fuzz of as many targets as fit into a minute and a half.
test: deps lint
	go test -count=1 -timeout 14m ./...
	@scripts/fuzz 2s 90

# Every fuzz target for FUZZTIME each.
fuzz:
	@scripts/fuzz $(FUZZTIME)

# What is shipped, into dist/: a Debian package, and the folder a container is
# built from.
package:
	@scripts/package
