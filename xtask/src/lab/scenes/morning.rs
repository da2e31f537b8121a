//! A small practice's morning, as a box on the switch's mirror port sees it.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};

use super::servers::{self, CURL, DIG, Ssh};
use crate::lab::Desk;
use crate::lab::file::{self, Frame, Interface, Labels};
use crate::lab::job::{self, Job};
use crate::lab::ns::Ns;
use crate::lab::site::Site;
use crate::lab::software;

/// How it is set, for the README.
pub(super) const SET: &str = "router (192.168.1.1: dnsmasq for DNS, DHCP and router \
    advertisements), server (.10: web, SSH, samba), printer (.30: avahi), reception PC (DHCP) and \
    one host outside, each a namespace with its own kernel stack. The switch is a kernel bridge \
    with spanning tree whose ports learn nothing, so that it sends every frame to every port; \
    the capture is taken at a port where nobody else is: each frame is there once, the switch's \
    own BPDUs too. Offloads are off, frames look as on a wire (without padding and FCS). Frames \
    before the PC's first are cut off. The RDP negotiation (14 and more bytes each way, MS-RDPBCGR \
    2.2.1.1 and 2.2.1.2) is spoken by socat over a real TCP connection";

/// Beyond the base.
pub(super) const TOOLS: &[(&str, &str)] = &[
    ("dnsmasq", "dnsmasq-base"),
    ("dig", "bind9-dnsutils"),
    ("udhcpc", "udhcpc"),
    ("curl", "curl"),
    ("python3", "python3"),
    ("openssl", "openssl"),
    ("sshd", "openssh-server"),
    ("ssh", "openssh-client"),
    ("smbd", "samba"),
    ("smbclient", "smbclient"),
    ("nmblookup", "samba-common-bin"),
    ("avahi-daemon", "avahi-daemon"),
    ("socat", "socat"),
];

/// Plays the morning and writes `practice.pcapng`.
pub(super) fn play(desk: &Desk) -> Result<()> {
    let net = Net::lay()?;
    let raw = desk.out("practice.pcap");
    let dump = net.site.monitor.dump("mirror0", &raw, "--time-stamp-precision=nano")?;
    let servers = Servers::start(&net, desk)?;
    arrive(&net, desk)?;
    work(&net, &servers, desk)?;
    shared_files(&net, desk)?;
    announce(&net, desk)?;
    attempts(&net, desk)?;
    sleep(Duration::from_secs(2)); // one more BPDU
    drop(servers);
    dump.stop();
    label(desk)
}

/// The practice's hosts and cables.
#[derive(Debug)]
struct Net {
    site: Site,
    server: Ns,
    printer: Ns,
    reception: Ns,
}

impl Net {
    /// The router's other side: a host outside, and an update server (203.0.113.0/24, RFC 5737).
    fn lay() -> Result<Self> {
        let spanning = "stp_state 1 forward_delay 200 mcast_snooping 0";
        let site = Site::lay(spanning, "203.0.113.1/24", "203.0.113.66/24")?;
        site.router.run("ip addr add 203.0.113.80/32 dev lo")?;
        site.outside.run("ip route add 192.168.1.0/24 via 203.0.113.1")?;
        let net = Self {
            server: site.host("server", 10)?,
            printer: site.host("printer", 30)?,
            reception: site.guest("reception", 100)?,
            site,
        };
        sleep(Duration::from_millis(4500)); // listening and learning, 2 s each
        Ok(net)
    }
}

/// The services that run before the practice opens.
#[derive(Debug)]
struct Servers {
    ssh: Ssh,
    _jobs: Vec<Job>,
}

impl Servers {
    fn start(net: &Net, desk: &Desk) -> Result<Self> {
        ipv6_on(&net.site.router)?;
        ipv6_on(&net.server)?;
        net.site.router.run("ip addr add 2001:db8:1::1/64 dev eth0 nodad")?;
        net.server.run("ip addr add 2001:db8:1::10/64 dev eth0 nodad")?;
        let dnsmasq = servers::dnsmasq(
            &net.site.router,
            desk,
            &[
                "--interface=eth0",
                "--bind-interfaces",
                "--local=/practice.example/",
                "--domain=practice.example",
                "--dhcp-range=192.168.1.100,192.168.1.150,12h",
                "--dhcp-range=2001:db8:1::,ra-only",
                "--enable-ra",
                "--no-ping",
                "--host-record=server.practice.example,192.168.1.10,2001:db8:1::10",
                "--host-record=printer.practice.example,192.168.1.30",
                "--host-record=updates.example,203.0.113.80",
            ],
        )?;
        let site = servers::site(desk)?;
        let web = servers::web(&net.server, "::", &site, &desk.dir)?;
        let updates = servers::tls_web(&net.site.router, "203.0.113.80", "updates.example", desk)?;
        let ssh = Ssh::start(&net.server, "192.168.1.10", desk)?;
        sleep(Duration::from_secs(2)); // router advertisement, MLD reports
        Ok(Self { ssh, _jobs: vec![dnsmasq, web, updates] })
    }
}

