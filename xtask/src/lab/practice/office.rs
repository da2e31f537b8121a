//! Files, mail, and the devices in the corridor.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::house::keep;
use super::persons::{FILED, MAILED, TYPED, WRITTEN};
use super::{Lab, Part, plant, spoken};
use crate::lab::job;
use crate::lab::scenes::servers::CURL;
use crate::lab::software;

/// A file server that asks for no signatures.
pub(super) static FILES: Part = Part {
    name: "files",
    what: "Samba as a file server that lets everybody in and asks for no signatures",
    tools: &[&[("smbd", "samba"), ("smbclient", "smbclient")]],
    start: |lab| {
        keep(lab, software::file_server(&lab.files, "192.168.1.13", &lab.desk, true))?;
        software::listens(&lab.files, 445)
    },
    play: play_files,
    plants: &[plant("lan.smb-unsigned", "info", "192.168.1.13")],
    speaks: &[spoken("smb", "192.168.1.13", 445)],
};

fn play_files(lab: &Lab) -> Result<()> {
    let letter = lab.desk.put("letter.txt", b"Dear colleague,\n")?;
    let config = lab.desk.out("smb.conf").display().to_string();
    let put = format!("put {letter} Letter-{FILED}.txt; ls");
    lab.reception
        .run_argv(&["smbclient", "-s", &config, "-N", "//192.168.1.13/files", "-c", &put])
        .map(drop)
}

/// A mail server, a client with encryption, and one without.
pub(super) static MAIL: Part = Part {
    name: "mail",
    what: "Postfix and Dovecot; mail sent with STARTTLS, a box read with it and without",
    tools: &[&[
        ("postfix", "postfix"),
        ("dovecot", "dovecot-imapd"),
        ("curl", "curl"),
        ("openssl", "openssl"),
    ]],
    start: start_mail,
    play: play_mail,
    plants: &[plant("lan.clear-logon", "medium", "192.168.1.12")],
    speaks: &[spoken("smtp", "192.168.1.12", 25), spoken("imap", "192.168.1.12", 143)],
};

/// Whose mail boxes are: no user of the machine.
const UID: u32 = 1000;

const MASTER: &str = "\
smtp inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
";

fn start_mail(lab: &Lab) -> Result<()> {
    let desk = &lab.desk;
    let (key, cert) = (desk.out("mail.key"), desk.out("mail.crt"));
    let (key, cert) = (key.display(), cert.display());
    lab.mail.run(&format!(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 \
         -subj /CN=mail.practice.example -keyout {key} -out {cert}"
    ))?;
    for folder in ["mail", "postfix", "postfix-queue", "postfix-data"] {
        std::fs::create_dir_all(desk.out(folder))?;
    }
    let dir = desk.dir.display();
    job::run(&["chown", &format!("{UID}:{UID}"), &format!("{dir}/mail")])?;
    job::run(&["chown", "postfix", &format!("{dir}/postfix-data")])?;
    desk.put("postfix/master.cf", MASTER.as_bytes())?;
    let main = format!(
        "compatibility_level = 3.6\nqueue_directory = {dir}/postfix-queue\n\
         data_directory = {dir}/postfix-data\nmail_owner = postfix\nsetgid_group = postdrop\n\
         command_directory = /usr/sbin\ndaemon_directory = /usr/lib/postfix/sbin\n\
         myhostname = mail.practice.example\nmydestination =\ninet_interfaces = 192.168.1.12\n\
         inet_protocols = ipv4\nmynetworks = 192.168.1.0/24\nmaillog_file = /dev/stdout\n\
         virtual_mailbox_domains = practice.example\nvirtual_mailbox_base = {dir}/mail\n\
         virtual_mailbox_maps = static:office/\nvirtual_uid_maps = static:{UID}\n\
         virtual_gid_maps = static:{UID}\nalias_maps =\nalias_database =\n\
         smtpd_tls_cert_file = {cert}\nsmtpd_tls_key_file = {key}\n\
         smtpd_tls_security_level = may\nsmtpd_relay_restrictions = permit_mynetworks, reject\n"
    );
    desk.put("postfix/main.cf", main.as_bytes())?;
    keep(lab, lab.mail.start(&format!("postfix -c {dir}/postfix start-fg"), &desk.dir))?;
    let dovecot = format!(
        "protocols = imap\nlisten = 192.168.1.12\nbase_dir = /run/dovecot\n\
         log_path = /dev/stderr\nmail_location = maildir:{dir}/mail/office\nssl = yes\n\
         ssl_cert = <{cert}\nssl_key = <{key}\ndisable_plaintext_auth = no\n\
         passdb {{\n driver = passwd-file\n args = scheme=plain {dir}/boxes\n}}\n\
         userdb {{\n driver = static\n args = uid={UID} gid={UID} home={dir}/mail\n}}\n"
    );
    desk.put("boxes", b"office:{plain}invented\n")?;
    let dovecot = desk.put("dovecot.conf", dovecot.as_bytes())?;
    keep(lab, lab.mail.start(&format!("dovecot -F -c {dovecot}"), &desk.dir))?;
    software::listens(&lab.mail, 25)?;
    software::listens(&lab.mail, 143)
}

