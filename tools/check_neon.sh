#!/usr/bin/env bash
# Runs the kernels' tests for aarch64, whose level is `neon`: on such a machine as they are, on others in an emulator.
#
#   tools/check_neon.sh [TEST_FILTER]
#
# Elsewhere than on aarch64 it needs `rustup target add aarch64-unknown-linux-gnu` and, of Debian or Ubuntu, the packages
# gcc-aarch64-linux-gnu and qemu-user. Without Burn; optimised, since an emulator is slow (some minutes).
set -euo pipefail
cd "$(dirname "$0")/.."
target=aarch64-unknown-linux-gnu
if [ "$(uname -m)" != aarch64 ]; then
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
    export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
fi
exec cargo test --locked --release --package tagcl-kernels --no-default-features --lib --target "$target" -- "$@"
