//! Root is needed to open the interface, and for nothing after that.

use std::path::Path;

use anyhow::Context;
use nix::unistd::{Gid, Uid, geteuid, setgroups, setresgid, setresuid};

/// Gives root up: to the user who called sudo if the folder of the capture is theirs, else to the
/// owner of that folder, so that the files of a ring can still be made and deleted. Root stays user
/// 0 where the folder is root's, but without any of its powers. The result is the user, if there
/// was anything to give up.
pub(crate) fn drop_root(file: &Path) -> anyhow::Result<Option<u32>> {
    use std::os::unix::fs::MetadataExt;
    if !geteuid().is_root() {
        return Ok(None);
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let owner = std::fs::metadata(folder)
        .with_context(|| format!("cannot look at the folder {}", folder.display()))?;
    let (uid, gid) = (owner.uid(), owner.gid());
    if uid != 0 {
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        // the groups first: afterwards nothing can be given up any more
        setgroups(&[gid]).context("cannot give up root's groups")?;
        setresgid(gid, gid, gid).context("cannot give up root's group")?;
        setresuid(uid, uid, uid).context("cannot give up root")?;
    }
    for set in [caps::CapSet::Bounding, caps::CapSet::Inheritable] {
        // the bounding set can only be changed by those who still have the power to
        let _ = caps::clear(None, set);
    }
    for set in [caps::CapSet::Effective, caps::CapSet::Permitted] {
        caps::clear(None, set).context("cannot give up root's capabilities")?;
    }
    Ok(Some(uid))
}
