//! Remote desktops: one that insists on a log-on first, with its truth, and two old ones.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use super::house::keep;
use super::persons::{ASSISTANT, DOCTOR};
use super::{Lab, Logon, OUTER, Part, Truth, plant, spoken};
use crate::lab::ns::Ns;
use crate::lab::software;

/// Passwords tried from one address before the right one.
const GUESSES: usize = 12;
/// The desktop inside.
const INSIDE: &str = "192.168.1.20:3389";
const DESK: (&str, u16) = ("192.168.1.20", 3389);
/// The password that its doctor has.
const RIGHT: &str = "invented";
/// Who guesses.
const STRANGER: &str = "203.0.113.66";
/// The doctor's home.
const HOME: &str = "203.0.113.7";
/// Who looks and goes.
const SCANNER: &str = "203.0.113.99";
/// The reception's address.
const RECEPTION: &str = "192.168.1.101";

/// What runs on a desktop: something moves.
const PROGRAM: &str = "ico -sleep 1";

/// Log-ons from the internet, from inside, right, wrong and abandoned.
pub(super) static DESKTOP: Part = Part {
    name: "desktop",
    what: "FreeRDP's shadow server with a SAM file, forwarded from outer port 2299",
    tools: &[
        software::REMOTE_DESKTOP,
        &[("socat", "socat"), ("timeout", "coreutils"), ("ico", "x11-apps")],
    ],
    start: |lab| {
        keep(lab, software::screen(&lab.desktop, 5, &lab.desk))?;
        keep(lab, lab.desktop.start(&format!("env DISPLAY=:5 {PROGRAM}"), &lab.desk.dir))?;
        keep(lab, software::screen(&lab.site.outside, 6, &lab.desk))?;
        keep(lab, software::screen(&lab.reception, 6, &lab.desk))?;
        sleep(Duration::from_secs(1));
        keep(lab, software::shadow(&lab.desktop, &[(DOCTOR, RIGHT)], &lab.desk))?;
        software::listens(&lab.desktop, 3389)
    },
    play: play_desktop,
    plants: &[
        plant("exposure.rdp", "high", "192.168.1.20"),
        plant("desktop.guessing", "high", "192.168.1.20"),
        plant("desktop.guessed", "critical", "192.168.1.20"),
    ],
    speaks: &[spoken("rdp", "192.168.1.20", 3389), spoken("rdp", OUTER, 2299)],
};

/// From where to where somebody logs on.
#[derive(Clone, Copy)]
struct Way<'a> {
    from: &'a Ns,
    client: &'static str,
    to: &'a str,
    /// Option of the client about TLS, or nothing.
    tls: &'static str,
}

/// The client agrees to TLS 1.2 only.
const OLD_TLS: &str = "+enforce-tlsv1_2";

impl Way<'_> {
    /// One log-on by xfreerdp, with further options; it may fail.
    fn try_it(&self, lab: &Lab, password: &str, more: &str) -> Result<()> {
        let home = lab.desk.dir.display();
        self.from.attempt(&format!(
            "env HOME={home} DISPLAY=:6 timeout 5 xfreerdp /v:{} /u:{DOCTOR} {password} \
             /sec:nla {} {more}",
            self.to, self.tls
        ))
    }

    fn log_on(&self, lab: &Lab, truth: Truth, number: usize) -> Result<()> {
        lab.logons.borrow_mut().push(Logon { to: DESK, client: self.client, truth });
        let wrong = format!("/p:guess{number}");
        let right = format!("/p:{RIGHT}");
        match truth {
            Truth::Right => self.try_it(lab, &right, "/cert:ignore +auth-only"),
            Truth::Wrong => self.try_it(lab, &wrong, "/cert:ignore +auth-only"),
            // the certificate is not to the client's taste
            Truth::Abandoned => self.try_it(lab, &right, "/cert:deny"),
        }
    }
}

fn play_desktop(lab: &Lab) -> Result<()> {
    let outer = format!("{OUTER}:2299");
    let from = |client| Way { from: &lab.site.outside, client, to: &outer, tls: "" };
    lab.outside_is(STRANGER)?;
    for number in 0..GUESSES {
        from(STRANGER).log_on(lab, Truth::Wrong, number)?;
    }
    from(STRANGER).log_on(lab, Truth::Right, 0)?;
    work(lab, &from(STRANGER))?;
    lab.outside_is(HOME)?;
    from(HOME).log_on(lab, Truth::Wrong, 0)?;
    from(HOME).log_on(lab, Truth::Right, 0)?;
    work(lab, &from(HOME))?;
    lab.outside_is(SCANNER)?;
    from(SCANNER).log_on(lab, Truth::Abandoned, 0)?;
    look(lab, &outer)?;
    // the reception mistypes, gets in, thinks better of it; by new TLS and by old
    let course = [Truth::Wrong, Truth::Right, Truth::Abandoned, Truth::Wrong, Truth::Right];
    for tls in ["", OLD_TLS] {
        let way = Way { from: &lab.reception, client: RECEPTION, to: INSIDE, tls };
        for (number, truth) in course.into_iter().enumerate() {
            way.log_on(lab, truth, number)?;
        }
        work(lab, &way)?;
    }
    Ok(())
}

