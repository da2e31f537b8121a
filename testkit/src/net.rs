//! A network namespace of the test's own, with veth cables in it.
//!
//! The calling thread moves into a new namespace ([`unshare(2)`](https://man7.org/linux/man-pages/man2/unshare.2.html)
//! with `CLONE_NEWNET`); programs it starts are in it too, and threads that it starts afterwards.
//! Nobody else sees its devices, and the kernel takes all of them back when the last thread and
//! process in it has ended.

use std::process::Command;

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
            "network namespaces need root; type: sudo -E env \"PATH=$PATH\" cargo xtask test --privileged"
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

    /// `ip ARGS` (iproute2) in the namespace.
    ///
    /// # Panics
    /// Where it fails, with what it said.
    pub fn ip(&self, args: &[&str]) {
        let out = Command::new("ip").args(args).output().expect("iproute2's `ip`");
        assert!(
            out.status.success(),
            "ip {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}
