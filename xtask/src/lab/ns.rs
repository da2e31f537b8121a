//! Network namespaces, the cables between them, and captures on those cables.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::job::{self, Job, words};

/// A network namespace, deleted (with every device in it) when dropped.
#[derive(Debug)]
pub(super) struct Ns {
    name: String,
}

impl Ns {
    /// Makes the namespace `fw-<tag>`, with loopback up.
    ///
    /// The name lives in the lab's own `/run`, so it cannot meet anyone else's.
    pub(super) fn new(tag: &str) -> Result<Self> {
        let name = format!("fw-{tag}");
        job::run(&["ip", "netns", "add", &name])?;
        let ns = Self { name };
        ns.run("ip link set lo up")?;
        Ok(ns)
    }

    /// Like [`Ns::new`], with IPv6 off on every device made afterwards: a quiet wire.
    pub(super) fn new_ipv4(tag: &str) -> Result<Self> {
        let ns = Self::new(tag)?;
        ns.run("sysctl -q -w net.ipv6.conf.default.disable_ipv6=1")?;
        Ok(ns)
    }

    /// The namespace's name, for `ip ... netns NAME`.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Runs a command line (split at blanks) in here; see [`job::run`].
    pub(super) fn run(&self, line: &str) -> Result<String> {
        self.run_argv(&words(line))
    }

    /// Runs a command whose arguments may hold blanks.
    pub(super) fn run_argv(&self, argv: &[&str]) -> Result<String> {
        job::run(&self.inside(argv))
    }

    /// Runs a command that may fail, such as a connection that is refused.
    pub(super) fn attempt(&self, line: &str) -> Result<()> {
        job::attempt(&self.inside(&words(line)))
    }

    /// Starts a background job in here.
    pub(super) fn start(&self, line: &str, dir: &Path) -> Result<Job> {
        self.start_argv(&words(line), dir)
    }

    /// Starts a background job whose arguments may hold blanks.
    pub(super) fn start_argv(&self, argv: &[&str], dir: &Path) -> Result<Job> {
        Job::start(&self.inside(argv), dir)
    }

    fn inside<'a>(&'a self, argv: &[&'a str]) -> Vec<&'a str> {
        let mut all = vec!["ip", "netns", "exec", &self.name];
        all.extend_from_slice(argv);
        all
    }

    /// Turns the offloads of `dev` off, so that a capture shows what a wire would carry.
    pub(super) fn no_offload(&self, dev: &str) -> Result<()> {
        self.run(&format!("ethtool -K {dev} tx off rx off sg off tso off gso off gro off"))
            .map(drop)
    }

    /// Starts a capture of `dev` into `file`; `extra` goes to tcpdump (filter, link type).
    pub(super) fn dump(&self, dev: &str, file: &Path, extra: &str) -> Result<Dump> {
        let file = file.to_string_lossy();
        // -U and --immediate-mode: a frame is in the file as soon as it was seen; -Z root: no
        // second user is needed; -n: no look-ups of its own
        let line = format!("tcpdump -n -U --immediate-mode -Z root -i {dev} -w {file} {extra}");
        let dir = Path::new(super::SCRATCH);
        let mut job = self.start(&line, dir)?;
        job.ready_when("listening on")?;
        Ok(Dump { job })
    }
}

impl Drop for Ns {
    fn drop(&mut self) {
        let _ = job::run(&["ip", "netns", "del", &self.name]);
    }
}

/// A running tcpdump.
#[derive(Debug)]
pub(super) struct Dump {
    job: Job,
}

impl Dump {
    /// Waits for frames in flight, then ends the capture.
    pub(super) fn stop(self) {
        sleep(Duration::from_millis(400));
        drop(self.job);
    }
}

/// One end of a cable: namespace, device name and MAC.
#[derive(Debug, Clone, Copy)]
pub(super) struct End<'a> {
    /// Where the device appears.
    pub(super) ns: &'a Ns,
    /// Its name there.
    pub(super) dev: &'a str,
    /// Its MAC, locally administered.
    pub(super) mac: &'a str,
}

