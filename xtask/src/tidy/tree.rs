//! The files the rules look at: what git tracks or would track; without git, the whole tree less
//! build output.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::File;
use crate::sh;

/// Paths from the root, with `/`, sorted.
pub(crate) fn files() -> Result<Vec<String>> {
    let list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let mut files: Vec<String> = Vec::new();
    if let Ok(list) = sh::output(&mut sh::command("git", &list)) {
        files.extend(list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned));
    } else {
        walk(&sh::root(), "", &mut files)?;
    }
    // git lists files that are deleted and not yet committed so, too
    files.retain(|path| sh::root().join(path).is_file());
    files.sort();
    files.dedup();
    Ok(files)
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        let kind = entry.file_type()?;
        if kind.is_file() {
            files.push(path);
        } else if kind.is_dir() && name != "target" && name != ".git" {
            walk(&entry.path(), &format!("{path}/"), files)?;
        }
    }
    Ok(())
}

/// Whether the path ends in `.extension`.
pub(crate) fn is(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

/// Every file with its text. A file that another program removes meanwhile is left out.
pub(super) fn read() -> Result<Vec<File>> {
    let mut read = Vec::new();
    for path in files()? {
        if let Ok(data) = fs::read(sh::root().join(&path)) {
            read.push(File { path, bytes: data.len() as u64, text: String::from_utf8(data).ok() });
        }
    }
    Ok(read)
}
