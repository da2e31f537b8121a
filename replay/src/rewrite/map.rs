//! What becomes what, as people write it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use skb::MacAddr;

/// What was expected of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected}")]
pub struct MapError {
    expected: &'static str,
}

const fn error(expected: &'static str) -> MapError {
    MapError { expected }
}

/// `A=B`, each side read by `read`.
fn sides<T>(
    text: &str,
    expected: &'static str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<(T, T), MapError> {
    let (from, to) = text.split_once('=').ok_or(error(expected))?;
    Ok((read(from).ok_or(error(expected))?, read(to).ok_or(error(expected))?))
}

/// One station's address becomes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MacMap {
    /// What is replaced.
    pub from: MacAddr,
    /// By what.
    pub to: MacAddr,
}

impl FromStr for MacMap {
    type Err = MapError;

    fn from_str(text: &str) -> Result<Self, MapError> {
        let expected = "MAC=MAC, such as 02:00:00:00:00:01=02:00:00:00:00:99";
        let (from, to) = sides(text, expected, |mac| mac.parse().ok())?;
        Ok(Self { from, to })
    }
}

/// An address or a network becomes another of the same size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IpMap {
    from: IpAddr,
    to: IpAddr,
    /// Bits of the network.
    prefix: u8,
}

impl FromStr for IpMap {
    type Err = MapError;

    fn from_str(text: &str) -> Result<Self, MapError> {
        const EXPECTED: &str =
            "two addresses or two networks of one size, such as 192.168.1.0/24=10.7.7.0/24";
        let read = |side: &str| {
            let (address, prefix) = match side.split_once('/') {
                Some((address, prefix)) => (address, Some(prefix.parse::<u8>().ok()?)),
                None => (side, None),
            };
            let address: IpAddr = address.parse().ok()?;
            let bits = if address.is_ipv4() { 32 } else { 128 };
            let prefix = prefix.unwrap_or(bits);
            (prefix <= bits).then_some((address, prefix))
        };
        let ((from, size), (to, other)) = sides(text, EXPECTED, read)?;
        if size != other || from.is_ipv4() != to.is_ipv4() {
            return Err(error(EXPECTED));
        }
        Ok(Self { from, to, prefix: size })
    }
}

impl IpMap {
    /// What becomes of the address, if it is in the network.
    pub fn v4(&self, address: Ipv4Addr) -> Option<Ipv4Addr> {
        let (IpAddr::V4(from), IpAddr::V4(to)) = (self.from, self.to) else { return None };
        let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
        let (from, to, old) = (u32::from(from), u32::from(to), u32::from(address));
        (old & mask == from & mask).then(|| (to & mask | old & !mask).into())
    }

    /// Likewise.
    pub fn v6(&self, address: Ipv6Addr) -> Option<Ipv6Addr> {
        let (IpAddr::V6(from), IpAddr::V6(to)) = (self.from, self.to) else { return None };
        let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
        let (from, to, old) = (u128::from(from), u128::from(to), u128::from(address));
        (old & mask == from & mask).then(|| (to & mask | old & !mask).into())
    }
}

/// A port becomes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortMapping {
    /// What is replaced.
    pub from: u16,
    /// By what.
    pub to: u16,
}

impl FromStr for PortMapping {
    type Err = MapError;

    fn from_str(text: &str) -> Result<Self, MapError> {
        let (from, to) = sides(text, "PORT=PORT, such as 3389=2299", |port| port.parse().ok())?;
        Ok(Self { from, to })
    }
}

/// A VLAN becomes another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VlanSwap {
    /// Its identifier.
    pub from: u16,
    /// The other one's.
    pub to: u16,
}

fn vid(text: &str) -> Option<u16> {
    text.parse().ok().filter(|vid| *vid < 4096)
}

impl FromStr for VlanSwap {
    type Err = MapError;

    fn from_str(text: &str) -> Result<Self, MapError> {
        let (from, to) = sides(text, "VID=VID, such as 10=20, of 0 to 4095", vid)?;
        Ok(Self { from, to })
    }
}

/// An 802.1Q tag (IEEE 802.1Q-2022 9.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VlanTag {
    /// VLAN identifier.
    pub vid: u16,
    /// Priority code point.
    pub pcp: u8,
}

impl VlanTag {
    /// Tag control information.
    pub fn tci(self) -> u16 {
        u16::from(self.pcp) << 13 | self.vid
    }
}

impl FromStr for VlanTag {
    type Err = MapError;

    fn from_str(text: &str) -> Result<Self, MapError> {
        const EXPECTED: &str = "VID or VID:PCP, such as 10 or 10:6, of 0 to 4095 and 0 to 7";
        let (id, pcp) = text.split_once(':').unwrap_or((text, "0"));
        let pcp = pcp.parse().ok().filter(|pcp| *pcp < 8).ok_or(error(EXPECTED))?;
        Ok(Self { vid: vid(id).ok_or(error(EXPECTED))?, pcp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_as_people_write_them() {
        let net: IpMap = "192.168.1.0/24=10.7.7.0/24".parse().unwrap();
        assert_eq!(net.v4(Ipv4Addr::new(192, 168, 1, 44)), Some(Ipv4Addr::new(10, 7, 7, 44)));
        assert_eq!(net.v4(Ipv4Addr::new(192, 168, 2, 44)), None);
        let all: IpMap = "0.0.0.0/0=10.0.0.0/0".parse().unwrap();
        assert_eq!(all.v4(Ipv4Addr::BROADCAST), Some(Ipv4Addr::BROADCAST));
        let six: IpMap = "2001:db8::/32=fd00::/32".parse().unwrap();
        assert_eq!(six.v6("2001:db8:1::5".parse().unwrap()), Some("fd00:0:1::5".parse().unwrap()));
        let tag: VlanTag = "10:6".parse().unwrap();
        assert_eq!(tag.tci(), 0xc00a);
        assert_eq!("3389=2299".parse(), Ok(PortMapping { from: 3389, to: 2299 }));
        for wrong in
            ["", "10.0.0.1", "10.0.0.0/8=10.0.0.0/9", "10.0.0.1=::1", "10.0.0.0/33=1.1.1.1/33"]
        {
            assert!(wrong.parse::<IpMap>().is_err(), "{wrong}");
        }
        for wrong in ["4096", "1:8", "x", "1:"] {
            assert!(wrong.parse::<VlanTag>().is_err(), "{wrong}");
        }
        assert!("1=70000".parse::<PortMapping>().is_err() && "1=4096".parse::<VlanSwap>().is_err());
    }
}
