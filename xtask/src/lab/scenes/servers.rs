//! Everyday clients and servers on one cable.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::lab::Desk;
use crate::lab::job::Job;
use crate::lab::ns::{Ns, Pair};

/// curl without the caller's configuration or proxies, at most 10 s.
pub(in crate::lab) const CURL: &str = "curl -q -s -S --noproxy * --max-time 10 -o /dev/null";
/// dig without the caller's configuration.
pub(in crate::lab) const DIG: &str = "dig -r +tries=1 +time=3";

/// ARP, echo, reply.
pub(super) fn ping(desk: &Desk) -> Result<()> {
    let pair = Pair::wire()?;
    let dump = pair.a.dump("eth0", &desk.out("ping.pcap"), "")?;
    pair.a.run("ping -n -c 3 -i 0.2 192.0.2.2")?;
    pair.a.run("ping -n -c 2 -i 0.2 -s 1400 192.0.2.2")?;
    dump.stop();
    Ok(())
}

/// Starts dnsmasq in the foreground with nothing from the machine's own configuration.
pub(in crate::lab) fn dnsmasq(ns: &Ns, desk: &Desk, more: &[&str]) -> Result<Job> {
    let lease = format!("--dhcp-leasefile={}", desk.out("leases").display());
    let mut argv = vec!["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-hosts"];
    argv.extend(["--no-resolv", "--user=root", "--group=", "--pid-file=", "--log-facility=-"]);
    argv.push(&lease);
    argv.extend_from_slice(more);
    let mut job = ns.start_argv(&argv, &desk.dir)?;
    job.ready_when("started")?;
    Ok(job)
}

/// DNS with many record types, and one answer that is too long for UDP.
pub(super) fn dns(desk: &Desk) -> Result<()> {
    let pair = Pair::wire()?;
    let many: Vec<String> = (1..=40)
        .map(|n| format!("--host-record=many.practice.example,192.0.2.{}", n + 100))
        .collect();
    let mut config = vec![
        "--listen-address=192.0.2.2",
        "--bind-interfaces",
        "--local=/practice.example/",
        "--host-record=server.practice.example,192.0.2.10,2001:db8::10",
        "--cname=files.practice.example,server.practice.example",
        "--mx-host=practice.example,mail.practice.example,10",
        "--txt-record=practice.example,v=spf1 mx -all",
        "--srv-host=_ldap._tcp.practice.example,server.practice.example,389",
        "--ptr-record=10.2.0.192.in-addr.arpa,server.practice.example",
    ];
    config.extend(many.iter().map(String::as_str));
    let _server = dnsmasq(&pair.b, desk, &config)?;
    let dump = pair.a.dump("eth0", &desk.out("dns.pcap"), "")?;
    for question in [
        "server.practice.example A",
        "server.practice.example AAAA",
        "files.practice.example A",
        "practice.example MX",
        "practice.example TXT",
        "_ldap._tcp.practice.example SRV",
        "-x 192.0.2.10",
        "nobody.practice.example A",
        "+noedns many.practice.example A", // truncated at 512 bytes, then over TCP
    ] {
        pair.a.run(&format!("{DIG} @192.0.2.2 {question}"))?;
    }
    dump.stop();
    Ok(())
}

/// A small web site: a page and 20 kB that do not compress into a pattern.
pub(super) fn site(desk: &Desk) -> Result<String> {
    desk.put(
        "www/index.html",
        b"<!doctype html><title>Practice</title><p>Opening hours: Mon to Fri, 8 to 12.</p>\n",
    )?;
    let mut state = 1_u32;
    let noise: Vec<u8> = (0..20_000)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    desk.put("www/picture.bin", &noise)?;
    Ok(desk.out("www").to_string_lossy().into_owned())
}

/// Starts python3's web server on port 80 of `address`.
pub(super) fn web(ns: &Ns, address: &str, folder: &str, dir: &Path) -> Result<Job> {
    let line = format!("python3 -u -m http.server --bind {address} --directory {folder} 80");
    let mut job = ns.start(&line, dir)?;
    job.ready_when("Serving")?;
    Ok(job)
}

/// Starts a TLS web server with a self-signed certificate for `name` on port 443.
pub(in crate::lab) fn tls_web(ns: &Ns, address: &str, name: &str, desk: &Desk) -> Result<Job> {
    let (key, cert) = (desk.out("tls.key"), desk.out("tls.crt"));
    let (key, cert) = (key.display(), cert.display());
    ns.run(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
         -subj /CN={name} -keyout {key} -out {cert}"
    ))?;
    let mut job = ns.start(
        &format!("openssl s_server -accept {address}:443 -key {key} -cert {cert} -www"),
        &desk.dir,
    )?;
    job.ready_when("ACCEPT")?;
    Ok(job)
}

