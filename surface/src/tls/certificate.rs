//! The fields of a certificate that are kept.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::hello::Cursor;
use super::{hex, text};

/// A server's certificate (RFC 5280).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Common name of the subject, or its first DNS name.
    pub subject: Option<String>,
    /// Organisation of the subject.
    pub organization: Option<String>,
    /// Common name of the issuer.
    pub issuer: Option<String>,
    /// Issuer and subject are the same.
    pub self_issued: bool,
    /// Seconds since 1970 from which it is valid.
    pub not_before: i64,
    /// Seconds since 1970 until which it is valid.
    pub not_after: i64,
    /// SHA-256 of its DER encoding, in hexadecimal digits.
    pub sha256: String,
}

/// Certificates read lately, by their DER encoding: a server shows the same one again and again.
#[derive(Debug, Default)]
struct Lately {
    read: HashMap<Box<[u8]>, Option<Arc<Certificate>>, foldhash::fast::RandomState>,
    bytes: usize,
}

/// Bytes and number of certificates kept.
const LATELY_BYTES_MAX: usize = 1 << 20;
const LATELY_MAX: usize = 512;

thread_local! {
    static LATELY: RefCell<Lately> = RefCell::default();
}

impl Lately {
    fn get(&mut self, der: &[u8]) -> Option<Arc<Certificate>> {
        if let Some(known) = self.read.get(der) {
            return known.clone();
        }
        if self.read.len() == LATELY_MAX || self.bytes + der.len() > LATELY_BYTES_MAX {
            *self = Self::default();
        }
        let certificate = Certificate::read(der).map(Arc::new);
        self.bytes += der.len();
        self.read.insert(der.into(), certificate.clone());
        certificate
    }
}

impl Certificate {
    /// The first certificate of a `Certificate` message (RFC 5246 section 7.4.2).
    pub(super) fn first_of(message: &[u8]) -> Option<Arc<Self>> {
        let mut cursor = Cursor(message);
        cursor.u24()?;
        let length = cursor.u24()?;
        let der = cursor.bytes(length)?;
        LATELY.with_borrow_mut(|lately| lately.get(der))
    }

    fn read(der: &[u8]) -> Option<Self> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let first = |name: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            name.map(|value| text(value.as_slice())).filter(|text| !text.is_empty())
        };
        let (subject, issuer) = (certificate.subject(), certificate.issuer());
        let alternative = || {
            let names = certificate.subject_alternative_name().ok()??;
            names.value.general_names.iter().find_map(|name| match name {
                x509_parser::extensions::GeneralName::DNSName(name) => Some(text(name.as_bytes())),
                _ => None,
            })
        };
        Some(Self {
            subject: first(subject.iter_common_name().next()).or_else(alternative),
            organization: first(subject.iter_organization().next()),
            issuer: first(issuer.iter_common_name().next()),
            self_issued: subject.as_raw() == issuer.as_raw(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            sha256: hex(&Sha256::digest(der)),
        })
    }
}
