//! A small site: a router, a switch with a mirror port, and the internet behind the router.

use anyhow::Result;

use super::ns::{Bridge, End, Ns, cable};

/// The router's address inside; the hosts' end in a number of their own.
pub(super) const ROUTER: &str = "192.168.1.1";

/// Router, switch, mirror port and outer cable. Its hosts are plugged in one by one.
#[derive(Debug)]
pub(super) struct Site {
    /// 192.168.1.1 on `eth0`; `wan0` is the outer cable.
    pub(super) router: Ns,
    /// The internet, on `eth0`.
    pub(super) outside: Ns,
    /// Hears every frame of the switch on `mirror0`.
    pub(super) monitor: Ns,
    switch: Bridge,
}

impl Site {
    /// With `options` of the switch (see [`Bridge::new`]), and the addresses at the two ends of the
    /// outer cable, with their prefix lengths.
    pub(super) fn lay(options: &str, router: &str, outside: &str) -> Result<Self> {
        let switch = Bridge::new(options)?;
        let site = Self {
            router: Ns::new_ipv4("router")?,
            outside: Ns::new_ipv4("outside")?,
            monitor: Ns::new_ipv4("monitor")?,
            switch,
        };
        site.switch.plug(&site.router, "eth0", 1)?;
        site.switch.plug(&site.monitor, "mirror0", 250)?;
        cable(
            End { ns: &site.router, dev: "wan0", mac: "02:00:00:00:03:01" },
            End { ns: &site.outside, dev: "eth0", mac: "02:00:00:00:03:42" },
        )?;
        site.router.no_offload("wan0")?;
        site.outside.no_offload("eth0")?;
        site.router.run(&format!("ip addr add {ROUTER}/24 dev eth0"))?;
        site.router.run(&format!("ip addr add {router} dev wan0"))?;
        site.router.run("sysctl -q -w net.ipv4.ip_forward=1")?;
        site.outside.run(&format!("ip addr add {outside} dev eth0"))?;
        Ok(site)
    }

    /// A host without an address, plugged into the switch.
    pub(super) fn guest(&self, name: &str, number: u8) -> Result<Ns> {
        let host = Ns::new_ipv4(name)?;
        self.switch.plug(&host, "eth0", number)?;
        Ok(host)
    }

    /// A host with the address 192.168.1.`number`, and the router as its way out.
    pub(super) fn host(&self, name: &str, number: u8) -> Result<Ns> {
        let host = self.guest(name, number)?;
        host.run(&format!("ip addr add 192.168.1.{number}/24 dev eth0"))?;
        host.run(&format!("ip route add default via {ROUTER}"))?;
        Ok(host)
    }

    /// Hides the site behind the router's outer address, and leads ports of that inside:
    /// protocol, outer port, inner address and port.
    pub(super) fn nat(&self, gateway: &str, forwards: &[(&str, u16, &str)]) -> Result<()> {
        self.router.run(&format!("ip route add default via {gateway}"))?;
        let mut lines = vec![
            "add table ip nat".to_owned(),
            "add chain ip nat pre { type nat hook prerouting priority -100 ; }".to_owned(),
            "add chain ip nat post { type nat hook postrouting priority 100 ; }".to_owned(),
            "add rule ip nat post oifname wan0 masquerade".to_owned(),
        ];
        lines.extend(forwards.iter().map(|(proto, port, to)| {
            format!("add rule ip nat pre iifname wan0 {proto} dport {port} dnat to {to}")
        }));
        lines.iter().try_for_each(|line| self.router.run_argv(&["nft", line]).map(drop))
    }

    /// From now on the internet speaks from this address towards the router's outer network.
    pub(super) fn outside_is(&self, address: &str, network: &str) -> Result<()> {
        self.outside.attempt(&format!("ip addr add {address}/32 dev lo"))?;
        let line = format!("ip route replace {network} dev eth0 src {address}");
        self.outside.run(&line).map(drop)
    }
}