fn ipv6_on(ns: &Ns) -> Result<()> {
    ns.run("sysctl -q -w net.ipv6.conf.eth0.disable_ipv6=0").map(drop)
}

/// The reception PC is switched on.
fn arrive(net: &Net, desk: &Desk) -> Result<()> {
    let pc = &net.reception;
    servers::lease(pc, desk, "reception", false)?;
    pc.run("ping -n -c 2 -i 0.3 192.168.1.1")?;
    pc.run("ping -n -c 1 192.168.1.10")?;
    ipv6_on(pc)?;
    sleep(Duration::from_secs(3)); // duplicate address detection, solicitation, advertisement
    pc.run("ping -n -6 -c 2 -i 0.3 2001:db8:1::1").map(drop)
}

/// Names, pages, a login.
fn work(net: &Net, servers: &Servers, desk: &Desk) -> Result<()> {
    let pc = &net.reception;
    pc.run(&format!("{DIG} @192.168.1.1 printer.practice.example A"))?;
    pc.run(&format!("{DIG} @192.168.1.1 old-server.practice.example A"))?;
    pc.run(&format!("{CURL} http://server.practice.example/"))?;
    pc.run(&format!("{CURL} -4 http://server.practice.example/picture.bin"))?;
    let ca = desk.out("tls.crt");
    pc.run(&format!("{CURL} --cacert {} https://updates.example/", ca.display()))?;
    pc.run("ping -n -c 1 -s 1400 203.0.113.80")?;
    servers.ssh.login(pc, "192.168.1.10", "true")
}

/// A letter on the server's share.
fn shared_files(net: &Net, desk: &Desk) -> Result<()> {
    desk.put("samba/files/opening-hours.txt", b"Mon to Fri, 8 to 12\n")?;
    let _smbd = software::file_server(&net.server, "192.168.1.10", desk, false)?;
    let config = desk.out("smb.conf");
    let config = config.to_string_lossy();
    sleep(Duration::from_millis(1500));
    let get = format!("get opening-hours.txt {}", desk.out("letter.txt").display());
    net.reception.run_argv(&[
        "smbclient",
        "-s",
        &config,
        "-N",
        "//192.168.1.10/files",
        "-c",
        &get,
    ])?;
    Ok(())
}

/// Broadcast and multicast: a NetBIOS name, a printer that tells its name.
fn announce(net: &Net, desk: &Desk) -> Result<()> {
    net.reception.attempt("nmblookup -s /dev/null -B 192.168.1.255 SERVER")?;
    desk.put(
        "services/ipp.service",
        b"<?xml version=\"1.0\" standalone='no'?>\n\
          <!DOCTYPE service-group SYSTEM \"avahi-service.dtd\">\n<service-group>\
          <name>Printer at reception</name><service><type>_ipp._tcp</type><port>631</port>\
          </service></service-group>\n",
    )?;
    let services = desk.out("services");
    job::run(&["mount", "--bind", &services.to_string_lossy(), "/etc/avahi/services"])?;
    let config = desk.put(
        "avahi.conf",
        b"[server]\nhost-name=printer\nuse-ipv4=yes\nuse-ipv6=no\nenable-dbus=no\n\
          [wide-area]\nenable-wide-area=no\n[publish]\npublish-hinfo=no\npublish-workstation=no\n\
          [reflector]\n[rlimits]\n",
    )?;
    let line =
        format!("avahi-daemon -f {config} --no-drop-root --no-chroot --no-rlimits --no-proc-title");
    let mut avahi = net.printer.start(&line, &desk.dir)?;
    avahi.ready_when("startup complete")?;
    sleep(Duration::from_secs(2));
    net.reception.attempt(&format!("{DIG} -p 5353 @224.0.0.251 printer.local A"))
}

