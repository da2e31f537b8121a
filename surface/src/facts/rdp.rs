//! What a remote desktop conversation says in clear (MS-RDPBCGR 2.2.1), and how it came out.

use memchr::memmem;

use super::keyed::{KeyedName, NameKey};
use crate::bytes::{be16, le16, le32};
use crate::talk::{Said, Talk};
use crate::tls::{self, TlsFacts};

/// Facts of a remote desktop conversation. Names are keyed hashes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RdpFacts {
    /// The client's connection request was seen.
    pub asked: bool,
    /// Protocols that the client asked for, as a mask with unknown bits (2.2.1.1.1); `None` without
    /// a negotiation block.
    pub requested: Option<u32>,
    /// Flags of its request: 1 restricted admin, 2 redirected authentication, 8 correlation.
    pub request_flags: Option<u8>,
    /// The server's confirmation was seen.
    pub answered: bool,
    /// The protocol that the server chose (2.2.1.2.1).
    pub selected: Option<u32>,
    /// Why the server refused (2.2.1.2.2).
    pub failure: Option<u32>,
    /// Flags of its answer.
    pub response_flags: Option<u8>,
    /// The user name that the client put into its cookie: length in bytes, and keyed hash.
    pub cookie: Option<(u16, KeyedName)>,
    /// The client brought a token for a load balancer.
    pub routing_token: bool,
    /// What the client said of itself, where that is in clear.
    pub client: Option<RdpClient>,
    /// Method and level of standard security (2.2.1.4.3).
    pub encryption: Option<(u32, u32)>,
    /// Of the TLS inside.
    pub tls: Option<TlsFacts>,
    /// Records of application data of client and server, as far as it was followed: until a desktop
    /// is shown for certain. With standard security there are none.
    pub records: [u32; 2],
    /// Bytes of these; with standard security, of all behind request and confirmation.
    pub bytes: [u64; 2],
    /// What became of it.
    pub outcome: RdpOutcome,
}

/// A client by its core and network data (2.2.1.3.2, 2.2.1.3.4).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RdpClient {
    /// Its computer's name.
    pub name: Option<KeyedName>,
    /// Build number of its system.
    pub build: u32,
    /// Channels asked for, of those that are known.
    pub channels: Vec<&'static str>,
    /// Others.
    pub channels_other: u16,
}

impl RdpClient {
    /// The Windows of the client's build, where it is one.
    pub const fn windows(&self) -> Option<&'static str> {
        Some(match self.build {
            2195 => "Windows 2000",
            2600 => "Windows XP",
            3790 => "Windows Server 2003",
            6000..=6003 => "Windows Vista or Server 2008",
            7600 | 7601 => "Windows 7 or Server 2008 R2",
            9200 => "Windows 8 or Server 2012",
            9600 => "Windows 8.1 or Server 2012 R2",
            10240..=14392 => "Windows 10",
            14393 => "Windows 10 or Server 2016",
            14394..=17762 => "Windows 10",
            17763 => "Windows 10 or Server 2019",
            17764..=20347 => "Windows 10",
            20348 => "Windows Server 2022",
            22000..=26099 => "Windows 11",
            26100..=26999 => "Windows 11 or Server 2025",
            _ => return None,
        })
    }
}

/// How a desktop is protected, the weakest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RdpLevel {
    /// RDP's own encryption: anyone on the path can change it.
    Standard,
    /// TLS, and a log-on screen for whoever comes.
    Tls,
    /// A redirection by a broker (RDSTLS).
    Redirected,
    /// A number that is not known.
    Other,
    /// The password is checked before there is a screen (network level authentication).
    Nla,
    /// Log-on by the cloud (Entra).
    Cloud,
}

impl RdpLevel {
    /// Of a selected protocol, 0 if there is none.
    pub const fn of(selected: u32) -> Self {
        match selected {
            0 => Self::Standard,
            1 => Self::Tls,
            2 | 8 => Self::Nla,
            4 => Self::Redirected,
            0x10 => Self::Cloud,
            _ => Self::Other,
        }
    }

    /// In lower case, for machines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Tls => "tls",
            Self::Redirected => "rdstls",
            Self::Other => "other",
            Self::Nla => "nla",
            Self::Cloud => "entra",
        }
    }
}

/// What became of a conversation, by the sizes of what was said where it is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord, Hash)]
pub enum RdpOutcome {
    /// It ended before the client said anything inside.
    Probe,
    /// The password was refused.
    Failed,
    /// It cannot be told.
    #[default]
    Unknown,
    /// The password was accepted.
    Succeeded,
    /// A desktop was shown; with network level authentication, after a password was accepted.
    Session,
}

impl RdpOutcome {
    /// In lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
            Self::Succeeded => "succeeded",
            Self::Session => "session",
        }
    }
}

/// Failures by which a server tells what it insists on (2.2.1.2.2).
pub(crate) const SSL_NOT_ALLOWED: u32 = 2;
pub(crate) const SSL_CERT_NOT_ON_SERVER: u32 = 3;
pub(crate) const HYBRID_REQUIRED: u32 = 5;

impl RdpFacts {
    /// How it is protected, if the server agreed to go on.
    pub fn level(&self) -> Option<RdpLevel> {
        (self.answered && self.failure.is_none())
            .then(|| RdpLevel::of(self.selected.unwrap_or_default()))
    }

