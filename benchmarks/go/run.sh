#!/bin/sh
# Measures the Go queues: one JSON object a line on standard output. Options: -seconds, -rounds, -case.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
if ! command -v go >/dev/null; then
  echo "Go is not on PATH. Install Go 1.26 or newer (https://go.dev/dl) to measure the Go queues." >&2
  exit 2
fi
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
(cd "$here" && go build -mod=readonly -o "$built/bench" .) || {
  echo "The benchmark could not be built from $here." >&2
  exit 2
}
# A case that runs away ends itself, not the machine.
ulimit -v 8000000
"$built/bench" "$@"
