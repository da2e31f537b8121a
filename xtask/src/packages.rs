//! What this machine has beyond Rust, what goes without it, and the command that brings it.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::sh;

/// Something a part of the suite needs that Rust does not bring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Need {
    /// What it is called in messages.
    pub(crate) name: &'static str,
    /// The Debian package that has it.
    pub(crate) package: &'static str,
    /// What is skipped without it.
    pub(crate) serves: &'static str,
    /// The word by which a test's source names it.
    pub(crate) mark: &'static str,
    present: fn() -> bool,
}

impl Need {
    pub(crate) fn is_present(&self) -> bool {
        (self.present)()
    }
}

/// Every such thing. The order is the order in which it is reported.
pub(crate) const NEEDS: &[Need] = &[
    Need {
        name: "libpcap headers",
        package: "libpcap-dev",
        serves: "the feature `libpcap`: tcpdump filter syntax for `--filter`",
        mark: "feature = \"libpcap\"",
        present: has_libpcap,
    },
    Need {
        name: "tshark",
        package: "tshark",
        serves: "comparisons with Wireshark's decoder",
        mark: "\"tshark\"",
        present: || sh::has("tshark"),
    },
    Need {
        name: "tcpdump",
        package: "tcpdump",
        serves: "comparisons with tcpdump, captures of our own",
        mark: "\"tcpdump\"",
        present: || sh::has("tcpdump"),
    },
    Need {
        name: "ip",
        package: "iproute2",
        serves: "tests in network namespaces, `cargo xtask lab`",
        mark: "\"ip\"",
        present: || sh::has("ip"),
    },
    Need {
        name: "script",
        package: "bsdutils",
        serves: "tests of the step screen on a terminal of its own",
        mark: "\"script\"",
        present: || sh::has("script"),
    },
    Need {
        name: "Firebird's engine",
        package: "firebird3.0-server-core",
        serves: "the Firebird hook's tests, rows of the trap matrix",
        mark: "\"isql-fb\"",
        present: || Path::new("/usr/share/doc/firebird3.0-server-core").is_dir(),
    },
    Need {
        name: "Firebird's tools",
        package: "firebird3.0-utils",
        serves: "the Firebird hook's tests, rows of the trap matrix",
        mark: "\"nbackup\"",
        present: || sh::has("isql-fb"),
    },
    Need {
        name: "Firebird's server",
        package: "firebird3.0-server",
        serves: "the Firebird hook through a server",
        mark: "\"firebird\"",
        present: || sh::has("firebird"),
    },
    Need {
        name: "MariaDB's server",
        package: "mariadb-server-core",
        serves: "the files of MariaDB",
        mark: "\"mariadbd\"",
        present: || sh::has("mariadbd"),
    },
    Need {
        name: "MariaDB's client",
        package: "mariadb-client-core",
        serves: "the files of MariaDB",
        mark: "\"mariadb\"",
        present: || sh::has("mariadb"),
    },
    Need {
        name: "PostgreSQL's server",
        package: "postgresql",
        serves: "the files of PostgreSQL",
        mark: "/usr/lib/postgresql",
        present: || Path::new("/usr/lib/postgresql").is_dir(),
    },
    Need {
        name: "the sqlite3 program",
        package: "sqlite3",
        serves: "the SQLite hook and its tests",
        mark: "\"sqlite3\"",
        present: || sh::has("sqlite3"),
    },
    Need {
        name: "ethtool",
        package: "ethtool",
        serves: "bench backup --only veth and its test",
        mark: "\"ethtool\"",
        present: || sh::has("ethtool"),
    },
    Need {
        name: "Samba",
        package: "samba",
        serves: "rows of the trap matrix",
        mark: "\"smbd\"",
        present: || sh::has("smbd"),
    },
    Need {
        name: "smbnetfs",
        package: "smbnetfs",
        serves: "rows of the trap matrix",
        mark: "\"smbnetfs\"",
        present: || sh::has("smbnetfs"),
    },
    Need {
        name: "fusermount3",
        package: "fuse3",
        serves: "rows of the trap matrix",
        mark: "\"fusermount3\"",
        present: || sh::has("fusermount3"),
    },
    Need {
        name: "Python's smbc",
        package: "python3-smbc",
        serves: "rows of the trap matrix",
        mark: "\"smbd\"",
        present: || Path::new("/usr/share/doc/python3-smbc").is_dir(),
    },
];

/// libpcap's headers: what the feature `libpcap` needs at build time.
pub(crate) fn has_libpcap() -> bool {
    let headers = ["/usr/include/pcap/pcap.h", "/usr/local/include/pcap/pcap.h"];
    headers.iter().any(|header| Path::new(header).is_file())
        || (sh::has("pkg-config") && sh::output(&mut pkg_config()).is_ok())
}

fn pkg_config() -> Command {
    sh::command("pkg-config", &["--exists", "libpcap"])
}

/// `--features LIST`, or nothing where libpcap's headers are missing.
pub(crate) fn libpcap_features(features: &[&'static str]) -> Vec<String> {
    if has_libpcap() { vec!["--features".to_owned(), features.join(",")] } else { Vec::new() }
}

/// The command that installs `packages`, as one would type it on this machine.
pub(crate) fn install_line(packages: &[&str]) -> String {
    let sudo = if sh::is_root() { "" } else { "sudo " };
    format!("{sudo}apt-get install -y --no-install-recommends {}", packages.join(" "))
}

/// Installs what is missing with apt-get. Each package is tried on its own, so that one which
/// this release of Debian lacks does not keep the others out.
///
/// # Errors
/// Without root or apt-get, with the command to type; a package that will not install is only
/// reported, since the suite runs without it and says so.
pub(crate) fn install_missing() -> Result<()> {
    let missing: Vec<&str> =
        NEEDS.iter().filter(|need| !need.is_present()).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !sh::has("apt-get") {
        bail!("cannot install {}: no apt-get on this machine", missing.join(", "));
    }
    if !sh::is_root() {
        bail!("installing needs root; type: {}", install_line(&missing));
    }
    if let Err(error) = sh::run(&mut apt_get(&["update"])) {
        eprintln!("xtask: {error:#}; going on with the package lists that are here");
    }
    missing.into_iter().for_each(install);
    Ok(())
}

/// Installs one package with apt-get, or reports why not.
pub(crate) fn install(package: &str) {
    let args = ["install", "-y", "-qq", "--no-install-recommends", package];
    if let Err(error) = sh::run(&mut apt_get(&args)) {
        eprintln!("xtask: {package} is not installed: {error:#}");
    }
}

fn apt_get(args: &[&str]) -> Command {
    let mut command = sh::command("apt-get", args);
    // tshark asks who may capture; the default answer (root only) is the right one
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}
