//! VLANs: what a port accepts, which VLAN a frame is in, and what happens to its tag on the way
//! out (IEEE 802.1Q clauses 6.9 and 8.6).

use serde::Serialize;
use std::fmt;

/// Lowest VLAN id a frame can be in; 0 in a tag means "no VLAN, only a priority".
pub const VID_MIN: u16 = 1;
/// Highest VLAN id; 4095 is reserved (IEEE 802.1Q table 9-2).
pub const VID_MAX: u16 = 4094;
/// The VLAN of ports that say nothing else (IEEE 802.1Q table 9-2).
pub const PVID_DEFAULT: u16 = 1;

/// Which EtherType is a tag on a port. Any other tag is opaque payload there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tpid {
    /// 0x8100: customer tag, 802.1Q.
    #[default]
    Customer,
    /// 0x88a8: service tag, 802.1ad; customer tags behind it ride along untouched.
    Service,
    /// 0x9100: the double tag of equipment older than 802.1ad.
    Legacy,
}

impl Tpid {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Customer, Self::Service, Self::Legacy];

    /// The EtherType, host order.
    pub const fn ethertype(self) -> u16 {
        match self {
            Self::Customer => 0x8100,
            Self::Service => 0x88a8,
            Self::Legacy => 0x9100,
        }
    }

    /// The tag type of an EtherType.
    pub fn from_ethertype(ethertype: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|tpid| tpid.ethertype() == ethertype)
    }
}

/// A set of VLAN ids, a bit for each of 0..4096.
#[derive(Clone, PartialEq, Eq)]
pub struct VlanSet(Box<[u64; 64]>);

impl VlanSet {
    /// No VLAN.
    pub fn none() -> Self {
        Self(Box::new([0; 64]))
    }

    /// All of [`VID_MIN`]..=[`VID_MAX`].
    pub fn all() -> Self {
        (VID_MIN..=VID_MAX).collect()
    }

    /// Adds a VLAN id; only the low 12 bits count.
    pub fn insert(&mut self, vid: u16) {
        self.0[usize::from(vid >> 6 & 63)] |= 1 << (vid & 63);
    }

    /// Whether `vid` is in the set.
    #[inline]
    pub fn contains(&self, vid: u16) -> bool {
        self.0[usize::from(vid >> 6 & 63)] >> (vid & 63) & 1 != 0
    }

    /// The ids, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        (0..4096).filter(|&vid| self.contains(vid))
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }
}

impl FromIterator<u16> for VlanSet {
    fn from_iter<I: IntoIterator<Item = u16>>(vids: I) -> Self {
        let mut set = Self::none();
        vids.into_iter().for_each(|vid| set.insert(vid));
        set
    }
}

impl fmt::Debug for VlanSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::all() {
            return f.write_str("{all}");
        }
        f.debug_set().entries(self.iter()).finish()
    }
}

/// How a port takes part in VLANs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VlanMode {
    /// One VLAN, untagged. Takes untagged and priority-tagged frames only ("admit only untagged
    /// and priority-tagged", 802.1Q 6.9): a tag cannot be used to hop into another VLAN.
    Access {
        /// The VLAN of everything that comes in.
        pvid: u16,
    },
    /// Many VLANs, tagged.
    Trunk {
        /// The VLAN of untagged frames, sent untagged as well; `None` takes tagged frames only.
        native: Option<u16>,
        /// VLANs that may pass, beside the native one.
        allowed: VlanSet,
    },
}

impl Default for VlanMode {
    fn default() -> Self {
        Self::Access { pvid: PVID_DEFAULT }
    }
}

impl VlanMode {
    /// A trunk for all VLANs with the default VLAN native: what a switch that nobody configured
    /// does with tags, leaving them as they are.
    pub fn trunk_all() -> Self {
        Self::Trunk { native: Some(PVID_DEFAULT), allowed: VlanSet::all() }
    }

    /// The VLAN of untagged frames.
    pub fn untagged(&self) -> Option<u16> {
        match self {
            Self::Access { pvid } => Some(*pvid),
            Self::Trunk { native, .. } => *native,
        }
    }

