//! A practice's working day in a minute, seen on both sides of its router: a forwarded remote
//! desktop that is guessed at, a clinical database, and a nightly copy that misses it.

use std::fmt::Write as _;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::servers::{self, DIG};
use crate::lab::Desk;
use crate::lab::file::{self, Interface, Labels};
use crate::lab::job::Job;
use crate::lab::ns::Ns;
use crate::lab::site::Site;
use crate::lab::software;

/// How it is set, for the README.
pub(super) const SET: &str = "router (192.168.1.1 and 198.51.100.2: nftables forwards port 2299 to \
    the desktop's 3389, dnsmasq), server (.10: Firebird 3), desktop (.20: FreeRDP's shadow server \
    with a SAM file, so that NLA tells right passwords from wrong ones), store (.40: rsync \
    daemon), reception (.101) and the internet, each a namespace with its own kernel stack. The \
    switch is a kernel bridge whose ports learn nothing; interface 0 is a port of it where nobody \
    else is, interface 1 is the router's outer cable, where only the first frames of connections \
    are kept. From 203.0.113.66 somebody tries eleven passwords by `xfreerdp +auth-only`, and \
    knows the twelfth; from 203.0.113.7 the doctor logs on. The reception writes 24 notes into the \
    database (frames of port 3050 are kept up to 96 bytes); the rsync of the evening leaves the \
    database out, because its date and size are what they were the night before (`touch` sets the \
    date back, as Windows leaves it)";

/// Beyond the base.
pub(super) const TOOLS: &[(&str, &str)] = &[
    ("dnsmasq", "dnsmasq-base"),
    ("dig", "bind9-dnsutils"),
    ("nft", "nftables"),
    ("freerdp-shadow-cli", "freerdp2-shadow-x11"),
    ("xfreerdp", "freerdp2-x11"),
    ("winpr-hash", "winpr-utils"),
    ("Xvfb", "xvfb"),
    ("firebird", "firebird3.0-server"),
    ("isql-fb", "firebird3.0-utils"),
    ("rsync", "rsync"),
];

/// Where copies go.
const STORE: &str = "192.168.1.40";
/// Notes written into the database, and bytes of each.
const NOTES: usize = 24;
const NOTE_BYTES: usize = 16_000;
/// Passwords tried before the right one.
const GUESSES: usize = 11;

/// Plays the day and writes `practice-day.pcapng`.
pub(super) fn play(desk: &Desk) -> Result<()> {
    let net = Net::lay()?;
    let jobs = start(&net, desk)?;
    let (lan, base) = (desk.out("lan.pcap"), desk.out("base.pcap"));
    let wan = desk.out("wan.pcap");
    let nano = "--time-stamp-precision=nano";
    let dumps = [
        net.site.monitor.dump("mirror0", &lan, &format!("{nano} not port 3050"))?,
        net.site.monitor.dump("mirror0", &base, &format!("{nano} -s 96 port 3050"))?,
        net.site.router.dump("wan0", &wan, &format!("{nano} tcp[tcpflags] & (tcp-syn) != 0"))?,
    ];
    net.reception.run(&format!("{DIG} @192.168.1.1 server.practice.example A"))?;
    write_notes(&net, desk)?;
    desktop(&net, desk)?;
    evening(&net, desk)?;
    for dump in dumps {
        dump.stop();
    }
    drop(jobs);
    label(desk)
}

/// The practice's hosts and cables.
#[derive(Debug)]
struct Net {
    site: Site,
    server: Ns,
    desktop: Ns,
    store: Ns,
    reception: Ns,
}

impl Net {
    /// Beyond the router is the internet (RFC 5737 addresses), which one port leads inside.
    fn lay() -> Result<Self> {
        let site = Site::lay("", "198.51.100.2/24", "198.51.100.1/24")?;
        site.nat("198.51.100.1", &[("tcp", 2299, "192.168.1.20:3389")])?;
        Ok(Self {
            server: site.host("server", 10)?,
            desktop: site.host("desktop", 20)?,
            store: site.host("store", 40)?,
            reception: site.host("reception", 101)?,
            site,
        })
    }

