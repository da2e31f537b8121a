//! A practice's working day in a minute, seen on both sides of its router: a forwarded remote
//! desktop that is guessed at, a clinical database, and a nightly copy that misses it.

use std::fmt::Write as _;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::servers::{self, DIG};
use crate::lab::Desk;
use crate::lab::file::{self, Interface, Labels};
use crate::lab::job::{self, Job};
use crate::lab::ns::Ns;
use crate::lab::site::Site;

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
    // Firebird, with users of its own
    let system = desk.out("firebird");
    let system = system.to_string_lossy();
    job::run(&["cp", "-a", "/var/lib/firebird/3.0/system", &system])?;
    job::run(&["mount", "--bind", &system, "/var/lib/firebird/3.0/system"])?;
    job::run(&["mkdir", "-p", "/run/firebird3.0"])?;
    let settings = "/etc/firebird/3.0/firebird.conf";
    let listen = fs::read_to_string(settings)? + "\nRemoteBindAddress = 192.168.1.10\n";
    let listen =
        desk.put("firebird.conf", listen.replace("RemoteBindAddress = localhost", "").as_bytes())?;
    job::run(&["mount", "--bind", &listen, settings])?;
    let user = desk.put(
        "user.sql",
        b"create or alter user sysdba password 'masterkey' using plugin Srp;\ncommit;\n",
    )?;
    net.server.run(&format!("isql-fb -q -user sysdba -i {user} security.db"))?;
    let database = desk.out("practice.fdb");
    let create = format!(
        "create database '{}' page_size 8192 user 'sysdba' password 'x';\n\
         create table notes(id int, body varchar(32000));\ncommit;\n",
        database.display()
    );
    let create = desk.put("create.sql", create.as_bytes())?;
    net.server.run(&format!("isql-fb -q -user sysdba -i {create}"))?;
    let firebird = net.server.start("firebird", &desk.dir)?;
    // the desktop: a screen, and who may log on to it
    let screen = net.desktop.start("Xvfb :5 -screen 0 640x480x24", &desk.dir)?;
    let client = net.site.outside.start("Xvfb :6 -screen 0 640x480x24", &desk.dir)?;
    let sam = net.desktop.run("winpr-hash -u doctor -p right -f sam")?;
    let sam = desk.put("SAM", sam.as_bytes())?;
    sleep(Duration::from_secs(1));
    let line = format!("env DISPLAY=:5 freerdp-shadow-cli /port:3389 /sam-file:{sam} /sec:nla");
    let shadow = net.desktop.start(&line, &desk.dir)?;
    // the store, and last night's copy
    desk.put("files/letters/template.txt", b"Dear colleague,\n")?;
    let config = format!(
        "use chroot = no\nuid = 0\ngid = 0\n[backup]\npath = {}\nread only = no\n",
        desk.out("store").display()
    );
    desk.put("store/.keep", b"")?;
    let config = desk.put("rsyncd.conf", config.as_bytes())?;
    let rsync =
        net.store.start(&format!("rsync --daemon --no-detach --config={config}"), &desk.dir)?;
    sleep(Duration::from_secs(2));
    copy(net, desk)?;
    Ok(vec![dnsmasq, firebird, screen, client, shadow, rsync])
}

/// What the practice's backup does every night: by size and date.
fn copy(net: &Net, desk: &Desk) -> Result<()> {
    let (files, database) = (desk.out("files"), desk.out("practice.fdb"));
    let line =
        format!("rsync -a {} {} rsync://192.168.1.40/backup/", files.display(), database.display());
    net.server.run(&line).map(drop)
}

/// The reception's day.
fn write_notes(net: &Net, desk: &Desk) -> Result<()> {
    let mut sql = String::new();
    for n in 0..NOTES {
        // writing into a string cannot fail
        _ = writeln!(sql, "insert into notes values({n}, '{}');", "x".repeat(NOTE_BYTES));
    }
    sql += "commit;\n";
    let sql = desk.put("notes.sql", sql.as_bytes())?;
    let database = format!("192.168.1.10/3050:{}", desk.out("practice.fdb").display());
    let line = format!("isql-fb -q -user sysdba -password masterkey -i {sql} {database}");
    net.reception.run(&line).map(drop)
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
    let (database, kept) = (desk.out("practice.fdb"), desk.out("store/practice.fdb"));
    desk.put("files/letters/today.txt", b"Dear patient,\n")?;
    // the copy of last night is as large, because the file was: pages are made ahead
    job::run(&["truncate", "-r", &database.to_string_lossy(), &kept.to_string_lossy()])?;
    job::run(&["touch", "-r", &kept.to_string_lossy(), &database.to_string_lossy()])?;
    copy(net, desk)
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
