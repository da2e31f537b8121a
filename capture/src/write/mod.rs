//! Capture files written: [`PcapngWriter`] and [`PcapWriter`], over anything that takes bytes.
//!
//! Both write little-endian with times in nanoseconds. Neither buffers: give them a
//! `BufWriter`. A [`Recorder`] writes what is captured live: it gathers whole blocks, keeps to a
//! budget, and counts what the disk does not take; a [`Pretrigger`] holds what may be wanted
//! later. Captures hold other people's traffic, so [`create`] makes files that only their owner
//! can read.

mod pcap;
mod pcapng;
mod pretrigger;
mod record;
mod spool;

use std::fs::{File, OpenOptions};
use std::path::Path;

use crate::error::Error;

pub use self::pcap::PcapWriter;
pub use self::pcapng::{
    EpbVerdict, FrameOptions, InterfaceSpec, PcapngWriter, SectionSpec, StatisticsSpec,
};
pub use self::pretrigger::{Held, Pretrigger};
pub use self::record::{Heading, Listened, Plan, Recorded, Recorder};
pub use self::spool::Packing;

/// Creates (or empties) a file with mode 0600.
pub fn create(path: impl AsRef<Path>) -> Result<File, Error> {
    let path = path.as_ref();
    let failed =
        |source| Error::Io { operation: "create", object: path.display().to_string(), source };
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let file = options.open(path).map_err(failed)?;
    #[cfg(unix)]
    if let about = file.metadata().map_err(failed)?
        && about.is_file()
    {
        use std::os::unix::fs::PermissionsExt as _;
        // one that was there keeps its mode through open: narrow it before it holds anything
        file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
        // ext4 writes a file that was ever emptied out to the disk when it is closed, and whoever
        // closes it waits: leave a new one alone
        if about.len() > 0 {
            file.set_len(0).map_err(failed)?;
        }
    }
    #[cfg(not(unix))]
    file.set_len(0).map_err(failed)?;
    Ok(file)
}

fn write_failed(source: std::io::Error) -> Error {
    Error::Io { operation: "write", object: "the capture file".to_owned(), source }
}

/// A frame's captured bytes as a 32-bit count within the bound that readers set.
fn checked_caplen(data: &[u8], linktype: skb::LinkType) -> Result<u32, Error> {
    let max = crate::format::caplen_max(linktype) as usize;
    if data.len() > max {
        return Err(Error::Unwritable {
            what: "captured length",
            expected: "at most 262144 bytes (the bound that readers set)",
            found: data.len() as i128,
        });
    }
    Ok(data.len() as u32)
}