/// Somebody outside looks for remote desktops: 3389 is closed, 2299 answers.
fn attempts(net: &Net, desk: &Desk) -> Result<()> {
    let request = software::rdp_request("reception");
    let length = request.len();
    let request = desk.put("x224-request.bin", &request)?;
    let confirm = desk.put("x224-confirm.bin", &CONNECTION_CONFIRM)?;
    let answer = format!("#!/bin/sh\nhead -c {length} >/dev/null\ncat {confirm}\nsleep 0.3\n");
    let answer = desk.put("answer.sh", answer.as_bytes())?;
    net.server.run(&format!("chmod 755 {answer}"))?;
    let listen = "TCP4-LISTEN:2299,bind=192.168.1.10,reuseaddr";
    let mut server = net.server.start(&format!("socat -d -d {listen} EXEC:{answer}"), &desk.dir)?;
    server.ready_when("listening on")?;
    net.site.outside.attempt("socat -u OPEN:/dev/null TCP4:192.168.1.10:3389,connect-timeout=3")?;
    net.site.outside.attempt(&format!(
        "socat -t 1 OPEN:{request},rdonly!!OPEN:/dev/null,wronly \
         TCP4:192.168.1.10:2299,connect-timeout=3"
    ))
}

/// X.224 connection confirm that selects CredSSP (MS-RDPBCGR 2.2.1.2).
const CONNECTION_CONFIRM: [u8; 19] =
    [3, 0, 0, 19, 14, 0xd0, 0, 0, 0x12, 0x34, 0, 2, 0, 8, 0, 2, 0, 0, 0];

/// Cuts off what came before the PC's first frame, and writes the labels.
fn label(desk: &Desk) -> Result<()> {
    let (linktype, mut frames) = file::read_pcap(&desk.out("practice.pcap"))?;
    let first = number(&frames, &|f| udp(f) == Some((68, 67))).context("no DHCP discover")?;
    frames.drain(..first - 1);
    let wanted: [(&Is, &str); 7] = [
        (
            &|f| udp(f) == Some((68, 67)),
            "The reception PC was just switched on. It has no address yet, so it asks everyone: \
             DHCP discover",
        ),
        (
            &|f| ethertype(f) == Some(0x0806),
            "ARP: who has this IP address, and which MAC do I write on the frame?",
        ),
        (
            &|f| f.starts_with(&[0x01, 0x80, 0xc2, 0, 0, 0]),
            "Spanning tree, from the switch itself: an 802.3 frame with a length where others \
             have a type",
        ),
        (
            &|f| ethertype(f) == Some(0x86dd),
            "The first IPv6 frame: nobody configured it, it is simply on",
        ),
        (&|f| udp(f).is_some_and(|(_, dst)| dst == 53), "DNS: where is this name?"),
        (
            &|f| syn_to(f, 3389),
            "Somebody outside tries the usual door of remote desktops. The server refuses",
        ),
        (
            &|f| syn_to(f, 2299),
            "The same somebody tries an unusual door. This one answers, and what answers is RDP",
        ),
    ];
    let mut comments = Vec::new();
    for (wanted, text) in wanted {
        let at = number(&frames, wanted).with_context(|| format!("no frame for: {text}"))?;
        comments.push((at, text));
    }
    let labels = Labels {
        section: "A small practice's morning, played by real kernels and servers in network \
                  namespaces. All names and addresses are invented; nobody's data is in here",
        interfaces: &[Interface {
            name: "mirror0",
            description: "mirror port of the practice's switch",
            linktype,
        }],
        frames: &comments,
    };
    file::write_pcapng(&desk.out("practice.pcapng"), &frames, &labels)
}

/// A question about one frame.
type Is = dyn Fn(&[u8]) -> bool;

fn number(frames: &[Frame], wanted: &Is) -> Option<usize> {
    frames.iter().position(|frame| wanted(&frame.bytes)).map(|index| index + 1)
}

fn u16_at(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]))
}

fn ethertype(frame: &[u8]) -> Option<u16> {
    u16_at(frame, 12)
}

/// Ports of UDP in IPv4 without options.
fn udp(frame: &[u8]) -> Option<(u16, u16)> {
    let is_udp = ethertype(frame)? == 0x0800 && *frame.get(23)? == 17;
    is_udp.then_some((u16_at(frame, 34)?, u16_at(frame, 36)?))
}

fn syn_to(frame: &[u8], port: u16) -> bool {
    ethertype(frame) == Some(0x0800)
        && frame.get(23) == Some(&6)
        && u16_at(frame, 36) == Some(port)
        && frame.get(47) == Some(&2)
}
