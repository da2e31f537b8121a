//! Encapsulations that need a kernel with more devices than the one at hand may have.
//!
//! Debian's own kernel boots under QEMU's emulator (no KVM, no privilege) with an initramfs of
//! busybox, iproute2 and a few daemons. Each *cable* is a QEMU hub with two virtio NICs, which
//! the guest puts into two namespaces of its own; QEMU's `filter-dump` records what passes the
//! hub. A hub has no offloads, so what is recorded is what a wire would carry.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::lab::Desk;
use crate::lab::job::{self, Job};
use crate::sh;

mod cables;

use cables::CABLES;

/// How it is set, for the README.
pub(super) const SET: &str = "Debian's kernel under QEMU (TCG), one hub and two virtio NICs per \
    capture, each NIC in a namespace of the guest; recorded by QEMU's filter-dump on the hub. \
    PPPoE: pppd with its PPPoE plug-in against pppoe-server; SCTP: socat; the rest: the kernel's \
    own devices, with ping and wget over them";

/// Beyond the base.
pub(super) const TOOLS: &[(&str, &str)] = &[
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("depmod", "kmod"),
    ("dpkg-deb", "dpkg"),
    ("socat", "socat"),
    ("pppd", "ppp"),
    ("pppoe-server", "pppoe"),
];

/// Programs that the guest gets from this machine, with the libraries they ask for.
const PROGRAMS: &[&str] = &[
    "/usr/sbin/ip",
    "/usr/bin/ping",
    "/usr/bin/socat",
    "/usr/sbin/pppd",
    "/usr/sbin/pppoe",
    "/usr/sbin/pppoe-server",
];

/// Kernel modules that the guest gets, with those they depend on.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_net",
    "ipv6",
    "8021q",
    "ip_gre",
    "ip6_gre",
    "ipip",
    "sit",
    "ip6_tunnel",
    "geneve",
    "mpls_router",
    "mpls_iptunnel",
    "pppoe",
    "ppp_async",
    "ppp_synctty",
    "l2tp_netlink",
    "l2tp_eth",
    "l2tp_ip",
    // SCTP's checksum and cookie; the kernel asks for them by algorithm, not as dependencies
    "crc32c_generic",
    "sha1_generic",
    "sha256_generic",
    "hmac",
    "sctp",
];

/// How long the guest has to boot and play all cables.
const GUEST: Duration = Duration::from_mins(8);

/// Where the kernel is kept between runs.
fn kernel_dir() -> Result<PathBuf> {
    Ok(sh::target_dir()?.join("lab-kernel"))
}

/// Downloads Debian's kernel package with apt-get and unpacks it, once.
pub(in crate::lab) fn fetch_kernel() -> Result<()> {
    let dir = kernel_dir()?;
    if kernel_in(&dir).is_ok() {
        return Ok(());
    }
    fs::create_dir_all(&dir)?;
    let depends = sh::output(&mut sh::command("apt-cache", &["depends", "linux-image-amd64"]))?;
    let package = depends
        .lines()
        .find_map(|line| line.trim().strip_prefix("Depends: "))
        .context("no package `linux-image-amd64` is known here: apt-get update, or not Debian")?;
    let mut download = Command::new("apt-get");
    download.args(["download", package]).current_dir(&dir);
    sh::run(&mut download)?;
    let deb = find(&dir, "linux-image-", ".deb")?;
    sh::run(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&dir))?;
    fs::remove_file(&deb)?;
    kernel_in(&dir).map(drop)
}

/// The first entry of `dir` with the given beginning and end.
fn find(dir: &Path, prefix: &str, suffix: &str) -> Result<PathBuf> {
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(prefix) && name.ends_with(suffix) {
            return Ok(entry.path());
        }
    }
    bail!("nothing like {prefix}*{suffix} in {}", dir.display())
}

/// Kernel image and version.
fn kernel_in(dir: &Path) -> Result<(PathBuf, String)> {
    let image = find(&dir.join("boot"), "vmlinuz-", "")?;
    let name = image.file_name().context("kernel without a name")?.to_string_lossy();
    let version = name.trim_start_matches("vmlinuz-").to_owned();
    Ok((image, version))
}

/// Boots the guest and lets it play every cable.
pub(super) fn play(desk: &Desk) -> Result<()> {
    let kernel = kernel_dir()?;
    let (image, version) = kernel_in(&kernel)?;
    let initrd = initramfs(desk, &kernel, &version)?;
    let mut argv: Vec<String> = [
        "qemu-system-x86_64",
        "-nodefaults",
        "-machine",
        "pc,accel=tcg",
        "-cpu",
        "max",
        "-m",
        "512",
        "-display",
        "none",
        "-no-reboot",
        "-serial",
        "stdio",
        "-append",
        "console=ttyS0 quiet panic=-1 loglevel=3",
        "-kernel",
    ]
    .map(str::to_owned)
    .to_vec();
    argv.push(image.to_string_lossy().into_owned());
    argv.extend(["-initrd".to_owned(), initrd]);
    for (number, cable) in CABLES.iter().enumerate() {
        for side in ["a", "b"] {
            let id = format!("n{number}{side}");
            argv.extend(["-netdev".to_owned(), format!("hubport,id={id},hubid={number}")]);
            argv.push("-device".to_owned());
            argv.push(format!(
                "virtio-net-pci,netdev={id},mac={},vectors=0,romfile=",
                mac(number, side)
            ));
        }
        let file = desk.out(cable.file);
        argv.push("-object".to_owned());
        argv.push(format!("filter-dump,id=f{number},netdev=n{number}a,file={}", file.display()));
    }
    let argv: Vec<&str> = argv.iter().map(String::as_str).collect();
    let mut guest = Job::start(&argv, &desk.dir)?;
    let console = guest.wait_end(GUEST)?;
    for (number, cable) in CABLES.iter().enumerate() {
        ensure!(
            console.contains(&format!("lab-done-{number}")),
            "the guest failed at {}: {console}",
            cable.file
        );
    }
    Ok(())
}

