#!/usr/bin/env bash
# Runs the kernels' tests under AddressSanitizer, on every level of vector instructions that the machine has.
#
#   tools/check_memory.sh [TEST_FILTER]
#
# The kernels are compiled by themselves, without the two modules that know Burn, so that it takes a minute and every line
# of them is instrumented. Needs a nightly toolchain, or RUSTC_BOOTSTRAP=1 with a stable one.
set -euo pipefail
root="$(cd "$(dirname "$0")/.." && pwd)"
crate="${TAGCL_CHECK_DIR:-$(mktemp -d)}"
mkdir -p "$crate/src"
version() { sed -n "s/^$1 = \(.*\)/$1 = \1/p" "$root/Cargo.toml" | head -1; }

cat >"$crate/Cargo.toml" <<END
[package]
name = "kernels"
version = "0.0.0"
edition = "2024"
[dependencies]
half = { version = "2", default-features = false }
[dev-dependencies]
$(version proptest)
[profile.dev]
opt-level = 2
[features]
kernel-profile = []
[workspace]
END

rm -rf "$crate/src"
cp -r "$root/crates/kernels/src" "$crate/src"
rm "$crate/src/extension.rs" "$crate/src/layers.rs"
sed -i '/^pub mod \(extension\|layers\);$/d' "$crate/src/lib.rs"

host="$(rustc -vV | sed -n 's/^host: //p')"
toolchain=(); [ -n "${RUSTC_BOOTSTRAP:-}" ] || toolchain=(+nightly)
cd "$crate"
RUSTFLAGS="-Zsanitizer=address ${RUSTFLAGS:-}" cargo "${toolchain[@]}" test --lib --target "$host" -- "$@"