    /// Whether the port is a member of `vid`.
    pub fn member(&self, vid: u16) -> bool {
        self.untagged() == Some(vid)
            || matches!(self, Self::Trunk { allowed, .. } if allowed.contains(vid))
    }
}

/// The tag a frame came with, as its ingress port reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// None (or a tag of another type, which is payload here).
    Untagged,
    /// VID 0: no VLAN, a priority only.
    Priority {
        /// The whole TCI.
        tci: u16,
    },
    /// A VLAN tag.
    Vlan {
        /// PCP 3 bits, DEI 1, VID 12.
        tci: u16,
    },
}

/// What must be done to a frame's tag at egress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagAction {
    /// Nothing: the bytes go out as they came in.
    Keep,
    /// Take the tag out.
    ///
    /// A frame padded to the minimum of 60 bytes with its tag is 56 bytes long afterwards; that
    /// is not an error, the sender's side of a real wire pads again.
    Pop,
    /// Put a tag in.
    Push {
        /// Its TPID.
        tpid: u16,
        /// Its TCI.
        tci: u16,
    },
    /// Write over the tag that is there.
    Rewrite {
        /// Its TPID.
        tpid: u16,
        /// Its TCI.
        tci: u16,
    },
}

/// Why an ingress port does not take a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The frame ends within its tag.
    Cut,
    /// The tag, or the lack of one, is not allowed on the port.
    NotAllowed,
}

/// Reads the tag of `frame` (from the destination MAC on; at least 14 bytes).
pub(crate) fn tag_of(frame: &[u8], tpid: Tpid) -> Result<Tag, Refused> {
    let Some(ethertype) = be16(frame, 12) else { return Err(Refused::Cut) };
    if ethertype != tpid.ethertype() {
        return Ok(Tag::Untagged);
    }
    match (be16(frame, 14), be16(frame, 16)) {
        (Some(tci), Some(_)) if vid_of(tci) == 0 => Ok(Tag::Priority { tci }),
        (Some(tci), Some(_)) => Ok(Tag::Vlan { tci }),
        _ => Err(Refused::Cut),
    }
}

/// The VLAN of a frame with `tag` on a port in `mode` (802.1Q 6.9 with ingress filtering on).
pub(crate) fn classify(mode: &VlanMode, tag: Tag) -> Result<u16, Refused> {
    let vid = match (tag, mode) {
        (Tag::Untagged | Tag::Priority { .. }, _) => mode.untagged(),
        (Tag::Vlan { .. }, VlanMode::Access { .. }) => None,
        (Tag::Vlan { tci }, VlanMode::Trunk { .. }) => {
            Some(vid_of(tci)).filter(|&vid| vid <= VID_MAX && mode.member(vid))
        }
    };
    vid.ok_or(Refused::NotAllowed)
}

/// What happens to the tag of a frame of VLAN `vid` that came with `tag` under `tpid_in` and
/// leaves by a port in `mode`.
pub(crate) fn egress_action(
    tag: Tag,
    vid: u16,
    (tpid_in, tpid_out): (Tpid, Tpid),
    mode: &VlanMode,
    keep_priority_tag: bool,
) -> TagAction {
    let untagged = mode.untagged() == Some(vid);
    let tpid = tpid_out.ethertype();
    match (tag, untagged) {
        (Tag::Untagged, true) => TagAction::Keep,
        (Tag::Untagged, false) => TagAction::Push { tpid, tci: vid },
        (Tag::Priority { .. }, true) if keep_priority_tag && tpid_in == tpid_out => TagAction::Keep,
        (Tag::Priority { .. } | Tag::Vlan { .. }, true) => TagAction::Pop,
        (Tag::Priority { tci } | Tag::Vlan { tci }, false) => {
            let new = tci & 0xf000 | vid;
            if new == tci && tpid_in == tpid_out {
                TagAction::Keep
            } else {
                TagAction::Rewrite { tpid, tci: new }
            }
        }
    }
}

/// The VLAN id of a TCI.
fn vid_of(tci: u16) -> u16 {
    tci & 0x0fff
}

