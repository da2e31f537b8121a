//! Frames chosen with tcpdump's filter expressions, which libpcap compiles.
//!
//! libpcap is there only in builds with the feature `libpcap`; without it every expression is
//! refused with [`Error::NoFilters`], which says how to get it.

use skb::LinkType;

use crate::error::Error;

#[cfg(feature = "libpcap")]
mod bpf;
mod instruction;

pub use instruction::Instruction;

#[cfg(feature = "libpcap")]
#[path = "filter/libpcap.rs"]
mod imp;
#[cfg(not(feature = "libpcap"))]
#[path = "filter/absent.rs"]
mod imp;

/// An expression, compiled for each link type when the first frame of that type comes.
#[derive(Debug)]
pub struct Filter {
    expression: String,
    programs: Vec<(LinkType, imp::Program)>,
}

impl Filter {
    /// Compiles `expression` for `linktype`, so that a mistake in it is found before any frame is
    /// read.
    pub fn new(expression: &str, linktype: LinkType) -> Result<Self, Error> {
        let program = imp::Program::compile(expression, linktype)?;
        Ok(Self { expression: expression.to_owned(), programs: vec![(linktype, program)] })
    }

    /// The expression as given.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// Does a frame match? `origlen` is what the primitives `len`, `less` and `greater` compare.
    /// An error can come only with the first frame of a link type: not every expression means
    /// something for every link type.
    #[inline]
    pub fn matches(
        &mut self,
        linktype: LinkType,
        origlen: u32,
        data: &[u8],
    ) -> Result<bool, Error> {
        // files have one link type, rarely a handful
        if let Some((_, program)) = self.programs.iter().find(|(known, _)| *known == linktype) {
            return Ok(program.matches(origlen, data));
        }
        let program = imp::Program::compile(&self.expression, linktype)?;
        let matches = program.matches(origlen, data);
        self.programs.push((linktype, program));
        Ok(matches)
    }
}

/// True if this build can compile filters.
pub const AVAILABLE: bool = cfg!(feature = "libpcap");

#[cfg(test)]
mod tests;
