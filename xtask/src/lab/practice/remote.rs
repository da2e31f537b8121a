//! Other ways in from the internet: a tunnel, a command line, a screen that nobody guards.

use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};

use super::house::keep;
use super::{Lab, OUTER, Part, desktop, plant, spoken};
use crate::lab::scenes::servers::Ssh;
use crate::lab::software;

/// The remote worker's address on the internet, and inside the tunnel.
const HOME: &str = "203.0.113.21";
const TUNNEL: &str = "10.8.0.2";

/// WireGuard in user space on the router; the doctor opens the desktop through it.
pub(super) static VPN: Part = Part {
    name: "vpn",
    what: "wireguard-go on the router; a remote worker opens the desktop through it",
    tools: &[
        software::REMOTE_DESKTOP,
        &[("wireguard-go", "wireguard-go"), ("wg", "wireguard-tools")],
    ],
    start: start_vpn,
    play: |lab| {
        lab.outside_is(HOME)?;
        lab.site.outside.run("ping -n -c 2 -i 0.3 10.8.0.1")?;
        desktop::through_tunnel(lab, TUNNEL)
    },
    plants: &[
        plant("access.vpn", "good", OUTER),
        plant("access.desktop-through-vpn", "good", "192.168.1.20"),
        plant("access.desktop-both-ways", "medium", "192.168.1.20"),
    ],
    speaks: &[spoken("wireguard", OUTER, 51820)],
};

fn start_vpn(lab: &Lab) -> Result<()> {
    let (router, outside) = (&lab.site.router, &lab.site.outside);
    let mut ends = Vec::new();
    for (ns, dev) in [(router, "wg0"), (outside, "wg1")] {
        let secret = ns.run("wg genkey")?;
        let file = lab.desk.put(&format!("{dev}.key"), secret.as_bytes())?;
        ns.run(&format!("chmod 600 {file}"))?;
        let public = ns.run_argv(&["sh", "-c", &format!("wg pubkey < {file}")])?;
        keep(lab, ns.start(&format!("wireguard-go -f {dev}"), &lab.desk.dir))?;
        ends.push((file, public.trim().to_owned()));
    }
    sleep(Duration::from_secs(1));
    let [(router_key, router_public), (home_key, home_public)] = ends.as_slice() else {
        bail!("a tunnel has two ends");
    };
    router.run(&format!(
        "wg set wg0 private-key {router_key} listen-port 51820 peer {home_public} \
         allowed-ips {TUNNEL}/32"
    ))?;
    outside.run(&format!(
        "wg set wg1 private-key {home_key} peer {router_public} endpoint {OUTER}:51820 \
         allowed-ips 10.8.0.0/24,192.168.1.0/24"
    ))?;
    for (ns, dev, address) in [(router, "wg0", "10.8.0.1"), (outside, "wg1", TUNNEL)] {
        ns.run(&format!("ip addr add {address}/24 dev {dev}"))?;
        ns.run(&format!("ip link set {dev} up"))?;
    }
    outside.run("ip route add 192.168.1.0/24 dev wg1").map(drop)
}

/// OpenSSH with keys only, forwarded.
pub(super) static SHELL: Part = Part {
    name: "shell",
    what: "OpenSSH on the server, forwarded from outer port 2222",
    tools: &[&[("sshd", "openssh-server"), ("ssh", "openssh-client")]],
    start: |_| std::fs::create_dir_all("/run/sshd").map_err(Into::into),
    play: |lab| {
        let ssh = Ssh::start(&lab.server, "192.168.1.10", &lab.desk)?;
        lab.outside_is("203.0.113.30")?;
        ssh.login(&lab.site.outside, &format!("{OUTER} -p 2222"), "true")?;
        ssh.login(&lab.reception, "192.168.1.10", "true")
    },
    plants: &[plant("exposure.ssh", "medium", "192.168.1.10")],
    speaks: &[spoken("ssh", "192.168.1.10", 22), spoken("ssh", OUTER, 2222)],
};

/// VNC, forwarded and forgotten.
pub(super) static SCREEN: Part = Part {
    name: "screen",
    what: "x11vnc on an assistant's computer, forwarded from outer port 2300",
    tools: &[&[("x11vnc", "x11vnc"), ("vncviewer", "tigervnc-viewer"), ("Xvfb", "xvfb")]],
    start: |lab| {
        keep(lab, software::screen(&lab.assistant, 7, &lab.desk))?;
        keep(lab, software::screen(&lab.site.outside, 8, &lab.desk))?;
        sleep(Duration::from_secs(1));
        let secret = lab.desk.out("vnc.secret").display().to_string();
        lab.assistant.run(&format!("x11vnc -storepasswd invented {secret}"))?;
        let line = format!(
            "x11vnc -display :7 -rfbport 5900 -forever -rfbauth {secret} -noipv6 -quiet -noshm"
        );
        keep(lab, lab.assistant.start(&line, &lab.desk.dir))?;
        software::listens(&lab.assistant, 5900)
    },
    play: |lab| {
        lab.outside_is("203.0.113.50")?;
        let (home, secret) = (lab.desk.dir.display(), lab.desk.out("vnc.secret"));
        lab.site.outside.attempt(&format!(
            "env HOME={home} DISPLAY=:8 timeout 4 vncviewer -passwd {} {OUTER}::2300",
            secret.display()
        ))
    },
    plants: &[plant("exposure.remote-access", "critical", "192.168.1.23")],
    speaks: &[spoken("vnc", "192.168.1.23", 5900), spoken("vnc", OUTER, 2300)],
};
