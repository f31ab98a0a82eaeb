//! File names of plots.

/// A part of a file name: lower case letters, digits and hyphens.
pub(super) fn file_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9' | '.') => name.push(c),
            'α' => name.push_str("alpha"),
            'γ' => name.push_str("gamma"),
            'λ' => name.push_str("lambda"),
            _ if name.ends_with('-') || name.is_empty() => {}
            _ => name.push('-'),
        }
    }
    name.trim_end_matches('-').chars().take(120).collect()
}
