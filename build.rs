//! Tells the program which commit it was built from, where there is a git repository; results carry it.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/refs/heads");
    let output = Command::new("git")
        .args(["rev-parse", "--short=12", "HEAD"])
        .output();
    if let Ok(output) = output
        && output.status.success()
    {
        println!(
            "cargo::rustc-env=TAGCL_COMMIT={}",
            String::from_utf8_lossy(&output.stdout).trim()
        );
    }
}
