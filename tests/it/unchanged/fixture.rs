//! Files of `KEY | VALUE` lines, compared or, with `TAGCL_ACCEPT=1`, written.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Differences that are shown, and of how many more is said.
const SHOWN: usize = 20;
const MORE: usize = 3;

/// True where fixtures are written.
pub fn accepting() -> bool {
    std::env::var_os("TAGCL_ACCEPT").is_some()
}

/// A file or folder below `tests/unchanged/`.
pub fn path(name: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/unchanged").join(name)
}

/// The first 16 hexadecimal digits of a SHA-256.
pub fn digest(bytes: impl AsRef<[u8]>) -> String {
    let hash = Sha256::digest(bytes);
    let first = hash.first_chunk().unwrap();
    format!("{:016x}", u64::from_be_bytes(*first))
}

/// A JSON value as text that depends on its content alone: keys in their order, no spaces.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().collect();
            let field = |(key, value): (&String, &Value)| {
                format!("{}:{}", Value::from(key.as_str()), canonical(value))
            };
            let fields: Vec<String> = fields.into_iter().map(field).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(","))
        }
        other => other.to_string(),
    }
}

/// Keys and values of a file in its order; none if it is not there. A key ends at the last ` | ` of the first `bars`.
pub fn read(name: &str, bars: usize) -> Vec<(String, String)> {
    let text = fs::read_to_string(path(name)).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let pair = |line: &str| {
        let parts: Vec<&str> = line.splitn(bars + 1, " | ").collect();
        let (value, key) = parts.split_last().unwrap();
        (key.join(" | "), (*value).to_string())
    };
    lines.map(pair).collect()
}

/// Writes a file: what it owns, as a comment, and its lines.
pub fn write(name: &str, owns: &str, lines: &[(String, String)]) {
    let mut text = String::new();
    for line in owns.lines() {
        let _ = writeln!(text, "{}", format!("# {line}").trim_end());
    }
    for (key, value) in lines {
        let _ = writeln!(text, "{key} | {value}");
    }
    let path = path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Fails with all cases whose values differ; `more` has something to say about a case that does.
#[track_caller]
pub fn compare(
    name: &str,
    expected: &[(String, String)],
    found: &[(String, String)],
    more: &dyn Fn(&str) -> String,
) {
    let index = |lines: &[(String, String)]| -> BTreeMap<String, String> {
        let index: BTreeMap<_, _> = lines.iter().cloned().collect();
        assert_eq!(index.len(), lines.len(), "{name}: a case stands twice");
        index
    };
    let (expected_of, found_of) = (index(expected), index(found));
    let gone = expected
        .iter()
        .filter(|(key, _)| !found_of.contains_key(key));
    let mut text = String::new();
    let mut differing = 0;
    let none = "nothing".to_string();
    for (key, _) in found.iter().chain(gone) {
        let (expected, found) = (expected_of.get(key), found_of.get(key));
        if expected == found {
            continue;
        }
        differing += 1;
        if differing <= SHOWN {
            let (expected, found) = (expected.unwrap_or(&none), found.unwrap_or(&none));
            let _ = writeln!(
                text,
                "case     {key}\nexpected {expected}\nfound    {found}"
            );
        }
        if differing <= MORE {
            let _ = writeln!(text, "{}", more(key));
        }
    }
    assert!(
        differing == 0,
        "tests/unchanged/{name}: {differing} of {} cases differ (TAGCL_ACCEPT=1 writes what is found)\n{text}",
        found.len().max(expected.len())
    );
}

/// [`compare`] with a file, or [`write`] it.
#[track_caller]
pub fn check(name: &str, owns: &str, found: &[(String, String)], more: &dyn Fn(&str) -> String) {
    if accepting() {
        write(name, owns, found);
    }
    compare(name, &read(name, 1), found, more);
}

/// A whole text, compared with a file or written to it.
#[track_caller]
pub fn check_text(name: &str, found: &str) {
    if accepting() {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        fs::write(path(name), found).unwrap();
    }
    let expected = fs::read_to_string(path(name)).unwrap_or_default();
    let numbered = |text: &str| -> Vec<(String, String)> {
        let lines = text.lines().enumerate();
        let line = |(n, line): (usize, &str)| (format!("line {}", n + 1), line.to_string());
        lines.map(line).collect()
    };
    compare(name, &numbered(&expected), &numbered(found), &|_| {
        String::new()
    });
}