/// MAC of one end of a cable.
fn mac(number: usize, side: &str) -> String {
    format!("02:00:00:00:{number:02x}:0{side}")
}

/// Builds the guest's root file system and returns the path of its cpio archive.
fn initramfs(desk: &Desk, kernel: &Path, version: &str) -> Result<String> {
    let root = desk.out("root");
    for folder in ["bin", "dev", "proc", "sys", "run", "tmp", "www", "etc/ppp", "var"] {
        fs::create_dir_all(root.join(folder))?;
    }
    std::os::unix::fs::symlink("/run", root.join("var/run"))?;
    fs::copy("/bin/busybox", root.join("bin/busybox")).context("cannot copy busybox")?;
    let mut files = BTreeSet::new();
    for program in PROGRAMS {
        files.insert((*program).to_owned());
    }
    let plugins = find(Path::new("/usr/lib/pppd"), "2.", "")?;
    files.insert(plugins.join("rp-pppoe.so").to_string_lossy().into_owned());
    for file in files.clone() {
        libraries(&file, &mut files)?;
    }
    for file in &files {
        let to = root.join(file.trim_start_matches('/'));
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::copy(file, to).with_context(|| format!("cannot copy {file}"))?;
    }
    modules(kernel, version, &root)?;
    desk.put("root/www/page", &[b'w'; 3000])?;
    desk.put("root/etc/ppp/options", b"")?;
    desk.put("root/etc/ppp/pppoe-server-options", cables::PPPOE_SERVER_OPTIONS)?;
    let init = desk.put("root/init", init_script().as_bytes())?;
    job::run(&["chmod", "755", &init])?;
    let archive = desk.out("initrd").to_string_lossy().into_owned();
    let pack =
        format!("cd {} && busybox find . | busybox cpio -o -H newc > {archive}", root.display());
    job::run(&["busybox", "sh", "-c", &pack])?;
    Ok(archive)
}

/// Adds the shared libraries that `file` asks for.
fn libraries(file: &str, files: &mut BTreeSet<String>) -> Result<()> {
    for word in job::run(&["ldd", file])?.split_whitespace() {
        if word.starts_with('/') {
            files.insert(word.to_owned());
        }
    }
    Ok(())
}

/// Copies [`MODULES`] and what they depend on, and indexes them for modprobe.
fn modules(kernel: &Path, version: &str, root: &Path) -> Result<()> {
    let from = kernel.join("lib/modules").join(version);
    job::run(&["depmod", "-b", &kernel.to_string_lossy(), version])?;
    let deps = fs::read_to_string(from.join("modules.dep")).context("cannot read modules.dep")?;
    let to = root.join("lib/modules").join(version);
    for name in MODULES {
        // a name without a line is built into the kernel
        let file = format!("/{name}.ko");
        let line = deps.lines().find(|line| {
            line.split(':').next().is_some_and(|path| path.replace('-', "_").ends_with(&file))
        });
        for path in line.unwrap_or_default().split([':', ' ']).filter(|path| !path.is_empty()) {
            let target = to.join(path);
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::copy(from.join(path), target)?;
        }
    }
    for index in ["modules.order", "modules.builtin", "modules.builtin.modinfo"] {
        fs::copy(from.join(index), to.join(index))?;
    }
    job::run(&["depmod", "-b", &root.to_string_lossy(), version]).map(drop)
}

/// The guest's `/init`: set up each cable, play it, say so, switch off.
fn init_script() -> String {
    let mut script = cables::PRELUDE.to_owned();
    for name in MODULES {
        let _ = writeln!(script, "modprobe {name} 2>/dev/null");
    }
    for (number, cable) in CABLES.iter().enumerate() {
        let _ = write!(
            script,
            "\n# {}\nN={number}\nset_up {} {} {}\n(set -e\n{}\n)\n\
             [ $? = 0 ] && echo lab-done-{number} || echo lab-failed-{number}\n",
            cable.file,
            mac(number, "a"),
            mac(number, "b"),
            u8::from(cable.ipv6),
            cable.play
        );
    }
    script.push_str("sleep 1\npoweroff -f\n");
    script
}

/// The captures that the guest makes, in order.
#[cfg(test)]
pub(super) fn files() -> impl Iterator<Item = &'static str> {
    CABLES.iter().map(|cable| cable.file)
}
