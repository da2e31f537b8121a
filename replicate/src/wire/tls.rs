//! TLS 1.3 over any stream, with raw public keys (RFC 7250) on both sides: a key is either known or
//! it is not, and there are no names, dates or authorities to get wrong.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::AlwaysResolvesClientRawPublicKeys;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct,
    DistinguishedName, OtherError, ServerConfig, ServerConnection, SignatureScheme,
};
use zeroize::Zeroizing;

use super::halves::{Halves, is_tick};
use crate::crypt::random;
use crate::hash::hex;
use crate::keys::{self, Secret};

/// The handshake must be done after this.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Records are sent when so many bytes of them have gathered, or at a flush.
const SEND: usize = 128 << 10;
/// DER in front of an Ed25519 public key (RFC 8410): SEQUENCE, algorithm, BIT STRING.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
/// DER in front of an Ed25519 secret key (RFC 8410, PKCS 8 version 1).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// An Ed25519 public key of a peer.
pub type PublicKey = [u8; 32];

/// A peer's secret key.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Identity(Secret);

impl Identity {
    /// A new one, by the system's random numbers.
    pub fn new() -> Self {
        Self(Secret(*random()))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        keys::public(&self.0)
    }

    fn certified(&self) -> Result<Arc<CertifiedKey>, rustls::Error> {
        let mut der = Zeroizing::new(PKCS8.to_vec());
        der.extend_from_slice(&self.0.0);
        let key = ring::sign::any_eddsa_type(&PrivatePkcs8KeyDer::from(&der[..]))?;
        let spki = [&SPKI[..], &self.public()].concat();
        Ok(Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], key)))
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}

/// Which keys are let in.
type Known = Arc<dyn Fn(&PublicKey) -> bool + Send + Sync>;

/// Lets in keys that `known` knows, and checks that the peer holds the secret half.
struct Pinned {
    known: Known,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pinned")
    }
}

impl Pinned {
    fn check(&self, spki: &CertificateDer<'_>) -> Result<(), rustls::Error> {
        let key = public_key(spki).ok_or(CertificateError::BadEncoding)?;
        if (self.known)(&key) {
            return Ok(());
        }
        let unknown = io::Error::other(format!("the key {} is not known here", hex(&key[..8])));
        Err(CertificateError::Other(OtherError(Arc::new(unknown))).into())
    }

    fn signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, dss, &self.algorithms)
    }
}

fn public_key(spki: &CertificateDer<'_>) -> Option<PublicKey> {
    spki.as_ref().strip_prefix(&SPKI).and_then(|key| key.try_into().ok())
}

fn no_tls12() -> rustls::Error {
    rustls::Error::General("TLS 1.2 is not spoken".to_owned())
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Pinned {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

fn pinned(known: Known) -> (Arc<CryptoProvider>, Arc<Pinned>) {
    let provider = Arc::new(ring::default_provider());
    let algorithms = provider.signature_verification_algorithms;
    (provider, Arc::new(Pinned { known, algorithms }))
}

/// The client's side: `known` decides about the server's key.
pub(super) fn client(
    halves: Halves,
    identity: &Identity,
    known: impl Fn(&PublicKey) -> bool + Send + Sync + 'static,
) -> io::Result<Halves> {
    let (provider, pinned) = pinned(Arc::new(known));
    let key = identity.certified().map_err(io::Error::other)?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .dangerous() // only in that no authority is asked: the key itself is compared
        .with_custom_certificate_verifier(pinned)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
    config.enable_sni = false;
    config.resumption = rustls::client::Resumption::disabled();
    let name = ServerName::try_from("framewalk").map_err(io::Error::other)?;
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(secure(halves, connection.into())?.0)
}

/// The server's side: `known` decides about the client's key, which is returned.
pub(super) fn server(
    halves: Halves,
    identity: &Identity,
    known: impl Fn(&PublicKey) -> bool + Send + Sync + 'static,
) -> io::Result<(Halves, PublicKey)> {
    let (provider, pinned) = pinned(Arc::new(known));
    let key = identity.certified().map_err(io::Error::other)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .with_client_cert_verifier(pinned)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(key)));
    config.send_tls13_tickets = 0;
    let connection = ServerConnection::new(Arc::new(config)).map_err(io::Error::other)?;
    let (halves, key) = secure(halves, connection.into())?;
    Ok((halves, key.ok_or_else(|| io::Error::other("the peer showed no key"))?))
}

