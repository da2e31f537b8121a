//! What can go wrong, with the object it went wrong in.

use std::path::PathBuf;

/// Everything that a backup can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An object of the repository is not what it must be.
    #[error("{0}")]
    Damage(Damage),
    /// The repository did not take or give an object.
    #[error("{operation} {object}")]
    Store {
        /// Such as "put".
        operation: &'static str,
        /// The object's path in the repository.
        object: String,
        /// Why.
        #[source]
        source: Box<object_store::Error>,
    },
    /// A local file could not be read or written.
    #[error("{operation} {path}")]
    Io {
        /// Such as "open".
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The connection to a server was cut, and could not be made again.
    #[error("{operation}{} at {peer}: cut after {acknowledged} objects: {why}", spaced(.object))]
    Cut {
        /// Such as "put".
        operation: &'static str,
        /// The object's path in the repository.
        object: String,
        /// The server.
        peer: String,
        /// Objects that it has acknowledged as synced.
        acknowledged: u64,
        /// What ended the connection.
        why: String,
    },
    /// The server does not do this for us, or could not.
    #[error("{operation}{} at {peer}: {why}", spaced(.object))]
    Refused {
        /// Such as "put".
        operation: &'static str,
        /// The object's path in the repository.
        object: String,
        /// The server.
        peer: String,
        /// What it said.
        why: String,
    },
    /// A key is missing, of the wrong kind, or belongs to another repository.
    #[error("{0}")]
    Key(String),
    /// The request cannot be done as asked.
    #[error("{0}")]
    Request(String),
}

/// An object's name behind a verb; requests without an object have none.
fn spaced(object: &str) -> String {
    if object.is_empty() { String::new() } else { format!(" {object}") }
}

/// Damage to an object: what, where, what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The object's path in the repository, or the file in the generation.
    pub object: String,
    /// Byte offset in the object, where one is known.
    pub offset: u64,
    /// What was expected there.
    pub expected: String,
    /// What was found.
    pub found: String,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { object, offset, expected, found } = self;
        write!(f, "{object}: at byte {offset}: expected {expected}, found {found}")
    }
}

impl Error {
    pub(crate) fn damage(
        object: impl Into<String>,
        offset: u64,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Damage(Damage {
            object: object.into(),
            offset,
            expected: expected.into(),
            found: found.into(),
        })
    }
}

/// Turns an `io::Error` into ours, with the operation and the file.
pub(crate) trait At<T> {
    fn at(self, operation: &'static str, path: impl Into<PathBuf>) -> Result<T, Error>;
}

impl<T, E: Into<std::io::Error>> At<T> for Result<T, E> {
    fn at(self, operation: &'static str, path: impl Into<PathBuf>) -> Result<T, Error> {
        self.map_err(|e| Error::Io { operation, path: path.into(), source: e.into() })
    }
}
