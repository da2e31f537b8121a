//! Documents that stay true: links lead somewhere, the README's Rust version is the manifest's,
//! the changelog says what is coming.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use super::{File, Finding, tree};
use crate::sh;

pub(super) fn check(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| tree::is(&file.path, "md")) {
        let Some(text) = &file.text else { continue };
        findings.extend(links(&file.path, text, |path| read_doc(files, path)));
    }
    let find = |path: &str| {
        let file = files.iter().find(|file| file.path == path);
        file.and_then(|file| file.text.as_deref())
    };
    findings.extend(changelog(find("CHANGELOG.md")));
    findings.extend(rust_version(find("README.md"), find("Cargo.toml")));
    findings
}

/// What a link may lead to.
enum Target {
    Missing,
    Exists,
    Document(String),
}

fn read_doc(files: &[File], path: &str) -> Target {
    match files.iter().find(|file| file.path == path) {
        Some(File { text: Some(text), .. }) if tree::is(path, "md") => {
            Target::Document(text.clone())
        }
        Some(_) => Target::Exists,
        None if sh::root().join(path).is_dir() => Target::Exists,
        None => Target::Missing,
    }
}

fn links(path: &str, text: &str, read: impl Fn(&str) -> Target) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, link) in inline_links(text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (target, anchor) = link.split_once('#').unwrap_or((&link, ""));
        let document = if target.is_empty() {
            Target::Document(text.to_owned())
        } else {
            match resolve(path, target) {
                Some(resolved) => read(&resolved),
                None => Target::Missing,
            }
        };
        let instead = "mend the link or write the document";
        match document {
            Target::Missing => {
                let what = format!("the link to {target} leads nowhere");
                findings.push(Finding::new(path, number, what, instead));
            }
            Target::Document(text) if !anchor.is_empty() && !anchors(&text).contains(anchor) => {
                let what = format!("the link to {link} has no such heading");
                findings.push(Finding::new(path, number, what, instead));
            }
            Target::Exists | Target::Document(_) => {}
        }
    }
    findings
}

/// `[text](link)` outside code, with line numbers.
fn inline_links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        // every second piece between backticks is code
        let prose: String = line.split('`').step_by(2).collect::<Vec<_>>().join("code");
        for (at, _) in prose.match_indices("](") {
            let rest = &prose[at + 2..];
            let link = rest.split([')', ' ']).next().unwrap_or_default();
            found.push((index + 1, link.to_owned()));
        }
    }
    found
}

/// A link's path from the root; `None` if it leaves the tree.
fn resolve(from: &str, link: &str) -> Option<String> {
    let mut path = PathBuf::new();
    for part in Path::new(from).parent()?.join(link).components() {
        match part {
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path.to_string_lossy().into_owned())
}

/// The anchors a document's headings make: lower case, spaces to hyphens, punctuation dropped.
fn anchors(text: &str) -> HashSet<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let words = line.trim_start_matches('#').trim().to_lowercase();
            let kept =
                words.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect()
        })
        .collect()
}

fn changelog(text: Option<&str>) -> Option<Finding> {
    let path = "CHANGELOG.md";
    let unreleased = text.and_then(|text| text.split_once("\n## [Unreleased]"));
    let Some((_, rest)) = unreleased else {
        let instead = "add it on top (https://keepachangelog.com)";
        return Some(Finding::new(path, 0, "no section `## [Unreleased]`", instead));
    };
    let section = rest.split("\n## ").next().unwrap_or_default();
    let entries = section.lines().any(|line| line.starts_with("- "));
    (!entries).then(|| {
        Finding::new(path, 0, "`## [Unreleased]` is empty", "say what has changed, by stage")
    })
}

/// The README quotes `Rust N.NN`; it must be the manifest's.
fn rust_version(readme: Option<&str>, manifest: Option<&str>) -> Option<Finding> {
    let manifest = manifest?.lines().find_map(|line| line.strip_prefix("rust-version = "))?;
    let version = manifest.trim_matches('"');
    for (index, line) in readme?.lines().enumerate() {
        let mut quoted = line.split("Rust ").skip(1).filter_map(|rest| {
            let number = rest.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
            number.starts_with("1.").then(|| number.trim_end_matches('.'))
        });
        if let Some(other) = quoted.find(|quoted| *quoted != version) {
            let what = format!("Rust {other} here, {version} in Cargo.toml");
            return Some(Finding::new("README.md", index + 1, what, "make them the same"));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_links_are_found_and_code_is_not_a_link() {
        let text = "# Top\n[a](there.md) [b](gone.md)\n`x[0](gone.md)`\n[c](#top) [d](#nope)\n";
        let read = |path: &str| match path {
            "docs/there.md" => Target::Exists,
            _ => Target::Missing,
        };
        let found = links("docs/a.md", text, read);
        let lines: Vec<usize> = found.iter().map(|finding| finding.line).collect();
        assert_eq!(lines, [2, 4], "{found:?}");
    }

    #[test]
    fn links_resolve_inside_the_tree_only() {
        assert_eq!(resolve("docs/a.md", "../README.md").as_deref(), Some("README.md"));
        assert_eq!(resolve("README.md", "../x"), None);
    }

    #[test]
    fn the_changelog_needs_entries() {
        assert!(changelog(Some("# C\n\n## [Unreleased]\n\n- skb: a pool\n")).is_none());
        assert!(changelog(Some("# C\n\n## [Unreleased]\n\n## [0.1.0]\n- x\n")).is_some());
        assert!(changelog(None).is_some());
    }

    #[test]
    fn the_rust_version_is_the_manifests() {
        let manifest = Some("rust-version = \"1.91\"\n");
        assert!(rust_version(Some("needs Rust 1.91 or later"), manifest).is_none());
        assert!(rust_version(Some("needs Rust 1.80."), manifest).is_some());
    }
}