/// HTTP and HTTPS.
pub(super) fn http(desk: &Desk) -> Result<()> {
    let pair = Pair::wire()?;
    let site = site(desk)?;
    let _web = web(&pair.b, "192.0.2.2", &site, &desk.dir)?;
    let dump = pair.a.dump("eth0", &desk.out("http.pcap"), "")?;
    for path in ["", "picture.bin", "not-there"] {
        pair.a.run(&format!("{CURL} http://192.0.2.2/{path}"))?;
    }
    dump.stop();
    let _tls = tls_web(&pair.b, "192.0.2.2", "server.practice.example", desk)?;
    let dump = pair.a.dump("eth0", &desk.out("https.pcap"), "")?;
    let name = "server.practice.example";
    pair.a.run(&format!("{CURL} -k --resolve {name}:443:192.0.2.2 https://{name}/"))?;
    dump.stop();
    Ok(())
}

/// An OpenSSH server with a fresh host key, and a client key that it accepts.
#[derive(Debug)]
pub(in crate::lab) struct Ssh {
    client_key: String,
    _server: Job,
}

impl Ssh {
    /// Starts the server on port 22 of `address`.
    pub(in crate::lab) fn start(ns: &Ns, address: &str, desk: &Desk) -> Result<Self> {
        let key = |what: &str| desk.out(&format!("{what}-{}", ns.name()));
        let (host, client) = (key("host_key"), key("client_key"));
        for key in [&host, &client] {
            let key = key.to_string_lossy();
            ns.run_argv(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", &key])?;
        }
        let config = format!(
            "ListenAddress {address}\nHostKey {}\nAuthorizedKeysFile {}.pub\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n\
             PrintMotd no\n",
            host.display(),
            client.display()
        );
        let config = desk.put(&format!("sshd_config-{}", ns.name()), config.as_bytes())?;
        let mut server = ns.start(&format!("/usr/sbin/sshd -D -e -f {config}"), &desk.dir)?;
        server.ready_when("Server listening")?;
        Ok(Self { client_key: client.to_string_lossy().into_owned(), _server: server })
    }

    /// Logs in from `ns` and runs `command` there.
    pub(in crate::lab) fn login(&self, ns: &Ns, address: &str, command: &str) -> Result<()> {
        ns.run(&format!("{} root@{address} {command}", self.shell())).map(drop)
    }

    /// The command line of a client that has the key.
    pub(in crate::lab) fn shell(&self) -> String {
        format!(
            "ssh -F /dev/null -i {} -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o ConnectTimeout=10",
            self.client_key
        )
    }
}

/// One login.
pub(super) fn ssh(desk: &Desk) -> Result<()> {
    let pair = Pair::wire()?;
    let ssh = Ssh::start(&pair.b, "192.0.2.2", desk)?;
    let dump = pair.a.dump("eth0", &desk.out("ssh.pcap"), "")?;
    ssh.login(&pair.a, "192.0.2.2", "true")?;
    sleep(Duration::from_millis(200));
    dump.stop();
    Ok(())
}

/// What udhcpc calls: sets the address and the route, touches no file of the machine.
const DHCP_SCRIPT: &str = "#!/bin/sh
case $1 in
deconfig) ip -4 addr flush dev $interface ;;
bound|renew) ip addr add $ip/24 dev $interface; ip route replace default via $router ;;
esac
exit 0
";

/// Runs udhcpc on `eth0` of `ns` until it has an address (and, with `release`, gives it back).
pub(in crate::lab) fn lease(ns: &Ns, desk: &Desk, hostname: &str, release: bool) -> Result<()> {
    let script = desk.put("udhcpc.sh", DHCP_SCRIPT.as_bytes())?;
    ns.run(&format!("chmod 755 {script}"))?;
    let udhcpc = format!("udhcpc -f -n -t 5 -T 2 -i eth0 -x hostname:{hostname} -s {script}");
    if release {
        // with -R it gives the address back when it is asked to end, here after 2 s
        ns.attempt(&format!("timeout 2 {udhcpc} -R"))
    } else {
        ns.run(&format!("{udhcpc} -q")).map(drop)
    }
}

/// Discover, offer, request, acknowledge; release.
pub(super) fn dhcp(desk: &Desk) -> Result<()> {
    let pair = Pair::wire()?;
    pair.a.run("ip addr flush dev eth0")?;
    let _server = dnsmasq(
        &pair.b,
        desk,
        &[
            "--interface=eth0",
            "--bind-interfaces",
            "--dhcp-range=192.0.2.100,192.0.2.120,12h",
            "--dhcp-option=option:router,192.0.2.2",
            "--domain=practice.example",
            "--no-ping",
        ],
    )?;
    let dump = pair.a.dump("eth0", &desk.out("dhcp.pcap"), "")?;
    lease(&pair.a, desk, "reception", true)?;
    dump.stop();
    Ok(())
}
