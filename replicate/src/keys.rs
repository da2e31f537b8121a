//! Key files, the recovery sheet, and the keys' use.
//!
//! A key file is JSON, mode 0600. Every one carries the fingerprint of the repository's `config`,
//! so that what `config` says (public keys among it) can be believed.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, Zeroizing};

use crate::error::{At, Error};
use crate::hash::{Hash, as_hex, hex, unhex};

/// A secret of 32 bytes, wiped when dropped.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(#[serde(with = "as_hex")] pub(crate) [u8; 32]);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// What a key file holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Key {
    /// Adds generations.
    Source {
        /// BLAKE3 of the repository's `config`.
        config: Hash,
        /// Key of page ids.
        id_key: Secret,
        /// Ed25519 secret that signs generations.
        sign: Secret,
    },
    /// Reads everything.
    Restore {
        /// BLAKE3 of the repository's `config`.
        config: Hash,
        /// The X25519 secret and the id key are derived from it.
        seed: Secret,
    },
    /// Drops generations and compacts.
    Prune {
        /// BLAKE3 of the repository's `config`.
        config: Hash,
        /// Ed25519 secret that signs relocations.
        sign: Secret,
    },
}

impl Key {
    /// BLAKE3 of the `config` that the key belongs to.
    pub fn config(&self) -> Hash {
        match self {
            Self::Source { config, .. }
            | Self::Restore { config, .. }
            | Self::Prune { config, .. } => *config,
        }
    }

    /// Whether a key file is the recovery sheet.
    pub fn is_sheet(path: &Path) -> Result<bool, Error> {
        let file = std::fs::File::open(path).at("open the key", path)?;
        let mut text = Zeroizing::new(String::new());
        file.take(1 << 16).read_to_string(&mut text).at("read the key", path)?;
        Ok(text.contains(SHEET_TITLE))
    }

    /// Reads a key file, or a recovery sheet. Others must not be able to read it.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let file = std::fs::File::open(path).at("open the key", path)?;
        let mode = file.metadata().at("look at the key", path)?.mode() & 0o777;
        let name = path.display();
        if mode & 0o077 != 0 {
            let say =
                format!("the key {name} has mode {mode:04o}, others can read it: chmod 600 {name}");
            return Err(Error::Key(say));
        }
        let mut text = Zeroizing::new(String::new());
        file.take(1 << 16).read_to_string(&mut text).at("read the key", path)?;
        if text.contains(SHEET_TITLE) {
            return read_sheet(&text).map_err(|why| Error::Key(format!("{name}: {why}")));
        }
        serde_json::from_str(&text)
            .map_err(|e| Error::Key(format!("{name} is no key of framewalk: {e}")))
    }

    /// Writes the key to a new file of mode 0600, synced.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(self).map_err(|e| Error::Key(e.to_string()))?;
        write_private(path, &Zeroizing::new(text + "\n"))
    }
}

/// Writes a new file of mode 0600, synced.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(path).at("create", path)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).at("write", path)
}

/// What follows from the restore key's seed.
pub(crate) fn restore_secret(seed: &Secret) -> crypto_box::SecretKey {
    crypto_box::SecretKey::from(blake3::derive_key("framewalk backup 1 restore x25519", &seed.0))
}

/// The key of page ids, which the source has too.
pub(crate) fn id_key(seed: &Secret) -> Secret {
    Secret(blake3::derive_key("framewalk backup 1 page ids", &seed.0))
}

/// The secret that signs drills: who can restore can say so.
pub(crate) fn drill_secret(seed: &Secret) -> Secret {
    Secret(blake3::derive_key("framewalk backup 1 drill ed25519", &seed.0))
}

/// The public half of a signing key.
pub(crate) fn public(sign: &Secret) -> [u8; 32] {
    SigningKey::from_bytes(&sign.0).verifying_key().to_bytes()
}

/// `title`, signature in hexadecimal, `body`.
pub(crate) fn signed(title: &str, sign: &Secret, body: &str) -> String {
    let key = SigningKey::from_bytes(&sign.0);
    let signature = key.sign(format!("{title}\n{body}").as_bytes());
    format!("{title}\n{}\n{body}", hex(&signature.to_bytes()))
}

