//! Who may do what: names of objects, roles of peers, sizes. Pure decisions.

use serde::{Deserialize, Serialize};

use super::codec::Message;
use crate::hash::{Hash, unhex};
use crate::repository::{CONFIG_BYTES_MAX, Config};
use crate::store::{drill_name, generation_name, part_name, relocation_name, segment_name};

/// What an enrolled peer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Adds segments, maps, generations; reads what a push needs; removes nothing.
    Source,
    /// Reads everything; adds records of drills, removes nothing.
    Restore,
    /// Reads everything, adds segments and relocations, removes.
    Prune,
    /// Makes the repository where there is none yet; a source once it is made.
    Init,
}

impl Role {
    /// As the protocol writes it.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Source => 1,
            Self::Restore => 2,
            Self::Prune => 3,
            Self::Init => 4,
        }
    }

    pub(crate) fn of(number: u8) -> Option<Self> {
        [Self::Source, Self::Restore, Self::Prune, Self::Init]
            .into_iter()
            .find(|r| r.number() == number)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Source => "source",
            Self::Restore => "restore",
            Self::Prune => "prune",
            Self::Init => "init",
        })
    }
}

/// An object by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Object {
    Config,
    Segment(Hash),
    Map(Hash),
    Generation(u32),
    Relocation(u32),
    Drill(Hash),
}

impl Object {
    /// Only names that this project gives, written as it writes them: nothing else leads anywhere.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        if name == "config" {
            return Some(Self::Config);
        }
        let (folder, rest) = name.split_once('/')?;
        let hash = || rest.split_once('/').and_then(|(_, hash)| unhex(hash)).map(Hash);
        let number = || rest.parse().ok();
        let (object, canonical) = match folder {
            "segments" => (Self::Segment(hash()?), segment_name(&hash()?)),
            "maps" => (Self::Map(hash()?), part_name(&hash()?)),
            "generations" => (Self::Generation(number()?), generation_name(number()?)),
            "drills" => (Self::Drill(Hash(unhex(rest)?)), drill_name(&Hash(unhex(rest)?))),
            "relocations" => (Self::Relocation(number()?), relocation_name(number()?)),
            _ => return None,
        };
        (canonical == name).then_some(object)
    }

    /// The most bytes that one may have when it is put.
    fn most(self, segment: u32) -> u64 {
        match self {
            Self::Config => CONFIG_BYTES_MAX,
            // a slot may be larger than the rest of the room: then it is alone in its segment
            Self::Segment(_) => u64::from(segment) + (2 << 20),
            Self::Map(_) | Self::Generation(_) => 16 << 20,
            Self::Relocation(_) => 256 << 20,
            Self::Drill(_) => crate::drill::BYTES_MAX,
        }
    }
}

/// What peers are told that want something of a repository which is not made yet.
pub(crate) const NOTHING_YET: &str =
    "there is no repository here yet: a machine enrolled with the role init makes it";

/// What a peer is told that wants to make the repository again.
pub(crate) const MADE: &str = "there is a repository here: it is not made again";

/// Folders that may be listed.
const FOLDERS: [&str; 6] = ["", "segments", "maps", "generations", "relocations", "drills"];

/// Whether a peer of this role may ask for this, before any of it is done. `config` is the
/// repository's, if there is one.
pub(crate) fn admit(
    role: Role,
    message: &Message<'_>,
    config: Option<&Config>,
) -> Result<(), String> {
    if role == Role::Init {
        return admit_init(message, config.is_some());
    }
    let Some(config) = config else { return Err(NOTHING_YET.to_owned()) };
    let object = |name: &str| {
        Object::parse(name).ok_or_else(|| format!("{name:?} is no name of an object here"))
    };
    let may = |allowed: bool, what: &str| {
        if allowed { Ok(()) } else { Err(format!("the role {role} may not {what}")) }
    };
    match *message {
        Message::Get { name, .. } | Message::Range { name, .. } => {
            let needed = !matches!(object(name)?, Object::Segment(_) | Object::Relocation(_));
            may(role != Role::Source || needed, &format!("read {name}"))
        }
        Message::Size { name } => object(name).map(|_| ()),
        Message::List { folder } if FOLDERS.contains(&folder) => Ok(()),
        Message::List { folder } => Err(format!("{folder:?} is no folder here")),
        Message::Put { size, name } => {
            let object = object(name)?;
            let allowed = match object {
                Object::Config => false,
                Object::Segment(_) => role != Role::Restore,
                Object::Map(_) | Object::Generation(_) => role == Role::Source,
                Object::Relocation(_) => role == Role::Prune,
                Object::Drill(_) => role == Role::Restore,
            };
            may(allowed, &format!("put {name}"))?;
            let most = object.most(config.segment);
            if (1..=most).contains(&size) {
                Ok(())
            } else {
                Err(format!("{name} of {size} bytes: 1 to {most} are taken"))
            }
        }
        Message::Delete { name } => {
            let kept = matches!(object(name)?, Object::Config | Object::Drill(_));
            let allowed = role == Role::Prune && !kept;
            may(allowed, &format!("delete {name}"))
        }
        Message::Sweep { .. } => may(role == Role::Prune, "sweep"),
        _ => Err("that is no request".to_owned()),
    }
}

/// Who may make the repository may put its `config`, once, and see what became of it.
fn admit_init(message: &Message<'_>, made: bool) -> Result<(), String> {
    let config = |name: &str| Object::parse(name) == Some(Object::Config);
    match *message {
        Message::Get { name, .. } | Message::Size { name } if config(name) => Ok(()),
        Message::Put { name, .. } if config(name) && made => Err(MADE.to_owned()),
        Message::Put { name, size } if config(name) => {
            if (1..=CONFIG_BYTES_MAX).contains(&size) {
                Ok(())
            } else {
                Err(format!("{name} of {size} bytes: 1 to {CONFIG_BYTES_MAX} are taken"))
            }
        }
        _ => Err("the role init may put and read config, nothing else".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_names_are_names() {
        let hash = Hash([0xab; 32]);
        let good = segment_name(&hash);
        assert_eq!(Object::parse(&good), Some(Object::Segment(hash)));
        assert_eq!(Object::parse("generations/00000007"), Some(Object::Generation(7)));
        for bad in [
            "",
            "/",
            "config/",
            "../config",
            "segments/../config",
            "generations/7",
            "generations/+0000007",
            "generations/00000007#1",
            "segments/ab",
            "Generations/00000007",
            "generations//00000007",
            "other/00000001",
            &good.replace("/ab/", "/ac/"),
            &good.to_uppercase(),
            &format!("{good}#1"),
            &format!("{good}/"),
            &good.replace("segments", "segments/."),
        ] {
            assert_eq!(Object::parse(bad), None, "{bad}");
        }
    }
}
