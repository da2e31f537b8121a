//! Commands quoted in the documents exist, with the flags they are quoted with.

use anyhow::{Context, Result};
use clap::Command;
use serde_json::Value;

use super::{File, Finding, tree};
use crate::sh;

/// A command with its flags and subcommands, whichever program it is of.
#[derive(Debug, Default)]
struct Known {
    name: String,
    /// With their dashes, such as `--frame` or `-i`.
    flags: Vec<String>,
    subcommands: Vec<Known>,
    /// Arguments after the name belong to another program, or are read elsewhere.
    open: bool,
}

impl Known {
    fn of_clap(command: &Command) -> Self {
        let mut flags = vec!["--help".to_owned(), "-h".to_owned()];
        for arg in command.get_arguments() {
            let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
            flags.extend(longs.iter().map(|long| format!("--{long}")));
            flags.extend(arg.get_short().map(|short| format!("-{short}")));
        }
        let open = command.get_arguments().any(clap::Arg::is_trailing_var_arg_set);
        let subcommands = command.get_subcommands().map(Self::of_clap).collect();
        Self { name: command.get_name().to_owned(), flags, subcommands, open }
    }

    /// From what `xtask --features cli flags` prints.
    fn of_json(json: &Value) -> Self {
        let list = |key: &str| json[key].as_array().cloned().unwrap_or_default();
        Self {
            name: json["name"].as_str().unwrap_or_default().to_owned(),
            flags: list("flags").iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            subcommands: list("subcommands").iter().map(Self::of_json).collect(),
            open: false,
        }
    }

    /// The first word of `words` that this command does not know, with the command it failed in.
    fn unknown<'a>(&self, words: &[&'a str]) -> Option<(String, &'a str)> {
        let (mut command, mut path) = (self, self.name.clone());
        let mut inherited: Vec<&String> = Vec::new();
        for word in words {
            if matches!(*word, "--" | "help") || command.open {
                return None;
            }
            let bare = word.split('=').next().unwrap_or(word);
            if word.starts_with('-') && word.len() > 1 {
                let number = word[1..].starts_with(|c: char| c.is_ascii_digit());
                let known = command.flags.iter().chain(inherited.iter().copied());
                if !number && !known.into_iter().any(|flag| flag == bare) {
                    return Some((path, bare));
                }
            } else if let Some(found) = command.subcommands.iter().find(|sub| sub.name == *word) {
                inherited.extend(&command.flags);
                command = found;
                path = format!("{path} {word}");
            } else if !command.subcommands.is_empty() && command.name == self.name {
                return Some((path, word));
            }
        }
        None
    }
}

pub(super) fn check(files: &[File], xtask: &Command) -> Vec<Finding> {
    let mut programs = vec![Known { name: "cargo xtask".to_owned(), ..Known::of_clap(xtask) }];
    let mut findings = Vec::new();
    match framewalk() {
        Ok(framewalk) => programs.push(framewalk),
        Err(error) => {
            let what = format!("framewalk's flags are not known: {error:#}");
            findings.push(Finding::new("cli/src/cli.rs", 0, what, "make it compile"));
        }
    }
    for file in files.iter().filter(|file| tree::is(&file.path, "md")) {
        if file.path == "CHANGELOG.md" || file.path.starts_with("benches/runs/") {
            continue; // both tell of the past
        }
        for (number, quoted) in quoted_commands(file.text.as_deref().unwrap_or_default()) {
            findings.extend(compare(&file.path, number, &quoted, &programs));
        }
    }
    findings
}

/// framewalk's own commands, asked of clap. A build of this program that knows them is started:
/// the everyday tasks then need not wait for the whole command line to compile.
fn framewalk() -> Result<Known> {
    let args = ["run", "--quiet", "--package", "xtask", "--features", "cli", "--", "flags"];
    let text = sh::output(&mut sh::cargo(&args))?;
    let json = serde_json::from_str(&text).context("the list of framewalk's flags")?;
    Ok(Known::of_json(&json))
}

fn compare(path: &str, number: usize, quoted: &str, programs: &[Known]) -> Option<Finding> {
    let quoted = quoted.trim_start_matches(['$', '#', ' ']);
    let quoted = quoted.strip_prefix("sudo ").unwrap_or(quoted);
    let quoted = quoted.replacen("cargo run --release -- ", "framewalk ", 1);
    let quoted = quoted.replacen("cargo run -- ", "framewalk ", 1);
    for program in programs {
        let Some(rest) = quoted.strip_prefix(&program.name) else { continue };
        if !rest.starts_with(' ') {
            continue;
        }
        let words: Vec<&str> = rest
            .split_whitespace()
            .take_while(|word| !matches!(*word, "|" | ">" | "&&" | ";" | "#" | "||" | "2>"))
            .map(|word| word.trim_matches(['[', ']', '(', ')', ',']))
            .collect();
        let (command, word) = program.unknown(&words)?;
        let what = format!("`{command}` knows no `{word}`");
        return Some(Finding::new(path, number, what, "see its --help, mend the document"));
    }
    None
}

/// Code spans and lines of fenced blocks, with line numbers.
fn quoted_commands(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for (index, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push((index + 1, line.trim().to_owned()));
        } else {
            let spans = line.split('`').skip(1).step_by(2);
            found.extend(spans.map(|span| (index + 1, span.to_owned())));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Vec<Known> {
        let walk = Command::new("walk").arg(clap::Arg::new("frame").long("frame"));
        let top = Command::new("framewalk").subcommand(walk);
        vec![Known::of_clap(&top.arg(clap::Arg::new("json").long("json").global(true)))]
    }

    fn found(quoted: &str) -> Option<String> {
        compare("a.md", 1, quoted, &known()).map(|finding| finding.what)
    }

    #[test]
    fn quoted_flags_must_exist() {
        assert_eq!(found("framewalk walk x.pcap --frame 1 --json"), None);
        assert_eq!(found("$ framewalk walk --frame=1 | head --lines 3"), None);
        assert_eq!(
            found("framewalk walk --gone").as_deref(),
            Some("`framewalk walk` knows no `--gone`")
        );
        assert_eq!(found("cargo run -- fly").as_deref(), Some("`framewalk` knows no `fly`"));
        assert_eq!(found("framewalks walk --gone"), None);
    }

    #[test]
    fn commands_are_read_from_fences_and_spans() {
        let text = "run `framewalk a` or\n```sh\nframewalk b\n```\n";
        let commands = quoted_commands(text);
        assert_eq!(commands[0], (1, "framewalk a".to_owned()));
        assert_eq!(commands[1], (3, "framewalk b".to_owned()));
    }
}