/// Does the handshake. Returns the halves in clear, and the peer's key.
fn secure(halves: Halves, mut tls: Connection) -> io::Result<(Halves, Option<PublicKey>)> {
    let Halves { mut read, mut write, close, from } = halves;
    let deadline = Instant::now() + HANDSHAKE;
    let mut raw = vec![0; 64 << 10];
    let (mut begin, mut end) = (0, 0);
    let mut out = Vec::new();
    let failed = loop {
        while tls.wants_write() {
            tls.write_tls(&mut out)?;
        }
        write.write_all(&out).and_then(|()| write.flush())?;
        out.clear();
        if !tls.is_handshaking() {
            break None;
        }
        if Instant::now() > deadline {
            break Some(io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in 10 s"));
        }
        if begin == end {
            match read.read(&mut raw) {
                Ok(0) => {
                    let say = "the connection ended during the TLS handshake";
                    break Some(io::Error::new(io::ErrorKind::UnexpectedEof, say));
                }
                Ok(n) => (begin, end) = (0, n),
                Err(e) if is_tick(&e) => continue,
                Err(e) => break Some(e),
            }
        }
        begin += tls.read_tls(&mut &raw[begin..end])?;
        if let Err(e) = tls.process_new_packets() {
            break Some(told(&e));
        }
    };
    if let Some(e) = failed {
        while tls.wants_write() && tls.write_tls(&mut out).is_ok() {}
        let _ = write.write_all(&out).and_then(|()| write.flush()); // the alert
        close();
        return Err(e);
    }
    let key = tls.peer_certificates().and_then(|shown| public_key(shown.first()?));
    let shared = Arc::new(Mutex::new(tls));
    let reading = Reading { tls: Arc::clone(&shared), raw: read, buffer: raw, begin, end };
    let raw = Arc::new(Mutex::new(Raw { write, out }));
    let read = Box::new(Flushing { reading, raw: Arc::clone(&raw) });
    let write = Box::new(Writing { tls: shared, raw });
    Ok((Halves { read, write, close, from }, key))
}

/// What an error of TLS means here.
fn told(e: &rustls::Error) -> io::Error {
    let say = match e {
        rustls::Error::AlertReceived(_) => {
            format!("the peer refused this key: it is not enrolled there, or was revoked ({e})")
        }
        rustls::Error::InvalidCertificate(CertificateError::Other(why)) => why.to_string(),
        _ => format!("TLS: {e}"),
    };
    io::Error::new(io::ErrorKind::PermissionDenied, say)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The half that reads: what is waited for is read without the lock, so that others can write.
struct Reading {
    tls: Arc<Mutex<Connection>>,
    raw: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    begin: usize,
    end: usize,
}

impl Reading {
    /// Also says whether TLS wants to answer by itself.
    fn read(&mut self, out: &mut [u8]) -> io::Result<(usize, bool)> {
        loop {
            let mut tls = lock(&self.tls);
            match tls.reader().read(out) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                done => return done.map(|n| (n, tls.wants_write())),
            }
            if self.begin < self.end {
                self.begin += tls.read_tls(&mut &self.buffer[self.begin..self.end])?;
                tls.process_new_packets().map_err(|e| told(&e))?;
                continue;
            }
            drop(tls);
            let read = self.raw.read(&mut self.buffer)?;
            (self.begin, self.end) = (0, read);
            if read == 0 {
                lock(&self.tls).read_tls(&mut io::empty())?;
            }
        }
    }
}

struct Flushing {
    reading: Reading,
    raw: Arc<Mutex<Raw>>,
}

impl Read for Flushing {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let (read, wants) = self.reading.read(out)?;
        if wants {
            let mut raw = lock(&self.raw);
            raw.take(&mut lock(&self.reading.tls))?;
            raw.send()?;
        }
        Ok(read)
    }
}

/// The stream below, and records on their way to it: in the order in which they were made.
struct Raw {
    write: Box<dyn Write + Send>,
    out: Vec<u8>,
}

impl Raw {
    fn take(&mut self, tls: &mut Connection) -> io::Result<()> {
        while tls.wants_write() {
            tls.write_tls(&mut self.out)?;
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        let done = self.write.write_all(&self.out);
        self.out.clear();
        done
    }
}

/// The half that writes: records are made under the lock of TLS and sent without it.
struct Writing {
    tls: Arc<Mutex<Connection>>,
    raw: Arc<Mutex<Raw>>,
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut raw = lock(&self.raw);
        let mut tls = lock(&self.tls);
        let taken = tls.writer().write(bytes)?;
        raw.take(&mut tls)?;
        drop(tls);
        if raw.out.len() >= SEND {
            raw.send()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut raw = lock(&self.raw);
        raw.send()?;
        raw.write.flush()
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // a clean end tells the peer that nothing was cut off
        let mut raw = lock(&self.raw);
        let mut tls = lock(&self.tls);
        tls.send_close_notify();
        let _ = raw.take(&mut tls);
        drop(tls);
        let _ = raw.send();
    }
}
