//! Records, handshake messages, and the two hellos (RFC 8446 sections 4.1 and 5.1, RFC 5246).

use std::borrow::Cow;

/// Handshake types (RFC 8446 section 4).
pub(crate) const CLIENT_HELLO: u8 = 1;
pub(crate) const SERVER_HELLO: u8 = 2;
pub(crate) const CERTIFICATE: u8 = 11;

/// Content type of a record that carries handshake messages.
const HANDSHAKE: u8 = 22;
/// A ciphertext record may be so long (RFC 5246 section 6.2.3).
pub(crate) const RECORD_MAX: usize = (1 << 14) + 2048;
/// Records looked at.
const RECORDS_MAX: usize = 32;

/// Extensions (IANA "TLS ExtensionType Values").
pub(crate) mod extension {
    pub(crate) const SERVER_NAME: u16 = 0;
    pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(crate) const ALPN: u16 = 16;
    pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
}

/// Reads forwards, never past the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a>(pub(crate) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(crate) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|b| b[0])
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }

    pub(crate) fn u24(&mut self) -> Option<usize> {
        self.bytes(3).map(|b| usize::from(b[0]) << 16 | usize::from(b[1]) << 8 | usize::from(b[2]))
    }

    /// A vector with a length of one byte.
    pub(crate) fn vec8(&mut self) -> Option<&'a [u8]> {
        let count = self.u8()?;
        self.bytes(count.into())
    }

    /// A vector with a length of two bytes.
    pub(crate) fn vec16(&mut self) -> Option<&'a [u8]> {
        let count = self.u16()?;
        self.bytes(count.into())
    }
}

/// The handshake messages in clear at the beginning of one end's bytes.
#[derive(Debug)]
pub(crate) struct Handshake<'a> {
    bytes: Cow<'a, [u8]>,
    /// Something else than handshake records followed.
    pub(crate) over: bool,
}

/// Joins the handshake records at the beginning of `bytes`; the last may be cut.
pub(crate) fn flight(bytes: &[u8]) -> Handshake<'_> {
    let mut joined: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    let mut rest = bytes;
    let mut over = false;
    for n in 0..RECORDS_MAX {
        let [content, 3, _, high, low, body @ ..] = rest else { break };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if *content != HANDSHAKE || length > RECORD_MAX {
            over = true;
            break;
        }
        let (body, behind) = body.split_at(length.min(body.len()));
        if n == 0 {
            joined = Cow::Borrowed(body);
        } else {
            joined.to_mut().extend_from_slice(body);
        }
        rest = behind;
    }
    Handshake { bytes: joined, over }
}

impl Handshake<'static> {
    /// Of messages that were put together otherwise.
    pub(super) const fn of(messages: Vec<u8>) -> Self {
        Self { bytes: Cow::Owned(messages), over: false }
    }
}

impl Handshake<'_> {
    /// The body of the first message of a type, if it is all there.
    pub(crate) fn message(&self, ty: u8) -> Option<&[u8]> {
        let mut cursor = Cursor(&self.bytes);
        loop {
            let this = cursor.u8()?;
            let length = cursor.u24()?;
            let body = cursor.bytes(length)?;
            if this == ty {
                return Some(body);
            }
        }
    }

    /// Type and length of the first message, which may not be all there.
    pub(crate) fn first(&self) -> Option<(u8, usize)> {
        let mut cursor = Cursor(&self.bytes);
        Some((cursor.u8()?, cursor.u24()?))
    }
}

/// Values that clients send to be ignored (RFC 8701).
pub(crate) const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// `1.3`, `1.2`, ... by the version number.
pub(crate) const fn version_name(version: u16) -> &'static str {
    match version {
        0x0304 | 0x7f00..=0x7fff | 0xfb17 | 0xfb1a => "1.3", // with drafts
        0x0303 => "1.2",
        0x0302 => "1.1",
        0x0301 => "1.0",
        0x0300 => "ssl3",
        0x0002 => "ssl2",
        _ => "unknown",
    }
}