/// Big-endian number at `at`.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: (Tpid, Tpid) = (Tpid::Customer, Tpid::Customer);

    fn frame(rest: &[u8]) -> Vec<u8> {
        [&[2; 12], rest].concat()
    }

    #[test]
    fn tags_are_read_by_the_ports_tpid() {
        let tagged = frame(&[0x81, 0, 0x60, 5, 8, 0]);
        assert_eq!(tag_of(&tagged, Tpid::Customer), Ok(Tag::Vlan { tci: 0x6005 }));
        assert_eq!(tag_of(&tagged, Tpid::Service), Ok(Tag::Untagged));
        let priority = frame(&[0x81, 0, 0x60, 0, 8, 0]);
        assert_eq!(tag_of(&priority, Tpid::Customer), Ok(Tag::Priority { tci: 0x6000 }));
        assert_eq!(tag_of(&tagged[..17], Tpid::Customer), Err(Refused::Cut));
    }

    #[test]
    fn access_takes_no_tag_not_even_its_own() {
        let access = VlanMode::Access { pvid: 5 };
        assert_eq!(classify(&access, Tag::Untagged), Ok(5));
        assert_eq!(classify(&access, Tag::Priority { tci: 0xe000 }), Ok(5));
        assert_eq!(classify(&access, Tag::Vlan { tci: 5 }), Err(Refused::NotAllowed));
    }

    #[test]
    fn trunk_takes_allowed_and_native() {
        let allowed = [10, 20].into_iter().collect();
        let trunk = VlanMode::Trunk { native: Some(1), allowed };
        assert_eq!(classify(&trunk, Tag::Untagged), Ok(1));
        assert_eq!(classify(&trunk, Tag::Vlan { tci: 0x2014 }), Ok(20));
        assert_eq!(classify(&trunk, Tag::Vlan { tci: 1 }), Ok(1));
        assert_eq!(classify(&trunk, Tag::Vlan { tci: 30 }), Err(Refused::NotAllowed));
        let all = VlanMode::Trunk { native: None, allowed: VlanSet::all() };
        assert_eq!(classify(&all, Tag::Vlan { tci: 4095 }), Err(Refused::NotAllowed));
        assert_eq!(classify(&all, Tag::Untagged), Err(Refused::NotAllowed));
        assert_eq!(classify(&all, Tag::Priority { tci: 0 }), Err(Refused::NotAllowed));
    }

    #[test]
    fn egress_tags_keep_the_priority() {
        let access = VlanMode::Access { pvid: 5 };
        let trunk = VlanMode::Trunk { native: Some(1), allowed: VlanSet::all() };
        let tagged = Tag::Vlan { tci: 0x6005 };
        let priority = Tag::Priority { tci: 0x6000 };
        let of = |tag, mode, keep| egress_action(tag, 5, BOTH, mode, keep);
        assert_eq!(of(Tag::Untagged, &access, false), TagAction::Keep);
        assert_eq!(of(tagged, &access, false), TagAction::Pop);
        assert_eq!(of(priority, &access, false), TagAction::Pop);
        assert_eq!(of(priority, &access, true), TagAction::Keep);
        assert_eq!(of(tagged, &trunk, false), TagAction::Keep);
        let push = TagAction::Push { tpid: 0x8100, tci: 5 };
        assert_eq!(of(Tag::Untagged, &trunk, false), push);
        let rewrite = TagAction::Rewrite { tpid: 0x8100, tci: 0x6005 };
        assert_eq!(of(priority, &trunk, false), rewrite);
        let service = (Tpid::Customer, Tpid::Service);
        let rewrite = TagAction::Rewrite { tpid: 0x88a8, tci: 0x6005 };
        assert_eq!(egress_action(tagged, 5, service, &trunk, false), rewrite);
    }

    #[test]
    fn sets_hold_every_vid() {
        let set = VlanSet::all();
        assert_eq!((set.len(), set.contains(0), set.contains(4095)), (4094, false, false));
        assert_eq!(set.iter().next(), Some(1));
        assert!(VlanSet::none().is_empty());
    }
}
