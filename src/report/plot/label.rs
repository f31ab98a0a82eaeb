//! File names of plots.

/// Characters of a name at most; the title has all of it.
const LONGEST: usize = 60;

/// A file name without its ending: lower case letters, digits and hyphens, no longer than lists and command lines like.
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
    let short: String = name.chars().take(LONGEST).collect();
    short.trim_end_matches(['-', '.']).to_string()
}