/// A client's hello.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientHello<'a> {
    pub(crate) legacy_version: u16,
    pub(crate) ciphers: &'a [u8],
    extensions: &'a [u8],
}

impl<'a> ClientHello<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor(body);
        let legacy_version = cursor.u16()?;
        cursor.bytes(32)?; // random
        cursor.vec8()?; // session
        let ciphers = cursor.vec16()?;
        cursor.vec8()?; // compression
        let extensions = cursor.vec16().unwrap_or_default();
        (legacy_version >> 8 == 3 && !ciphers.is_empty() && ciphers.len().is_multiple_of(2))
            .then_some(Self { legacy_version, ciphers, extensions })
    }

    /// Types and bodies, in the order sent.
    pub(crate) fn extensions(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        extensions(self.extensions)
    }

    fn extension(&self, ty: u16) -> Option<&'a [u8]> {
        self.extensions().find(|&(this, _)| this == ty).map(|(_, body)| body)
    }

    /// The name asked for (RFC 6066 section 3).
    pub(crate) fn server_name(&self) -> Option<&'a [u8]> {
        let list = Cursor(self.extension(extension::SERVER_NAME)?).vec16()?;
        let mut cursor = Cursor(list);
        (cursor.u8()? == 0).then(|| cursor.vec16()).flatten()
    }

    /// The protocols offered (RFC 7301 section 3.1).
    pub(crate) fn alpn(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        names(self.extension(extension::ALPN).unwrap_or_default())
    }

    /// The highest version offered, as it is on the wire, without GREASE.
    pub(crate) fn version_max(&self) -> Option<u16> {
        match self.extension(extension::SUPPORTED_VERSIONS) {
            Some(body) => words(Cursor(body).vec8()?).filter(|&v| !is_grease(v)).max(),
            None => Some(self.legacy_version),
        }
    }

    /// Signature algorithms in the order sent.
    pub(crate) fn signature_algorithms(&self) -> impl Iterator<Item = u16> + use<'a> {
        let body = self.extension(extension::SIGNATURE_ALGORITHMS).unwrap_or_default();
        words(Cursor(body).vec16().unwrap_or_default())
    }
}

/// A server's hello.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerHello<'a> {
    legacy_version: u16,
    pub(crate) cipher: u16,
    extensions: &'a [u8],
}

impl<'a> ServerHello<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor(body);
        let legacy_version = cursor.u16()?;
        cursor.bytes(32)?; // random
        if !(0x7f00..=0x7f16).contains(&legacy_version) {
            cursor.vec8()?; // session; drafts of 1.3 have none
        }
        let cipher = cursor.u16()?;
        cursor.u8()?; // compression
        let extensions = cursor.vec16().unwrap_or_default();
        let known = matches!(legacy_version >> 8, 3 | 0x7f);
        known.then_some(Self { legacy_version, cipher, extensions })
    }

    /// The version chosen (RFC 8446 section 4.2.1).
    pub(crate) fn version(&self) -> u16 {
        extensions(self.extensions)
            .find(|&(ty, _)| ty == extension::SUPPORTED_VERSIONS)
            .and_then(|(_, body)| Cursor(body).u16())
            .unwrap_or(self.legacy_version)
    }

    /// The protocol chosen, up to TLS 1.2.
    pub(crate) fn alpn(&self) -> Option<&'a [u8]> {
        let found = extensions(self.extensions).find(|&(ty, _)| ty == extension::ALPN)?;
        names(found.1).next()
    }
}

fn extensions(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut cursor = Cursor(bytes);
    std::iter::from_fn(move || Some((cursor.u16()?, cursor.vec16()?)))
}

/// The names in an ALPN extension.
fn names(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut cursor = Cursor(Cursor(body).vec16().unwrap_or_default());
    std::iter::from_fn(move || cursor.vec8())
}

/// Numbers of two bytes.
pub(crate) fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}
