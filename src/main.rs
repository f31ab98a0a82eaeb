//! The `tagcl` program: see [`tagcl::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    tagcl::cli::main()
}
