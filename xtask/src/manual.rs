//! Man pages, shell completions and the list of flags, all from framewalk's own argument parser.
//!
//! They need the whole command line compiled in, which the other tasks do not: without the feature
//! `cli` this program starts itself again with it.

use anyhow::Result;

/// What to make from the argument parser.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Page {
    Man,
    Completions,
    Flags,
}

impl Page {
    #[cfg(not(feature = "cli"))]
    fn task(self) -> &'static str {
        match self {
            Self::Man => "man",
            Self::Completions => "completions",
            Self::Flags => "flags",
        }
    }
}

#[cfg(not(feature = "cli"))]
pub(crate) fn run(page: Page) -> Result<()> {
    use crate::sh;

    let args = ["run", "--quiet", "--package=xtask", "--features=cli", "--", page.task()];
    sh::run(&mut sh::cargo(&args))
}

#[cfg(feature = "cli")]
pub(crate) fn run(page: Page) -> Result<()> {
    match page {
        Page::Man => with_cli::man(),
        Page::Completions => with_cli::completions(),
        Page::Flags => {
            println!("{}", with_cli::flags(&framewalk::cli::command()));
            Ok(())
        }
    }
}

#[cfg(feature = "cli")]
mod with_cli {
    use std::fs;
    use std::path::PathBuf;

    use anyhow::{Context, Result};
    use clap_complete::Shell;
    use framewalk::cli::command;
    use serde_json::{Value, json};

    use crate::sh;

    fn folder(name: &str) -> Result<PathBuf> {
        let folder = sh::target_dir()?.join(name);
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        Ok(folder)
    }

    /// One page for framewalk and one for each command: `framewalk-walk.1`.
    pub(super) fn man() -> Result<()> {
        let folder = folder("man")?;
        clap_mangen::generate_to(command(), &folder).context("man pages")?;
        let pages = fs::read_dir(&folder)?.count();
        println!("{pages} pages in {0}; read one: man -l {0}/framewalk.1", folder.display());
        Ok(())
    }

    pub(super) fn completions() -> Result<()> {
        let folder = folder("completions")?;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let file = clap_complete::generate_to(shell, &mut command(), "framewalk", &folder)?;
            println!("{shell}: {}", file.display());
        }
        Ok(())
    }

    /// A command with its flags and subcommands, as tidy reads it.
    pub(super) fn flags(command: &clap::Command) -> Value {
        let mut flags = vec!["--help".to_owned(), "-h".to_owned()];
        for arg in command.get_arguments() {
            let longs = arg.get_long_and_visible_aliases().unwrap_or_default();
            flags.extend(longs.iter().map(|long| format!("--{long}")));
            flags.extend(arg.get_short().map(|short| format!("-{short}")));
        }
        let version = command.get_version().map(|_| ["--version".to_owned(), "-V".to_owned()]);
        flags.extend(version.into_iter().flatten());
        let subcommands: Vec<Value> = command.get_subcommands().map(self::flags).collect();
        json!({"name": command.get_name(), "flags": flags, "subcommands": subcommands})
    }
}
