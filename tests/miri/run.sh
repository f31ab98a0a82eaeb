#!/usr/bin/env bash
# Runs the kernels' unit tests in Miri, an interpreter that finds undefined behaviour: addresses outside a buffer, borrows that
# end another, uninitialised numbers, two threads at one place. It has no vector instructions, so the portable level runs
# (`cfg!(miri)` in crates/kernels/src/simd.rs), which goes the same ways through the same buffers as the others.
#
# Needs rustup; installs the nightly toolchain with Miri where it is missing. Ends with an error where Miri finds something.
# Some five minutes of processor time; tests are smaller here, or left out with the reason, by `cfg!(miri)`.
#
#   tests/miri/run.sh            all tests
#   tests/miri/run.sh workers    those whose name has this in it
set -euo pipefail
cd "$(dirname "$0")/../.."

if ! cargo +nightly miri --version >/dev/null 2>&1; then
    rustup toolchain install nightly --profile minimal --component miri --component rust-src
fi

# Its own folder, so that neither this build nor the usual one replaces the other. Property tests look for the file of their
# last failures, hence no isolation; exponentials are to be the same twice, hence deterministic ones. Each borrow model finds
# what the other lets pass; the stricter one is the default.
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-target}/miri"
export RUST_BACKTRACE=0
export MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-deterministic-floats ${MIRIFLAGS:-}"
# Without Burn, which the interpreter would have to compile and the kernels do not need.
exec cargo +nightly miri test --locked --package tagcl-kernels --no-default-features --lib -- "$@"
