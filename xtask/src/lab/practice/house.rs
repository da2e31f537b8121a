//! What a network needs before anybody works: addresses and names, and a domain.

use std::fs;
use std::time::Duration;

use anyhow::{Result, bail};

use super::persons::{CLERK, SCANNED};
use super::{Lab, Part, plant, spoken};
use crate::lab::job::{self, Job};
use crate::lab::scenes::servers::{self, CURL, DIG};

/// Where updates come from, on the internet.
const UPDATES: &str = "203.0.113.80";

/// Addresses, names, a page from the internet.
pub(super) static NAMES: Part = Part {
    name: "names",
    what: "dnsmasq on the router (DHCP, DNS), NetBIOS names, an update server outside (TLS)",
    tools: &[&[
        ("dnsmasq", "dnsmasq-base"),
        ("dig", "bind9-dnsutils"),
        ("udhcpc", "udhcpc"),
        ("nmblookup", "samba-common-bin"),
        ("curl", "curl"),
        ("openssl", "openssl"),
    ]],
    start: start_names,
    play: play_names,
    plants: &[plant("lan.names-asked", "low", "192.168.1.101")],
    speaks: &[
        spoken("dhcp", "", 67),
        spoken("dns", "192.168.1.1", 53),
        spoken("nbns", "", 137),
        spoken("tls", UPDATES, 443),
    ],
};

fn start_names(lab: &Lab) -> Result<()> {
    lab.keep(servers::dnsmasq(
        &lab.site.router,
        &lab.desk,
        &[
            "--interface=eth0",
            "--bind-interfaces",
            "--local=/updates.example/",
            "--domain=practice.example",
            "--dhcp-range=192.168.1.101,192.168.1.101,12h",
            "--dhcp-option=option:dns-server,192.168.1.2",
            "--no-ping",
            "--host-record=updates.example,203.0.113.80",
        ],
    )?);
    lab.site.outside.run(&format!("ip addr add {UPDATES}/32 dev lo"))?;
    lab.keep(servers::tls_web(&lab.site.outside, UPDATES, "updates.example", &lab.desk)?);
    Ok(())
}

fn play_names(lab: &Lab) -> Result<()> {
    let pc = &lab.reception;
    servers::lease(pc, &lab.desk, "reception", false)?;
    pc.run(&format!("{DIG} @192.168.1.1 updates.example A"))?;
    let ca = lab.desk.out("tls.crt");
    let at = format!("--resolve updates.example:443:{UPDATES}");
    pc.run(&format!("{CURL} --cacert {} {at} https://updates.example/", ca.display()))?;
    pc.attempt("nmblookup -s /dev/null -B 192.168.1.255 OLD-SERVER")
}

/// What a domain is made from; packages without a program of their own go with it.
const DOMAIN_FILE: &str = "/usr/share/samba/setup/provision.ldif";
const REALM: &str = "PRACTICE.EXAMPLE";
const PASSWORD: &str = "Invented-1234";

/// Samba as the domain controller; a clerk logs on and works there.
pub(super) static DOMAIN: Part = Part {
    name: "domain",
    what: "Samba as domain controller (Kerberos, LDAP, DNS, SMB with signatures), clients",
    tools: &[&[
        ("samba", "samba"),
        (DOMAIN_FILE, "samba-ad-provision"),
        (DOMAIN_FILE, "samba-dsdb-modules"),
        (DOMAIN_FILE, "samba-vfs-modules"),
        ("samba-tool", "samba-common-bin"),
        ("winbindd", "winbind"),
        ("smbclient", "smbclient"),
        ("rpcclient", "smbclient"),
        ("kinit", "krb5-user"),
        ("net", "samba-common-bin"),
        ("ldapsearch", "ldap-utils"),
        ("dig", "bind9-dnsutils"),
    ]],
    start: start_domain,
    play: play_domain,
    plants: &[],
    speaks: &[
        spoken("dns", "192.168.1.2", 53),
        spoken("kerberos", "192.168.1.2", 88),
        spoken("ldap", "192.168.1.2", 389),
        spoken("cldap", "192.168.1.2", 389),
        spoken("smb", "192.168.1.2", 445),
        spoken("dcerpc", "192.168.1.2", 135),
    ],
};

/// Longest that making the domain may take.
const PROVISION: Duration = Duration::from_mins(2);

