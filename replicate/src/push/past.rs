//! What is known before a push of what it will find.

use std::time::Duration;

use super::state::{Folder, Head, Left, Old};
use crate::error::Error;
use crate::generation::{Layer, Manifest};
use crate::part::SegmentRef;
use crate::repository::Repository;
use crate::store::segment_name;

/// A journal older than this is not used: prune may be about to remove its segments.
const JOURNAL_AGE: Duration = Duration::from_hours(12);

/// The generation before, and what a push that did not end has stored.
pub(super) struct Past {
    /// The state of the generation before, if it is the newest in the repository.
    pub(super) head: Option<Head>,
    pub(super) left: Left,
    /// Why there is no state, where one was to be expected.
    pub(super) anew: Option<String>,
}

impl Past {
    /// Reads what earlier pushes left here, as far as it is still true of the repository.
    pub(super) fn read(
        repository: &Repository,
        folder: &Folder,
        set: [u8; 8],
    ) -> Result<(Self, Old), Error> {
        let newest = newest(repository, set)?;
        let (head, old, anew) = remembered(repository, folder, newest.as_ref())?;
        let left = left_over(repository, folder)?;
        Ok((Self { head, left, anew }, old))
    }

    pub(super) fn layers(&self) -> &[Layer] {
        self.head.as_ref().map_or(&[], |head| &head.layers)
    }

    /// Segments by their number in what is remembered: those of the state, then the journal's.
    pub(super) fn segments(&self) -> Vec<SegmentRef> {
        let mut known = self.head.as_ref().map_or_else(Vec::new, |head| head.segments.clone());
        known.extend(&self.left.segments);
        known
    }

    /// How many of the segments are the state's.
    pub(super) fn of_state(&self) -> u32 {
        self.head.as_ref().map_or(0, |head| head.segments.len() as u32)
    }

    /// Bytes of the journal's segments.
    pub(super) fn resumed(&self) -> u64 {
        self.left.segments.iter().map(|segment| u64::from(segment.bytes)).sum()
    }
}

/// The newest generation of the set.
fn newest(repository: &Repository, set: [u8; 8]) -> Result<Option<Manifest>, Error> {
    for object in repository.store.list(Some("generations"))?.iter().rev() {
        let number = object.name.strip_prefix("generations/").and_then(|n| n.parse().ok());
        let Some(number) = number else { continue };
        match Manifest::get(repository, number) {
            Ok(manifest) if manifest.set == set => return Ok(Some(manifest)),
            // a damaged one is verify's to tell; it is nothing to build on
            Ok(_) | Err(Error::Damage(_)) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(None)
}

/// The state of the generation before, if it is the newest in the repository.
fn remembered(
    repository: &Repository,
    folder: &Folder,
    newest: Option<&Manifest>,
) -> Result<(Option<Head>, Old, Option<String>), Error> {
    folder.mend()?;
    let published = |head: &Head| {
        newest.is_some_and(|newest| newest.number == head.number && newest.id == head.manifest)
    };
    match folder.prepared() {
        Some(head) if published(&head) => folder.commit()?,
        _ => folder.forget_next()?,
    }
    let current = folder.current();
    let why = match (&current, newest) {
        (Some((head, _)), _) if head.config != repository.fingerprint => {
            Some("what is remembered here is of another repository".to_owned())
        }
        (Some((head, _)), _) if published(head) => None,
        (Some((head, _)), Some(newest)) => Some(format!(
            "generation {} was pushed last from here, but the newest of these paths is {}",
            head.number, newest.number
        )),
        (Some((head, _)), None) => Some(format!(
            "generation {} was pushed last from here, but the repository has none of these paths: \
             it was lost or taken away",
            head.number
        )),
        (None, Some(newest)) => Some(format!(
            "generation {} is in the repository, but nothing is remembered of it here",
            newest.number
        )),
        (None, None) => None,
    };
    match (current, why) {
        (Some((head, old)), None) => Ok((Some(head), old, None)),
        (_, why) => Ok((None, Old::default(), why)),
    }
}

/// What an interrupted push left in the repository.
fn left_over(repository: &Repository, folder: &Folder) -> Result<Left, Error> {
    let path = folder.journal();
    let age = std::fs::metadata(&path).and_then(|meta| meta.modified()).ok();
    let age = age.and_then(|changed| changed.elapsed().ok());
    if age.is_none_or(|age| age > JOURNAL_AGE) {
        folder.forget_journal()?;
    }
    let exists = |segment: &SegmentRef| {
        let size = repository.store.size(&segment_name(&segment.hash));
        size.is_ok_and(|size| size == Some(u64::from(segment.bytes)))
    };
    Left::read(&path, exists)
}
