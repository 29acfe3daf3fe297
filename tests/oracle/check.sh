#!/bin/sh
# Records every file of tests/traces again from the Go libraries, and compares byte for byte.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
exec "$here/oracle" check "$here"/../traces/*.jsonl