fn start_domain(lab: &Lab) -> Result<()> {
    let dc = lab.desk.out("dc");
    fs::create_dir_all(dc.join("files"))?;
    let dir = dc.display().to_string();
    job::run(&["chmod", "777", &format!("{dir}/files")])?;
    let options = [
        format!("--targetdir={dir}"),
        format!("--adminpass={PASSWORD}"),
        format!("--option=ncalrpc dir={dir}/ncalrpc"),
        format!("--option=pid directory={dir}"),
    ];
    let mut argv = vec!["samba-tool", "domain", "provision", "--realm", REALM];
    argv.extend(["--domain=PRACTICE", "--server-role=dc", "--dns-backend=SAMBA_INTERNAL"]);
    argv.extend(["--host-name=dc", "--host-ip=192.168.1.2"]);
    argv.extend(["--option=interfaces=192.168.1.2", "--option=bind interfaces only=yes"]);
    argv.extend(["--option=vfs objects=dfs_samba4 acl_xattr", "--option=log file="]);
    argv.extend(["--option=dns forwarder=192.168.1.1"]);
    argv.extend(options.iter().map(String::as_str));
    let mut provision = lab.dc.start_argv(&argv, &lab.desk.dir)?;
    let said = provision.wait_end(PROVISION)?;
    if !said.contains("DOMAIN SID") {
        bail!("samba-tool made no domain (is samba-ad-provision there?): {said}");
    }
    let made = dc.join("etc/smb.conf");
    // one line more in [global], and a share
    let settings = fs::read_to_string(&made)?.replacen(
        "[global]",
        "[global]\nserver services = s3fs,rpc,ldap,cldap,kdc,dns,winbindd",
        1,
    ) + &format!("\n[files]\npath = {dir}/files\nread only = no\n");
    fs::write(&made, settings)?;
    fs::copy(dc.join("private/krb5.conf"), "/etc/krb5.conf")?;
    let made = made.display();
    let samba = format!("samba --interactive --configfile={made} --debug-stdout");
    lab.keep(lab.dc.start(&samba, &lab.desk.dir)?);
    ready(lab)?;
    lab.dc.run(&format!("samba-tool user create -s {made} {CLERK} {PASSWORD}"))?;
    // what samba_spnupdate does in its own time
    lab.dc.run(&format!("samba-tool spn add -s {made} ldap/dc.practice.example DC$"))?;
    let own = lab.desk.out("client");
    fs::create_dir_all(&own)?;
    let own = own.display();
    let client = format!(
        "[global]\nworkgroup = PRACTICE\nrealm = {REALM}\nlock directory = {own}\n\
         private dir = {own}\nstate directory = {own}\ncache directory = {own}\n"
    );
    lab.desk.put("client.conf", client.as_bytes()).map(drop)
}

/// Waits until the controller knows its own name and gives out tickets.
fn ready(lab: &Lab) -> Result<()> {
    for port in [53, 88, 389, 445] {
        crate::lab::software::listens(&lab.dc, port)?;
    }
    for _ in 0..20 {
        let line = format!("{DIG} +short @192.168.1.2 dc.practice.example A");
        if lab.dc.run(&line).is_ok_and(|said| said.contains("192.168.1.2")) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    bail!("the domain controller does not answer for its own name")
}

fn play_domain(lab: &Lab) -> Result<()> {
    let pc = &lab.reception;
    let config = lab.desk.out("client.conf").display().to_string();
    let who = format!("{CLERK}@{REALM}%{PASSWORD}");
    pc.run(&format!("{DIG} @192.168.1.2 _ldap._tcp.practice.example SRV"))?;
    let document = lab.desk.put("document.txt", b"scanned\n")?;
    let put = format!("put {document} {SCANNED}.txt; ls");
    for kerberos in ["required", "off"] {
        let line = format!(
            "smbclient -s {config} //dc.practice.example/files -U {who} \
             --use-kerberos={kerberos} --client-protection=sign -c"
        );
        let mut argv = job::words(&line);
        argv.push(&put);
        pc.run_argv(&argv)?;
    }
    let server = "dc.practice.example";
    // a ticket, and what it opens
    let tickets = format!("KRB5CCNAME=FILE:{}", lab.desk.out("tickets").display());
    let log_on = format!("echo {PASSWORD} | {tickets} kinit {CLERK}@{REALM}");
    pc.run_argv(&["sh", "-c", &log_on])?;
    let by = format!("-s {config} --use-kerberos=required");
    let search = format!("env {tickets} USER=root net ads search -S {server} {by}");
    pc.run(&format!("{search} (sAMAccountName={CLERK}) dn"))?;
    // where an interface listens; that it then asks for more than a password does not matter
    let ask = format!("rpcclient -s {config} -U {who} -c getusername");
    pc.attempt(&format!("{ask} ncacn_ip_tcp:{server}[sign]"))?;
    pc.run(&format!("net ads info -s {config} -S {server}"))?;
    // with STARTTLS, by a program that knows no Kerberos
    let ldap = format!(
        "env LDAPTLS_REQCERT=never ldapsearch -ZZ -LLL -H ldap://{server} -x \
         -D {CLERK}@practice.example -w {PASSWORD} -b DC=practice,DC=example \
         (sAMAccountName={CLERK}) dn"
    );
    pc.run(&ldap).map(drop)
}

/// Keeps a server, if it started, until the day is over.
pub(super) fn keep(lab: &Lab, job: Result<Job>) -> Result<()> {
    lab.keep(job?);
    Ok(())
}
