//! Where a result comes from: version, machine, memory, time.
//!
//! Owns everything about a run that is *not* a function of its configuration; results keep it apart for that reason.

use serde::{Deserialize, Serialize};

/// Build, machine and start of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Provenance {
    /// Version of this crate.
    pub version: String,
    /// Commit it was built from, where the build knew it.
    pub commit: Option<String>,
    /// SHA-256 of the data set's images and labels.
    pub data_sha256: String,
    /// What the data set's source says of it (samples name themselves here).
    pub data_note: Option<String>,
    /// Device of the network.
    pub device: String,
    /// What computes: `stock` for Burn's own operations, else the instructions that this crate's kernels use; empty in
    /// results from before this was recorded.
    #[serde(default)]
    pub kernels: String,
    /// Threads inside the run.
    pub threads: usize,
    /// Processor model.
    pub cpu: String,
    /// Start, in UTC (RFC 3339).
    pub started: String,
    /// How often the run went on from a checkpoint after an interruption; left out where it is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resumed: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde asks for"
)]
fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Provenance {
    /// Provenance of a run that starts now.
    #[must_use]
    pub fn now(data_sha256: &str, data_note: Option<&str>, threads: usize) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_string(),
            commit: option_env!("TAGCL_COMMIT").map(str::to_string),
            data_sha256: data_sha256.to_string(),
            data_note: data_note.map(str::to_string),
            device: "cpu".to_string(),
            kernels: kernels(),
            threads,
            cpu: cpu_model(),
            started: utc_now(),
            resumed: 0,
        }
    }
}

/// What computes on this machine: `stock` for Burn's own operations, else the instructions that the kernels use.
#[must_use]
pub fn kernels() -> String {
    if crate::model::stock_kernels() {
        return "stock".to_string();
    }
    match crate::kernels::Level::wanted() {
        Ok(level) => level.name().to_string(),
        Err(error) => error.to_string(),
    }
}

/// The present time in UTC, to the second (RFC 3339).
#[must_use]
pub fn utc_now() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}

fn cpu_model() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    info.lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or_else(
            || std::env::consts::ARCH.to_string(),
            |(_, name)| name.trim().to_string(),
        )
}

/// Largest resident memory of this process so far, in bytes; `None` where the system does not tell.
#[must_use]
pub fn peak_rss_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

/// The name of this machine; empty where the system does not tell.
#[must_use]
pub fn host() -> String {
    let file = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = file.ok().or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.or_else(|| std::env::var("COMPUTERNAME").ok());
    name.map(|name| name.trim().to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let here = Provenance::now("abc", None, 1);
        assert!(here.started.ends_with('Z') && !here.cpu.is_empty());
        if cfg!(target_os = "linux") {
            assert!(peak_rss_bytes().is_some_and(|bytes| bytes > 1 << 20));
        }
    }
}