/// The body of a signed object, if the signature is good.
pub(crate) fn checked<'a>(
    object: &str,
    title: &str,
    public: &[u8; 32],
    bytes: &'a [u8],
) -> Result<&'a str, Error> {
    let damage = |offset: usize, expected: &str, found: &str| {
        Error::damage(object, offset as u64, expected, found)
    };
    let text = std::str::from_utf8(bytes)
        .map_err(|e| damage(e.valid_up_to(), "text in UTF-8", "other bytes"))?;
    let rest = text
        .strip_prefix(title)
        .and_then(|rest| rest.strip_prefix('\n'))
        .ok_or_else(|| damage(0, title, "something else"))?;
    let at = title.len() + 1;
    let (signature, body) =
        rest.split_once('\n').ok_or_else(|| damage(at, "a signature", "no line"))?;
    let signature: [u8; 64] =
        unhex(signature).ok_or_else(|| damage(at, "a signature of 128 digits", "other text"))?;
    let key = VerifyingKey::from_bytes(public)
        .map_err(|_| Error::Key("config holds a signing key that is none".to_owned()))?;
    let signed = format!("{title}\n{body}");
    key.verify_strict(signed.as_bytes(), &Signature::from_bytes(&signature))
        .map_err(|_| damage(at, "a signature by this repository's key", "one that is not"))?;
    Ok(body)
}

const SHEET_TITLE: &str = "FRAMEWALK BACKUP RECOVERY SHEET";
/// Printed digits in a group.
const GROUP: usize = 8;
/// Groups in a line, without the check.
const LINE: usize = 4;

/// The recovery sheet's text: what can do all that the restore key can, to be printed.
pub fn recovery_sheet(seed: &Secret, config: &Hash, repository: &str, place: &str) -> String {
    let mut text = format!(
        "{SHEET_TITLE}\n\n\
         Repository {repository}, made at {place}\n\n\
         Print this and keep it away from the machine that is backed up. Whoever has it can\n\
         read every generation; without it and without restore.key nobody can.\n\n\
         To restore on any machine: type the four lines into a file, with this page's first\n\
         line above them, chmod 600 it, and\n\n    \
         framewalk backup restore --repo REPO latest --to DIR --key SHEET\n\n"
    );
    let digits = hex(&seed.0) + &hex(&config.0);
    for (number, line) in digits.as_bytes().chunks(GROUP * LINE).enumerate() {
        let line = String::from_utf8_lossy(line);
        let groups: Vec<_> =
            (0..LINE).map(|group| &line[group * GROUP..(group + 1) * GROUP]).collect();
        // writing into a string cannot fail
        let _ = writeln!(text, "{}: {}  {}", number + 1, groups.join(" "), check(number, &line));
    }
    text.push_str("\nThe last group of a line checks that line.\n");
    text
}

fn check(number: usize, line: &str) -> String {
    hex(&Hash::of(format!("{number}:{line}").as_bytes()).0[..2])
}

fn read_sheet(text: &str) -> Result<Key, String> {
    let mut digits = Zeroizing::new(String::new());
    for number in 0..4 {
        let start = format!("{}:", number + 1);
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix(&start))
            .ok_or_else(|| format!("line {} of the recovery sheet is missing", number + 1))?;
        let mut groups: Vec<_> = line.split_whitespace().map(str::to_lowercase).collect();
        let last = groups.pop().unwrap_or_default();
        let line = Zeroizing::new(groups.concat());
        if line.len() != GROUP * LINE || check(number, &line) != last {
            return Err(format!("line {} of the recovery sheet is mistyped", number + 1));
        }
        digits.push_str(&line);
    }
    let seed = unhex(&digits[..64]).ok_or("the recovery sheet holds other than digits")?;
    let config = unhex(&digits[64..]).ok_or("the recovery sheet holds other than digits")?;
    Ok(Key::Restore { config: Hash(config), seed: Secret(seed) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_is_the_restore_key_and_tells_the_mistyped_line() {
        let sheet = recovery_sheet(&Secret([0xa5; 32]), &Hash([0x3c; 32]), "r", "p");
        let Key::Restore { config, seed } = read_sheet(&sheet).unwrap() else { panic!() };
        assert_eq!((seed.0, config.0), ([0xa5; 32], [0x3c; 32]));
        let typed = sheet.replacen("3: 3c3c", "3: 3c3d", 1).to_uppercase();
        assert_eq!(read_sheet(&typed).unwrap_err(), "line 3 of the recovery sheet is mistyped");
        assert!(read_sheet("1: x").unwrap_err().contains("line 1"));
    }

    #[test]
    fn signatures_hold_the_title_and_the_body() {
        let (secret, other) = (Secret([1; 32]), Secret([2; 32]));
        let text = signed("title 1", &secret, "{}");
        let check = |text: &str, secret| {
            checked("o", "title 1", &public(secret), text.as_bytes()).map(str::to_owned)
        };
        assert_eq!(check(&text, &secret).unwrap(), "{}");
        assert!(check(&text, &other).is_err());
        assert!(check(&text.replace("{}", "{ }"), &secret).is_err());
        assert!(check(&text.replace("title 1", "title 2"), &secret).is_err());
        assert!(check(&text[..20], &secret).is_err());
    }
}
