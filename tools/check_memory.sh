#!/usr/bin/env bash
# Runs the kernels' tests under AddressSanitizer, on every level of vector instructions that the machine has.
#
#   tools/check_memory.sh [TEST_FILTER]
#
# Without Burn, so that it takes a minute and every line of the kernels is instrumented. Needs a nightly toolchain, or
# RUSTC_BOOTSTRAP=1 with a stable one. What no sanitizer sees (borrows, races, uninitialised numbers) tests/miri/run.sh does,
# at the portable level.
set -euo pipefail
cd "$(dirname "$0")/.."
host="$(rustc -vV | sed -n 's/^host: //p')"
toolchain=(); [ -n "${RUSTC_BOOTSTRAP:-}" ] || toolchain=(+nightly)
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/sanitized"
RUSTFLAGS="-Zsanitizer=address ${RUSTFLAGS:-}" exec cargo "${toolchain[@]}" test --locked \
    --package tagcl-kernels --no-default-features --lib --target "$host" -- "$@"