/// Lays a veth cable between two namespaces; both ends come up at once, offloads untouched.
pub(super) fn cable(a: End<'_>, b: End<'_>) -> Result<()> {
    job::run(&words(&format!(
        "ip link add name {} address {} netns {} type veth peer name {} address {} netns {}",
        a.dev,
        a.mac,
        a.ns.name(),
        b.dev,
        b.mac,
        b.ns.name()
    )))?;
    a.ns.run(&format!("ip link set {} up", a.dev))?;
    b.ns.run(&format!("ip link set {} up", b.dev)).map(drop)
}

/// A kernel bridge whose ports learn nothing, so that it sends every frame to every port: a switch
/// all of whose ports are mirrored.
#[derive(Debug)]
pub(super) struct Bridge {
    ns: Ns,
}

impl Bridge {
    /// With `options` of `ip link add ... type bridge`.
    pub(super) fn new(options: &str) -> Result<Self> {
        let ns = Ns::new_ipv4("switch")?;
        ns.run(&format!("ip link add br0 address 02:00:00:00:00:fe type bridge {options}"))?;
        ns.run("ip link set br0 up")?;
        Ok(Self { ns })
    }

    /// Connects `dev` of `host` to the next port; the MAC ends in `number`. Offloads are off.
    pub(super) fn plug(&self, host: &Ns, dev: &str, number: u8) -> Result<()> {
        let (port, mac) = (format!("port{number}"), format!("02:00:00:00:01:{number:02x}"));
        let port_mac = format!("02:00:00:00:02:{number:02x}");
        cable(End { ns: host, dev, mac: &mac }, End { ns: &self.ns, dev: &port, mac: &port_mac })?;
        host.no_offload(dev)?;
        self.ns.no_offload(&port)?;
        self.ns.run(&format!("ip link set {port} master br0"))?;
        self.ns.run(&format!("ip link set {port} type bridge_slave learning off")).map(drop)
    }
}

/// MAC of [`Pair::a`].
pub(super) const MAC_A: &str = "02:00:00:00:00:0a";
/// MAC of [`Pair::b`].
pub(super) const MAC_B: &str = "02:00:00:00:00:0b";

/// Two hosts on one cable: `a` 192.0.2.1 and `b` 192.0.2.2 (RFC 5737), both on `eth0`.
#[derive(Debug)]
pub(super) struct Pair {
    /// 192.0.2.1, and 2001:db8::1 where IPv6 is on.
    pub(super) a: Ns,
    /// 192.0.2.2, and 2001:db8::2 where IPv6 is on.
    pub(super) b: Ns,
}

impl Pair {
    /// IPv4 only, offloads off.
    pub(super) fn wire() -> Result<Self> {
        let pair = Self::offloaded()?;
        pair.a.no_offload("eth0")?;
        pair.b.no_offload("eth0")?;
        Ok(pair)
    }

    /// IPv4 only, with the offloads veth has by default (checksum, TSO, GSO).
    pub(super) fn offloaded() -> Result<Self> {
        let pair = Self { a: Ns::new_ipv4("a")?, b: Ns::new_ipv4("b")? };
        pair.connect()?;
        pair.a.run("ip addr add 192.0.2.1/24 dev eth0")?;
        pair.b.run("ip addr add 192.0.2.2/24 dev eth0")?;
        Ok(pair)
    }

    /// IPv6 only (RFC 3849 addresses beside the link-local ones), offloads off, settled.
    pub(super) fn wire_ipv6() -> Result<Self> {
        let pair = Self { a: Ns::new("a")?, b: Ns::new("b")? };
        pair.connect()?;
        pair.a.no_offload("eth0")?;
        pair.b.no_offload("eth0")?;
        pair.a.run("ip addr add 2001:db8::1/64 dev eth0 nodad")?;
        pair.b.run("ip addr add 2001:db8::2/64 dev eth0 nodad")?;
        sleep(Duration::from_millis(2500)); // duplicate address detection and MLD reports
        Ok(pair)
    }

    fn connect(&self) -> Result<()> {
        cable(
            End { ns: &self.a, dev: "eth0", mac: MAC_A },
            End { ns: &self.b, dev: "eth0", mac: MAC_B },
        )
    }
}
