//! `docs/unsafe.md` counts the unsafe code of every file: here it is counted again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Blocks, functions and implementations.
type Counts = [usize; 3];

/// The sources below a folder.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn count(source: &str) -> Counts {
    let code: Vec<&str> = source
        .lines()
        .map(|line| line.split("//").next().unwrap())
        .collect();
    ["unsafe {", "unsafe fn", "unsafe impl"]
        .map(|form| code.iter().map(|line| line.matches(form).count()).sum())
}

/// File names with their counts, and the sum under `all`, from the table.
fn table(page: &str) -> BTreeMap<String, Counts> {
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let rows = rows.filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, blocks, functions, implementations] = cells[..] else {
            panic!("a row of four: {line}");
        };
        let counts = [blocks, functions, implementations].map(str::parse);
        let [Ok(blocks), Ok(functions), Ok(implementations)] = counts else {
            return None;
        };
        let counts = [blocks, functions, implementations];
        Some((name.trim_matches('`').to_string(), counts))
    });
    rows.collect()
}

#[test]
fn the_page_on_unsafe_code_counts_what_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kernels = root.join("crates/kernels/src");
    let mut files = Vec::new();
    sources(&kernels, &mut files);
    let mut found: BTreeMap<String, Counts> = files
        .iter()
        .map(|file| {
            let name = file.strip_prefix(&kernels).unwrap().display().to_string();
            let name = name.replace(std::path::MAIN_SEPARATOR, "/");
            (name, count(&fs::read_to_string(file).unwrap()))
        })
        .filter(|(_, counts)| *counts != [0; 3])
        .collect();
    let all = [0, 1, 2].map(|i| found.values().map(|counts| counts[i]).sum());
    found.insert("all".to_string(), all);
    let page = fs::read_to_string(root.join("docs/unsafe.md")).unwrap();
    assert_eq!(found, table(&page), "found (left), docs/unsafe.md (right)");
    for name in found.keys().filter(|name| *name != "all") {
        assert!(page.contains(&format!("**`{name}`**")), "no proof: {name}");
    }
    assert!(all[0] < 120, "{} unsafe blocks", all[0]);
}

#[test]
fn no_other_crate_has_unsafe_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for folder in [
        "src",
        "crates/settings",
        "crates/optim",
        "crates/learn",
        "examples",
    ] {
        sources(&root.join(folder), &mut files);
    }
    for file in files {
        let counts = count(&fs::read_to_string(&file).unwrap());
        assert_eq!(counts, [0; 3], "{}", file.display());
    }
}
