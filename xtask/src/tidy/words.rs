//! What must stay out of the tree: secrets, paths of one machine, foreign registries, and the
//! words a site keeps in its own list.

use std::fs;

use super::{File, Finding};
use crate::sh;

/// Marks of a secret. Split so that this file does not hold them itself.
const SECRETS: &[(&str, &str)] = &[
    ("-----BEGIN PRIVATE", " KEY-----"),
    ("-----BEGIN RSA PRIVATE", " KEY-----"),
    ("-----BEGIN EC PRIVATE", " KEY-----"),
    ("-----BEGIN OPENSSH PRIVATE", " KEY-----"),
    ("ghp", "_"),
    ("github", "_pat_"),
    ("glpat", "-"),
    ("xoxb", "-"),
];

/// Where one machine's files live. A user's home names the user.
const MACHINE_PATHS: &[(&str, &str)] = &[("/ho", "me/"), ("/Us", "ers/"), ("/ro", "ot/")];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// One word or path a line, kept out of the tree, read where it is: `.git/info/tidy-words`.
const SITE_LIST: &str = ".git/info/tidy-words";

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(text) = &file.text else { return findings };
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        for (a, b) in SECRETS {
            if contains_start(line, &format!("{a}{b}")) {
                let what = "this looks like a secret";
                findings.push(Finding::new(&file.path, number, what, "remove it, and revoke it"));
            }
        }
        for (a, b) in MACHINE_PATHS {
            if contains_start(line, &format!("{a}{b}")) {
                let what = format!("a path of one machine (`{a}{b}`)");
                let instead = "name it from the workspace root";
                findings.push(Finding::new(&file.path, number, what, instead));
            }
        }
        if file.path.rsplit('/').next() == Some("Cargo.lock") {
            let source = line.strip_prefix("source = \"").and_then(|rest| rest.strip_suffix('"'));
            if let Some(source) = source.filter(|source| *source != REGISTRY) {
                let what = format!("a dependency from {source}");
                let instead = "use a release on crates.io";
                findings.push(Finding::new(&file.path, number, what, instead));
            }
        }
    }
    findings
}

/// `word` in `line`, not in the middle of a longer word or path.
fn contains_start(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
    })
}

/// Words of the site's own list, compared as whole words without regard to case.
pub(super) fn check_site(files: &[File]) -> Vec<Finding> {
    let list = fs::read_to_string(sh::root().join(SITE_LIST)).unwrap_or_default();
    let words: Vec<String> = list
        .lines()
        .map(|line| line.trim().to_lowercase())
        .filter(|word| !word.is_empty() && !word.starts_with('#'))
        .collect();
    files.iter().flat_map(|file| site_words(file, &words)).collect()
}

fn site_words(file: &File, words: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let Some(text) = &file.text else { return findings };
    for (index, line) in text.to_lowercase().lines().enumerate() {
        for word in words.iter().filter(|word| whole_word(line, word)) {
            let what = format!("`{word}` is on this site's list ({SITE_LIST})");
            findings.push(Finding::new(&file.path, index + 1, what, "say it in other words"));
        }
    }
    findings
}

fn whole_word(line: &str, word: &str) -> bool {
    let edge = |c: char| c.is_alphanumeric() || c == '_';
    let open = word.starts_with(edge);
    let close = word.ends_with(edge);
    line.match_indices(word).any(|(at, _)| {
        let longer_left = open && line[..at].ends_with(edge);
        let longer_right = close && line[at + word.len()..].starts_with(edge);
        !longer_left && !longer_right
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: String) -> File {
        File { path: path.to_owned(), bytes: text.len() as u64, text: Some(text) }
    }

    #[test]
    fn secrets_and_machine_paths_are_found() {
        assert_eq!(check(&file("a", format!("x\nt = {}0123", concat!("gh", "p_")))).len(), 1);
        assert_eq!(check(&file("a", format!("cd {}", concat!("/ho", "me/x")))).len(), 1);
        assert!(check(&file("a", "neigh pipeline/home/".to_owned())).is_empty());
    }

    #[test]
    fn only_crates_io() {
        let lock = "source = \"registry+https://example.org/index\"\n";
        assert_eq!(check(&file("Cargo.lock", lock.to_owned())).len(), 1);
        assert!(check(&file("Cargo.lock", format!("source = \"{REGISTRY}\""))).is_empty());
    }

    #[test]
    fn site_words_are_whole_words() {
        let words = vec!["blue team".to_owned(), "/srv/x/".to_owned()];
        let found =
            site_words(&file("a", "the Blue Team\nblue teams\n at /srv/x/y".into()), &words);
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [1, 3]);
    }
}
