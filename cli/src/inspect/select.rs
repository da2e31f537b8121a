//! Which frames are looked at: all, or those a tcpdump expression takes.

use capture::filter::Filter;
use capture::{Batch, FrameRef, Reader};
use skb::{FrameMeta, LinkType};

/// Decides frame by frame.
#[derive(Debug, Default)]
pub struct Selector {
    filter: Option<Filter>,
}

impl Selector {
    /// `expression` in tcpdump's syntax, or none for all frames. It is compiled at once, for the
    /// link type of the first interface if that is known already, so that a mistake shows early.
    pub fn new(expression: Option<&str>, reader: &Reader) -> anyhow::Result<Self> {
        Self::for_linktype(expression, Self::first_linktype(reader))
    }

    /// The link type that an expression is compiled for at once.
    pub fn first_linktype(reader: &Reader) -> LinkType {
        reader.interfaces().first().map_or(LinkType::ETHERNET, |i| i.linktype)
    }

    /// See [`Selector::new`]; for a thread of its own, since compiled filters stay in theirs.
    pub fn for_linktype(expression: Option<&str>, linktype: LinkType) -> anyhow::Result<Self> {
        let filter = expression.map(|text| Filter::new(text, linktype)).transpose()?;
        Ok(Self { filter })
    }

    /// The expression, if there is one.
    pub fn expression(&self) -> Option<&str> {
        self.filter.as_ref().map(Filter::expression)
    }

    /// No frame is left out.
    pub fn takes_all(&self) -> bool {
        self.filter.is_none()
    }

    /// Whether the frame is to be looked at.
    pub fn takes(&mut self, frame: &FrameRef<'_>) -> anyhow::Result<bool> {
        match &mut self.filter {
            None => Ok(true),
            Some(filter) => {
                let FrameMeta { linktype, origlen, .. } = frame.meta;
                Ok(filter.matches(linktype, origlen, frame.data)?)
            }
        }
    }

    /// Indices of the frames to be looked at.
    pub fn select(&mut self, batch: &Batch<'_>, out: &mut Vec<u32>) -> anyhow::Result<()> {
        out.clear();
        for index in 0..batch.records().len() {
            let Some(frame) = batch.frame(index) else { continue };
            if self.takes(&frame)? {
                out.push(index as u32);
            }
        }
        Ok(())
    }
}