    /// What both ends said in clear. What follows in records is filled in elsewhere.
    pub(crate) fn of(talk: &Talk<'_>, key: &NameKey) -> Self {
        let mut facts = Self::default();
        facts.request(talk.opener.bytes(), key);
        facts.confirm(talk.answerer.bytes());
        let [client, server] = [talk.opener, talk.answerer].map(behind);
        if is_tls(client.bytes()) || is_tls(server.bytes()) {
            let inside = Talk { opener: client, answerer: server, ..*talk };
            facts.tls = Some(tls::facts(&inside));
        } else {
            facts.client = client_of(client.bytes(), key);
            facts.encryption = encryption_of(server.bytes());
        }
        facts
    }

    /// X.224 connection request: cookie or token up to a line end, then the negotiation.
    fn request(&mut self, bytes: &[u8], key: &NameKey) {
        let Some(variable) = variable(bytes, 0xe0) else { return };
        self.asked = true;
        let line = memmem::find(variable, b"\r\n").filter(|_| variable.first() != Some(&1));
        if let Some(end) = line {
            let text = &variable[..end];
            match text.strip_prefix(b"Cookie: mstshash=") {
                Some(name) => {
                    let length = name.len().min(usize::from(u16::MAX)) as u16;
                    self.cookie = Some((length, key.hash("rdp-user", name)));
                }
                None => self.routing_token = true,
            }
        }
        let rest = &variable[line.map_or(0, |end| end + 2)..];
        if let [1, flags, 8, 0, ..] = *rest {
            self.request_flags = Some(flags);
            self.requested = le32(rest, 4);
        }
    }

    fn confirm(&mut self, bytes: &[u8]) {
        let Some(variable) = variable(bytes, 0xd0) else { return };
        self.answered = true;
        match *variable {
            [2, flags, 8, 0, ..] => {
                self.response_flags = Some(flags);
                self.selected = le32(variable, 4);
            }
            [3, _, 8, 0, ..] => self.failure = le32(variable, 4),
            _ => {}
        }
    }
}

/// What follows the fixed part of a connection request or confirm. Its length field may lie, so the
/// longer of both lengths counts.
fn variable(bytes: &[u8], code: u8) -> Option<&[u8]> {
    let [3, 0, _, _, indicator, said, ..] = *bytes else { return None };
    if said & 0xf0 != code {
        return None;
    }
    let end = unit_length(bytes)?.max(usize::from(indicator) + 5);
    bytes.get(11..end.min(bytes.len()))
}

/// The length of a TPKT unit (RFC 1006 section 6).
fn unit_length(bytes: &[u8]) -> Option<usize> {
    let length = usize::from(be16(bytes, 2)?);
    (bytes.first() == Some(&3) && length >= 7).then_some(length)
}

/// What an end said behind its first unit.
fn behind(said: Said<'_>) -> Said<'_> {
    let bytes = said.bytes();
    let length = unit_length(bytes).unwrap_or_default();
    Said::new(bytes.get(length..).unwrap_or_default(), &[], said.whole())
}

const fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x14..=0x17, 3, _, _, _, ..])
}

/// Channels that are named; the last is asked for by nobody but who tries CVE-2019-0708.
const CHANNELS: [&str; 10] = [
    "rdpdr", "rdpsnd", "cliprdr", "drdynvc", "rail", "encomsp", "remdesk", "tsmf", "seamrdp",
    "MS_T120",
];
/// Channels that a client can ask for (2.2.1.3.4).
const CHANNELS_MAX: usize = 31;

/// The blocks behind an H.221 key: type and length in little endian, the length with these.
fn blocks<'a>(bytes: &'a [u8], key: &[u8]) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
    let at = memmem::find(bytes, key).map_or(bytes.len(), |at| at + key.len());
    // a PER length of one byte or two
    let skip = bytes.get(at).map_or(0, |&byte| if byte & 0x80 == 0 { 1 } else { 2 });
    let mut rest = bytes.get(at + skip..).unwrap_or_default();
    std::iter::from_fn(move || {
        let (ty, length) = (le16(rest, 0)?, usize::from(le16(rest, 2)?));
        let body = rest.get(4..length)?;
        rest = &rest[length..];
        Some((ty, body))
    })
}

fn client_of(bytes: &[u8], key: &NameKey) -> Option<RdpClient> {
    let mut client = None;
    for (ty, body) in blocks(bytes, b"Duca") {
        match ty {
            // CS_CORE: version, width, height, depth, SAS, keyboard, build, name
            0xc001 => {
                let build = le32(body, 16)?;
                let name = body.get(20..52)?;
                let end = name.chunks_exact(2).position(|pair| pair == [0, 0]).unwrap_or(16) * 2;
                let name = (end > 0).then(|| key.hash("rdp-client", &name[..end]));
                client = Some(RdpClient { name, build, ..RdpClient::default() });
            }
            // CS_NET: count, then names of eight bytes with options
            0xc003 => {
                let client = client.as_mut()?;
                for entry in body.get(4..)?.chunks_exact(12).take(CHANNELS_MAX) {
                    let end = entry[..8].iter().position(|&byte| byte == 0).unwrap_or(8);
                    let known = CHANNELS
                        .iter()
                        .find(|known| known.as_bytes().eq_ignore_ascii_case(&entry[..end]));
                    match known {
                        Some(known) if !client.channels.contains(known) => {
                            client.channels.push(known);
                        }
                        Some(_) => {}
                        None => client.channels_other += 1,
                    }
                }
            }
            _ => {}
        }
    }
    client
}

/// `SC_SECURITY`: method and level.
fn encryption_of(bytes: &[u8]) -> Option<(u32, u32)> {
    let (_, body) = blocks(bytes, b"McDn").find(|&(ty, _)| ty == 0x0c02)?;
    Some((le32(body, 0)?, le32(body, 4)?))
}
