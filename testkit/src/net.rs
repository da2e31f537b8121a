//! A network namespace of the test's own, with veth cables in it.
//!
//! The calling thread moves into a new namespace ([`unshare(2)`][unshare] with `CLONE_NEWNET`);
//! programs it starts are in it too, and threads that it starts afterwards. Nobody else
//! sees its devices, and the kernel takes all of them back when the last thread and process in it
//! has ended.
//!
//! [unshare]: https://man7.org/linux/man-pages/man2/unshare.2.html

use std::path::Path;
use std::process::Command;

/// Frames with their number in them (bytes 14 to 17), of the EtherType for local experiments
/// (IEEE 802), of `size` bytes each, at least 18.
pub fn numbered(count: u32, size: impl Fn(u32) -> usize) -> Vec<Vec<u8>> {
    (0..count)
        .map(|number| {
            let mut frame = vec![number as u8; size(number).max(18)];
            frame[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
            frame[6..12].copy_from_slice(&[2, 0, 0, 0, 0, 8]);
            frame[12..14].copy_from_slice(&[0x88, 0xb5]);
            frame[14..18].copy_from_slice(&number.to_be_bytes());
            frame
        })
        .collect()
}

/// The number in a frame of [`numbered`].
pub fn number(frame: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(*frame.get(14..)?.first_chunk()?))
}

/// A namespace; see the module text.
#[derive(Debug)]
pub struct Lab(());

impl Lab {
    /// Moves this thread into a namespace of its own, without IPv6, so that nothing speaks unasked.
    ///
    /// # Panics
    /// Without root, with the command that runs the test as root.
    pub fn new() -> Self {
        assert!(
            nix::unistd::geteuid().is_root(),
            "network namespaces need root; type: \
             sudo -E env \"PATH=$PATH\" cargo xtask test --privileged"
        );
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("unshare(CLONE_NEWNET)");
        for which in ["all", "default"] {
            // a kernel without IPv6 has no such file
            let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{which}/disable_ipv6"), "1");
        }
        Self(())
    }

    /// A cable between two new devices, both up, without offloads that would join frames.
    ///
    /// # Panics
    /// Where the kernel refuses.
    pub fn cable(&self, a: &str, b: &str, mtu: u32) {
        let mtu = mtu.to_string();
        self.ip(&["link", "add", a, "mtu", &mtu, "type", "veth", "peer", "name", b, "mtu", &mtu]);
        for end in [a, b] {
            self.ip(&["link", "set", end, "up"]);
        }
    }

    /// An empty file system of so many bytes in memory at `folder`, which only this thread and the
    /// programs that it starts see.
    ///
    /// # Panics
    /// Where the kernel refuses.
    pub fn tmpfs(&self, folder: &Path, bytes: u64) {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).expect("unshare(CLONE_NEWNS)");
        let options = format!("size={bytes},mode=0755");
        let folder = folder.to_str().expect("a path in UTF-8");
        run("mount", &["--make-rprivate", "/"]);
        run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", folder]);
    }

    /// `ip ARGS` (iproute2) in the namespace.
    ///
    /// # Panics
    /// Where it fails, with what it said.
    pub fn ip(&self, args: &[&str]) {
        run("ip", args);
    }
}

fn run(program: &str, args: &[&str]) {
    let out = Command::new(program).args(args).output().expect(program);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{program} {}: {said}", args.join(" "));
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}