fn play_mail(lab: &Lab) -> Result<()> {
    let send = |encrypted: &str, name: &str| {
        let text = format!(
            "From: lab@practice.example\r\nTo: office@practice.example\r\n\
             Subject: Results of {name}\r\n\r\n{name} is well.\r\n"
        );
        let file = lab.desk.put("mail.txt", text.as_bytes())?;
        lab.reception.run(&format!(
            "{CURL} {encrypted} smtp://192.168.1.12/reception.practice.example \
             --mail-from lab@practice.example --mail-rcpt office@practice.example -T {file}"
        ))
    };
    send("-k --ssl-reqd", MAILED)?;
    send("", WRITTEN)?;
    sleep(Duration::from_secs(1)); // delivered
    let read = |encrypted: &str, number: u8| {
        lab.reception.run(&format!(
            "{CURL} {encrypted} -u office:invented imap://192.168.1.12/INBOX;MAILINDEX={number}"
        ))
    };
    read("-k --ssl-reqd", 1)?;
    read("", 2).map(drop)
}

/// A printer or switch with the passwords that it came with.
pub(super) static DEVICES: Part = Part {
    name: "devices",
    what: "a device that answers SNMP by `public`, and is managed by telnet",
    tools: &[&[
        ("snmpd", "snmpd"),
        ("snmpget", "snmp"),
        ("telnetd", "inetutils-telnetd"),
        ("telnet", "telnet"),
        ("socat", "socat"),
    ]],
    start: |lab| {
        let config = "rocommunity public\nagentaddress udp:192.168.1.30:161\n";
        let config = lab.desk.put("snmpd.conf", config.as_bytes())?;
        let id = lab.desk.out("snmpd.pid");
        let line = format!("snmpd -f -Lo -C -c {config} -p {}", id.display());
        keep(lab, lab.device.start(&line, &lab.desk.dir))?;
        let listen = "TCP4-LISTEN:23,bind=192.168.1.30,reuseaddr,fork";
        let argv = ["socat", "-d", "-d", listen, "EXEC:telnetd -h,nofork"];
        keep(lab, lab.device.start_argv(&argv, &lab.desk.dir))?;
        software::listens(&lab.device, 23)
    },
    play: |lab| {
        let ask = "snmpget -v2c -c public 192.168.1.30 1.3.6.1.2.1.1.5.0";
        lab.reception.run(ask)?;
        let talk = format!(
            "(sleep 1; echo {TYPED}; sleep 1; echo wrong; sleep 1) | timeout 6 telnet 192.168.1.30"
        );
        // it is refused, and hangs up
        lab.reception.run_argv(&["sh", "-c", &format!("{talk}; true")]).map(drop)
    },
    plants: &[
        plant("lan.snmp-default", "medium", "192.168.1.30"),
        plant("lan.telnet", "medium", "192.168.1.30"),
    ],
    speaks: &[spoken("snmp", "192.168.1.30", 161), spoken("telnet", "192.168.1.30", 23)],
};