    /// From now on the internet speaks from this address.
    fn outside_is(&self, address: &str) -> Result<()> {
        self.site.outside_is(address, "198.51.100.0/24")
    }
}

/// What runs before the practice opens.
fn start(net: &Net, desk: &Desk) -> Result<Vec<Job>> {
    let dnsmasq = servers::dnsmasq(
        &net.site.router,
        desk,
        &[
            "--interface=eth0",
            "--bind-interfaces",
            "--local=/practice.example/",
            "--host-record=server.practice.example,192.168.1.10",
        ],
    )?;
    let firebird = software::firebird(&net.server, "192.168.1.10", desk)?;
    // the desktop: a screen, and who may log on to it
    let screen = software::screen(&net.desktop, 5, desk)?;
    let client = software::screen(&net.site.outside, 6, desk)?;
    sleep(Duration::from_secs(1));
    let shadow = software::shadow(&net.desktop, &[("doctor", "right")], desk)?;
    // the store, and last night's copy
    desk.put("files/letters/template.txt", b"Dear colleague,\n")?;
    let rsync = software::rsync_daemon(&net.store, desk)?;
    sleep(Duration::from_secs(2));
    software::nightly_copy(&net.server, STORE, desk)?;
    Ok(vec![dnsmasq, firebird, screen, client, shadow, rsync])
}

/// The reception's day.
fn write_notes(net: &Net, desk: &Desk) -> Result<()> {
    let mut sql = String::new();
    for n in 0..NOTES {
        // writing into a string cannot fail
        _ = writeln!(sql, "insert into notes values({n}, '{}');", "x".repeat(NOTE_BYTES));
    }
    sql += "commit;\n";
    software::sql(&net.reception, "192.168.1.10", &sql, desk)
}

/// Somebody guesses; the doctor works from home.
fn desktop(net: &Net, desk: &Desk) -> Result<()> {
    net.outside_is("203.0.113.66")?;
    for n in 0..GUESSES {
        log_on(net, desk, &format!("guess{n}"))?;
    }
    log_on(net, desk, "right")?;
    net.outside_is("203.0.113.7")?;
    log_on(net, desk, "right")
}

fn log_on(net: &Net, desk: &Desk, password: &str) -> Result<()> {
    let home = desk.dir.display();
    net.site.outside.attempt(&format!(
        "env HOME={home} DISPLAY=:6 xfreerdp /v:198.51.100.2:2299 /cert:ignore /u:doctor \
         /p:{password} /sec:nla +auth-only"
    ))
}

/// The nightly copy, which finds the database's size and date as they were.
fn evening(net: &Net, desk: &Desk) -> Result<()> {
    desk.put("files/letters/today.txt", b"Dear patient,\n")?;
    software::age_database(desk)?;
    software::nightly_copy(&net.server, STORE, desk)
}

fn label(desk: &Desk) -> Result<()> {
    let (linktype, mut frames) = file::read_pcap(&desk.out("lan.pcap"))?;
    frames.extend(file::read_pcap(&desk.out("base.pcap"))?.1);
    for mut frame in file::read_pcap(&desk.out("wan.pcap"))?.1 {
        frame.interface = 1;
        frames.push(frame);
    }
    frames.sort_by_key(|frame| frame.time_ns);
    let interface = |name, description| Interface { name, description, linktype };
    let labels = Labels {
        section: "A practice's day, played by real kernels and servers in network namespaces. All \
            names \
                  and addresses are invented; nobody's data is in here",
        interfaces: &[
            interface("mirror0", "mirror port of the practice's switch"),
            interface("wan0", "the router's outer cable, first frames of connections only"),
        ],
        frames: &[],
    };
    file::write_pcapng(&desk.out("practice-day.pcapng"), &frames, &labels)
}