/// A log-on after which the desktop is shown for a while.
fn work(lab: &Lab, way: &Way<'_>) -> Result<()> {
    lab.logons.borrow_mut().push(Logon { to: DESK, client: way.client, truth: Truth::Right });
    way.try_it(lab, &format!("/p:{RIGHT}"), "/cert:ignore")
}

/// Somebody asks what listens there, gets the answer, and goes.
fn look(lab: &Lab, outer: &str) -> Result<()> {
    lab.logons.borrow_mut().push(Logon { to: DESK, client: SCANNER, truth: Truth::Abandoned });
    let request = lab.desk.put("x224-request.bin", &software::rdp_request("scanner"))?;
    lab.site.outside.attempt(&format!(
        "socat -t 1 OPEN:{request},rdonly!!OPEN:/dev/null,wronly TCP4:{outer},connect-timeout=3"
    ))
}

/// A log-on by the tunnel of [`super::remote`].
pub(super) fn through_tunnel(lab: &Lab, client: &'static str) -> Result<()> {
    let way = Way { from: &lab.site.outside, client, to: INSIDE, tls: "" };
    way.log_on(lab, Truth::Right, 0)
}

/// Two servers that ask for no password before the screen.
pub(super) static TERMINAL: Part = Part {
    name: "terminal",
    what: "xrdp twice: with RDP's own encryption, and with TLS and a session on a real X server",
    tools: &[
        software::REMOTE_DESKTOP,
        &[("xrdp", "xrdp"), ("openssl", "openssl"), ("useradd", "passwd"), ("ico", "x11-apps")],
        &[("/usr/lib/xorg/modules/libxorgxrdp.so", "xorgxrdp")],
    ],
    start: start_terminal,
    play: |lab| {
        let home = lab.desk.dir.display();
        let (to, client) = (("192.168.1.22", 3390), RECEPTION);
        lab.logons.borrow_mut().push(Logon { to, client, truth: Truth::Right });
        for (to, security) in [("192.168.1.21:3389", "rdp"), ("192.168.1.22:3390", "tls")] {
            lab.reception.attempt(&format!(
                "env HOME={home} DISPLAY=:6 timeout 8 xfreerdp /v:{to} /cert:ignore \
                 /u:{ASSISTANT} /p:{RIGHT} /sec:{security}"
            ))?;
        }
        Ok(())
    },
    plants: &[
        plant("desktop.standard-security", "high", "192.168.1.21"),
        plant("desktop.no-nla", "medium", "192.168.1.22"),
    ],
    speaks: &[spoken("rdp", "192.168.1.21", 3389), spoken("rdp", "192.168.1.22", 3390)],
};

fn start_terminal(lab: &Lab) -> Result<()> {
    let (key, cert) = (lab.desk.out("xrdp.key"), lab.desk.out("xrdp.crt"));
    let (key, cert) = (key.display(), cert.display());
    lab.terminal.run(&format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 3650 -subj /CN=terminal -keyout {key} \
         -out {cert}"
    ))?;
    start_sessions(lab)?;
    let given = fs::read_to_string("/etc/xrdp/xrdp.ini")?;
    let servers = [
        (&lab.terminal, "rdp", "tcp://192.168.1.21:3389"),
        (&lab.old, "tls", "tcp://192.168.1.22:3390"),
    ];
    for (ns, layer, port) in servers {
        let settings: Vec<String> = given
            .lines()
            .map(|line| match line.split('=').next() {
                Some("port") if line == "port=3389" => format!("port={port}"),
                Some("security_layer") => format!("security_layer={layer}"),
                Some("certificate") => format!("certificate={cert}"),
                Some("key_file") => format!("key_file={key}"),
                _ => line.to_owned(),
            })
            .collect();
        let file = lab.desk.put(&format!("xrdp-{layer}.ini"), settings.join("\n").as_bytes())?;
        // each looks for the other's process id, and would not start
        for id in ["/run/xrdp/xrdp.pid", "/run/xrdp.pid"] {
            let _ = fs::remove_file(id);
        }
        keep(lab, ns.start(&format!("xrdp --nodaemon --config {file}"), &lab.desk.dir))?;
        software::listens(ns, if layer == "rdp" { 3389 } else { 3390 })?;
    }
    Ok(())
}

/// Who may have a session on the second server, and what it shows.
fn start_sessions(lab: &Lab) -> Result<()> {
    let home = lab.desk.out("assistant");
    let secret = lab.old.run(&format!("openssl passwd -6 {RIGHT}"))?;
    lab.old.run(&format!(
        "useradd -m -d {} -s /bin/sh -p {} {ASSISTANT}",
        home.display(),
        secret.trim()
    ))?;
    fs::write("/etc/xrdp/startwm.sh", "#!/bin/sh\nexec ico -sleep 0.3\n")?;
    fs::create_dir_all("/run/xrdp/sockdir")?;
    lab.old.run("chmod 1777 /run/xrdp/sockdir")?;
    // X servers leave sockets and locks in /tmp: in one of their own
    let own = "mount -t tmpfs -o mode=1777 tmpfs /tmp && exec xrdp-sesman --nodaemon";
    keep(lab, lab.old.start_argv(&["sh", "-c", own], &lab.desk.dir))?;
    software::listens(&lab.old, 3350)
}
