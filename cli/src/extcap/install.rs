//! The link in Wireshark's extcap folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::cli::Globals;
use crate::term::shell_word;
use crate::walk::talk;

/// What Wireshark starts.
const LINK: &str = "framewalk-extcap";

/// Makes the link to this program.
pub(super) fn install(dir: Option<&Path>, globals: &Globals) -> anyhow::Result<()> {
    let me = std::env::current_exe().context("cannot find my own program file")?;
    let folder = folder(dir)?;
    let link = folder.join(LINK);
    fs::create_dir_all(&folder).map_err(|error| denied(error, "make", &folder, "install"))?;
    match fs::symlink_metadata(&link) {
        Ok(there) if !there.is_symlink() => {
            bail!("{} is there and is no link of ours; it stays", link.display());
        }
        // of an earlier version
        Ok(_) => fs::remove_file(&link).map_err(|e| denied(e, "replace", &link, "install"))?,
        Err(_) => {}
    }
    std::os::unix::fs::symlink(&me, &link).map_err(|e| denied(e, "make", &link, "install"))?;
    if !globals.quiet {
        talk(&format!("{} leads to {}", link.display(), me.display()));
        talk("next: tshark -D | grep framewalk");
    }
    Ok(())
}

/// Takes the link away.
pub(super) fn remove(dir: Option<&Path>, globals: &Globals) -> anyhow::Result<()> {
    let link = folder(dir)?.join(LINK);
    match fs::symlink_metadata(&link) {
        Ok(there) if there.is_symlink() => {
            fs::remove_file(&link).map_err(|error| denied(error, "remove", &link, "remove"))?;
            if !globals.quiet {
                talk(&format!("{} is removed", link.display()));
            }
            Ok(())
        }
        Ok(_) => bail!("{} is no link of ours; it stays", link.display()),
        Err(_) => bail!("there is no {}", link.display()),
    }
}

fn denied(error: io::Error, what: &str, path: &Path, command: &str) -> anyhow::Error {
    let mut text = format!("cannot {what} {}", path.display());
    if error.kind() == io::ErrorKind::PermissionDenied {
        let me = std::env::current_exe().unwrap_or_else(|_| "framewalk".into());
        let me = shell_word(&me.display().to_string());
        text = format!("{text}; type: sudo {me} extcap {command}");
    }
    anyhow::Error::new(error).context(text)
}

/// The folder: as named, as Wireshark itself tells, or as the environment says.
fn folder(dir: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(dir) = dir {
        return Ok(dir.to_owned());
    }
    // which obeys WIRESHARK_EXTCAP_DIR, but not as root
    let asked = Command::new("tshark").args(["-G", "folders"]).stdin(Stdio::null()).output();
    if let Ok(told) = asked
        && let Some(folder) = of_folders(&String::from_utf8_lossy(&told.stdout))
    {
        return Ok(folder);
    }
    if let Some(dir) = std::env::var_os("WIRESHARK_EXTCAP_DIR").filter(|dir| !dir.is_empty()) {
        return Ok(dir.into());
    }
    let home = std::env::var_os("HOME").context("no HOME; name the folder with --dir")?;
    Ok(Path::new(&home).join(".local/lib/wireshark/extcap"))
}

/// From the output of `tshark -G folders`: the personal folder, else (before Wireshark 4.2) the
/// one of the system.
fn of_folders(text: &str) -> Option<PathBuf> {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name))?;
        // a search path with several: the first is enough
        let path = line.trim_start_matches(':').trim().split(':').next()?;
        (!path.is_empty()).then(|| PathBuf::from(path))
    };
    of("Personal Extcap path").or_else(|| of("Extcap path")).or_else(|| of("Global Extcap path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wireshark_says_where_its_folder_is() {
        let old = "Temp:                \t/tmp\nExtcap path:         \t/usr/lib/wireshark/extcap\n";
        assert_eq!(of_folders(old), Some("/usr/lib/wireshark/extcap".into()));
        let new = "Personal Extcap path: \t/opt/a/.local/lib/wireshark/extcap\n\
                   Global Extcap path:  \t/usr/lib/wireshark/extcap\n";
        assert_eq!(of_folders(new), Some("/opt/a/.local/lib/wireshark/extcap".into()));
        assert_eq!(of_folders("Temp: /tmp\n"), None);
    }

    #[test]
    fn a_link_is_made_made_again_and_removed_and_a_file_stays() {
        let dir = std::env::temp_dir().join(format!("framewalk-extcap-{}", std::process::id()));
        let quiet = Globals { quiet: true, ..Globals::default() };
        let link = dir.join(LINK);
        for _ in 0..2 {
            install(Some(&dir), &quiet).unwrap();
            assert_eq!(fs::read_link(&link).unwrap(), std::env::current_exe().unwrap());
        }
        remove(Some(&dir), &quiet).unwrap();
        assert!(fs::symlink_metadata(&link).is_err());
        assert!(remove(Some(&dir), &quiet).unwrap_err().to_string().contains("there is no"));
        fs::write(&link, "another's").unwrap();
        for refused in [install(Some(&dir), &quiet), remove(Some(&dir), &quiet)] {
            assert!(refused.unwrap_err().to_string().contains("it stays"));
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}
