//! Which interfaces are sent by, and whether they may be.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use anyhow::bail;
use nic::link::{self, Link};
use nic::tx::{self, Method, Transmit, TxError};
use replay::prepare::{PortMap, PortSpec};

/// An `-i`: a name, perhaps for one interface of the capture only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Out {
    /// The capture's interface, from 0.
    pub from: Option<u32>,
    /// The name of the device.
    pub name: String,
}

/// What was expected of an [`Out`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected an interface, or N=IFACE with the number of an interface of the capture")]
pub struct OutError;

impl FromStr for Out {
    type Err = OutError;

    fn from_str(text: &str) -> Result<Self, OutError> {
        // a device's name may have a `=` in it, but is no number then
        if let Some((from, name)) = text.split_once('=')
            && !from.is_empty()
            && from.bytes().all(|b| b.is_ascii_digit())
        {
            let from = from.parse().or(Err(OutError))?;
            return Self { from: Some(from), name: name.to_owned() }.checked();
        }
        Self { from: None, name: text.to_owned() }.checked()
    }
}

impl Out {
    fn checked(self) -> Result<Self, OutError> {
        if self.name.is_empty() { Err(OutError) } else { Ok(self) }
    }
}

impl fmt::Display for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => write!(f, "{from}={}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// The interfaces sent by.
#[derive(Debug)]
pub struct Ports {
    /// In the order of [`Ports::map`]'s numbers.
    pub links: Vec<Link>,
    /// Who leaves by which.
    pub map: PortMap,
    /// Open ways out, in the order of the links; empty before [`Ports::open`].
    pub ways: Vec<Box<dyn Transmit>>,
    /// Faster ways that do not work here, by interface.
    pub passed_over: Vec<(String, Method, TxError)>,
    /// What the ways take, where they are no devices.
    other: Option<Vec<PortSpec>>,
}

impl Ports {
    /// Ways that are no devices, which take frames of up to `mtu` bytes and an Ethernet header.
    pub(super) fn of_ways(ways: Vec<Box<dyn Transmit>>, mtu: u32) -> Self {
        let other = Some(ways.iter().map(|_| PortSpec { mtu }).collect());
        Self { links: Vec::new(), map: PortMap::All, ways, passed_over: Vec::new(), other }
    }

    /// Finds the devices and refuses those that are in use.
    pub fn choose(outs: &[Out], on_production: &[String]) -> anyhow::Result<Self> {
        let mut ports = Self {
            links: Vec::new(),
            map: PortMap::All,
            ways: Vec::new(),
            passed_over: Vec::new(),
            other: None,
        };
        let mut map = BTreeMap::new();
        for out in outs {
            let index = ports.index_of(&out.name)?;
            match out.from {
                None if outs.len() > 1 => bail!(
                    "several interfaces: say which frames leave by `{}`, for example -i 0={}",
                    out.name,
                    out.name
                ),
                None => {}
                Some(from) if map.insert(from, index).is_some() => {
                    bail!("interface {from} of the capture is given to two interfaces");
                }
                Some(_) => {}
            }
        }
        if !map.is_empty() {
            ports.map = PortMap::ByInterface(map);
        }
        for name in on_production {
            if !ports.links.iter().any(|link| link.name == *name) {
                bail!("--on-production {name}: nothing is sent by `{name}`");
            }
        }
        for link in &ports.links {
            check(link, on_production)?;
        }
        Ok(ports)
    }

    fn index_of(&mut self, name: &str) -> anyhow::Result<u16> {
        let found = self.links.iter().position(|link| link.name == name);
        let index = if let Some(index) = found {
            index
        } else {
            self.links.push(link::by_name(name)?);
            self.links.len() - 1
        };
        Ok(u16::try_from(index)?)
    }

    /// Opens a way out of each.
    pub fn open(&mut self, method: Option<Method>) -> anyhow::Result<()> {
        for link in &self.links {
            let chosen = tx::choose(link, method)?;
            self.ways.push(chosen.transmit);
            for (method, why) in chosen.passed_over {
                tracing::info!(interface = %link.name, %method, %why, "passed over");
                self.passed_over.push((link.name.clone(), method, why));
            }
        }
        Ok(())
    }

    /// What preparing frames needs to know.
    pub fn specs(&self) -> Vec<PortSpec> {
        match &self.other {
            Some(specs) => specs.clone(),
            None => self.links.iter().map(|link| PortSpec { mtu: link.mtu }).collect(),
        }
    }

    /// Their names.
    pub fn names(&self) -> String {
        if self.links.is_empty() {
            return "the virtual switch".to_owned();
        }
        let names: Vec<&str> = self.links.iter().map(|link| link.name.as_str()).collect();
        names.join(", ")
    }
}

/// Refuses a device that is down or in use.
fn check(link: &Link, on_production: &[String]) -> anyhow::Result<()> {
    let name = &link.name;
    if !link.up {
        bail!("{name} is down; type: sudo ip link set {name} up");
    }
    if !link.carrier {
        tracing::warn!(interface = %name, "no carrier: is the other end up?");
    }
    if on_production.contains(name) {
        return Ok(());
    }
    if let Some(why) = in_use(link)? {
        bail!(
            "{name} {why}: recorded frames would go into a network in use. \
             If that is what you want, add: --on-production {name}"
        );
    }
    Ok(())
}

/// What shows that a network is in use behind the device.
pub(crate) fn in_use(link: &Link) -> anyhow::Result<Option<String>> {
    // every device that is up has a link-local address of IPv6
    let given = |address: &IpAddr| !matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    if let Some(address) = link::addresses(link.index)?.iter().find(|address| given(address)) {
        return Ok(Some(format!("has the address {address}")));
    }
    if link::has_default_route(link.index)? {
        return Ok(Some("has a default route".to_owned()));
    }
    if let Some(kind @ ("bridge" | "bond" | "team")) = link.kind.as_deref() {
        return Ok(Some(format!("is a {kind}")));
    }
    let Some(controller) = link.controller else { return Ok(None) };
    let name = link::by_index(controller)?.map_or_else(|| controller.to_string(), |l| l.name);
    Ok(Some(format!("belongs to {name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_as_they_are_printed() {
        let out = |from, name: &str| Ok(Out { from, name: name.into() });
        assert_eq!("veth0".parse(), out(None, "veth0"));
        assert_eq!("0=veth0".parse(), out(Some(0), "veth0"));
        assert_eq!("12=a=b".parse(), out(Some(12), "a=b"));
        assert_eq!("x=b".parse(), out(None, "x=b"));
        for bad in ["", "0=", "99999999999=a"] {
            assert_eq!(bad.parse::<Out>(), Err(OutError), "{bad}");
        }
        assert_eq!("3=eth1".parse::<Out>().unwrap().to_string(), "3=eth1");
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let outs =
            |texts: &[&str]| -> Vec<Out> { texts.iter().map(|t| t.parse().unwrap()).collect() };
        let said = |texts: &[&str], production: &[&str]| {
            let production: Vec<String> = production.iter().map(|&p| p.to_owned()).collect();
            Ports::choose(&outs(texts), &production).unwrap_err().to_string()
        };
        assert!(said(&["lo", "lo"], &[]).contains("-i 0=lo"));
        assert!(said(&["0=lo", "0=lo"], &[]).contains("two interfaces"));
        assert!(said(&["0=lo"], &["eth7"]).contains("nothing is sent by `eth7`"));
        assert!(said(&["no-such"], &[]).contains("there is no network interface `no-such`"));
    }
}
