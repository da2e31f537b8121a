//! The blocks of pcapng that describe: sections, interfaces, their statistics.

use skb::LinkType;

use super::super::interface::{FcsLen, InterfaceCounters, InterfaceTexts, TimeUnit};
use super::super::options::{self, COMMENT, Options, u64_of};
use super::super::{Format, Interface, Kind, Parser, Raw, Section};
use super::{
    BYTE_ORDER_MAGIC, HELD_MAX, INTERFACES_MAX, SECTIONS_KEPT_MAX, State, TRAILER, padded, u16_at,
    u32_at,
};
use crate::error::{Damage, Part, Problem};

const SECTION_FIXED: usize = 24;
const INTERFACE_FIXED: usize = 16;
const STATISTICS_FIXED: usize = 20;

impl Parser {
    /// Section header block (4.1): sets the byte order and ends the section before.
    #[cold]
    pub(in crate::format) fn section_header(&mut self, bytes: &[u8]) -> Result<Raw, Damage> {
        let part = Part::SectionHeader;
        let Some(head) = bytes.first_chunk::<12>() else { return Ok(Raw::Need(12)) };
        let big = match u32_at(head, 8, false) {
            BYTE_ORDER_MAGIC => false,
            found if found == BYTE_ORDER_MAGIC.swap_bytes() => true,
            found => return Err(self.damage(8, part, Problem::ByteOrder { found })),
        };
        let total = u32_at(head, 4, big);
        let min = (SECTION_FIXED + TRAILER) as u32;
        if total < min {
            return Err(self.damage(4, part, Problem::BlockLength { found: total, min }));
        }
        let held = padded(total).min(HELD_MAX);
        let (true, Some(fixed)) = (bytes.len() >= held, bytes.first_chunk::<SECTION_FIXED>())
        else {
            return Ok(Raw::Need(held));
        };
        let (major, minor) = (u16_at(fixed, 12, big), u16_at(fixed, 14, big));
        if major != 1 || !matches!(minor, 0 | 2) {
            return Err(self.damage(12, part, Problem::Version { major, minor }));
        }
        let length = {
            let (a, b) = (u64::from(u32_at(fixed, 16, big)), u64::from(u32_at(fixed, 20, big)));
            if big { a << 32 | b } else { b << 32 | a }
        };
        // the section's own header is in its own byte order, whatever the one before had
        let first_section = matches!(self.kind, Kind::Start);
        let interface_first = self.interfaces.len() as u32;
        let number = self.blocks.sections as u32;
        let section_state =
            State { big_endian: big, section: number, interface_first, trailer: None };
        let before = std::mem::replace(&mut self.kind, Kind::Pcapng(section_state));
        let consumed = match self.step_over(bytes, total, big) {
            Ok(consumed) => consumed,
            Err(damage) => {
                self.kind = before;
                return Err(damage);
            }
        };
        if first_section {
            self.format = Some(Format::Pcapng { big_endian: big });
        }
        self.blocks.sections += 1;
        if self.sections.len() < SECTIONS_KEPT_MAX {
            let section = Section {
                big_endian: big,
                version: (major, minor),
                length: (length != u64::MAX).then_some(length),
                interface_first,
                ..Section::default()
            };
            let body = held.min(total as usize - TRAILER);
            let section = self.section_texts(section, &bytes[SECTION_FIXED..body]);
            self.sections.push(section);
        }
        Ok(Raw::Other(consumed))
    }

    fn section_texts(&mut self, mut section: Section, options: &[u8]) -> Section {
        let mut options = Options::new(options, section.big_endian);
        for option in &mut options {
            match option.code {
                COMMENT => section.comments.extend(self.text(option.value)),
                2 => section.hardware = self.text(option.value),
                3 => section.os = self.text(option.value),
                4 => section.userappl = self.text(option.value),
                _ => {}
            }
        }
        self.blocks.options_damaged += u64::from(options.is_damaged());
        section
    }

    /// Interface description block (4.2).
    #[cold]
    pub(super) fn interface_description(
        &mut self,
        bytes: &[u8],
        total: u32,
        big: bool,
    ) -> Result<Raw, Damage> {
        let part = Part::InterfaceDescription;
        let min = (INTERFACE_FIXED + TRAILER) as u32;
        if total < min {
            return Err(self.damage(4, part, Problem::BlockLength { found: total, min }));
        }
        let held = padded(total).min(HELD_MAX);
        let (true, Some(fixed)) = (bytes.len() >= held, bytes.first_chunk::<INTERFACE_FIXED>())
        else {
            return Ok(Raw::Need(held));
        };
        if self.interfaces.len() as u32 >= INTERFACES_MAX {
            return Err(self.damage(0, part, Problem::Interfaces { max: INTERFACES_MAX }));
        }
        let (section, first) = match &self.kind {
            Kind::Pcapng(state) => (state.section, state.interface_first),
            _ => (0, 0),
        };
        let index = self.interfaces.len() as u32 - first;
        let linktype = LinkType(u16_at(fixed, 8, big));
        let mut interface = Interface::new(section, index, linktype, big);
        interface.snaplen = u32_at(fixed, 12, big);
        let consumed = self.step_over(bytes, total, big)?;
        let body = held.min(total as usize - TRAILER);
        self.interface_options(&mut interface, &bytes[INTERFACE_FIXED..body]);
        self.interfaces.push(interface);
        Ok(Raw::Other(consumed))
    }

    fn interface_options(&mut self, interface: &mut Interface, options: &[u8]) {
        let big = interface.big_endian;
        let (mut resolution, mut offset_s) = (6, 0);
        let mut texts = InterfaceTexts::default();
        let mut options = Options::new(options, big);
        for option in &mut options {
            let value = option.value;
            match option.code {
                COMMENT => texts.comments.extend(self.text(value)),
                2 => texts.name = self.text(value),
                3 => texts.description = self.text(value),
                8 => interface.speed_bps = u64_of(value, big),
                9 => resolution = value.first().copied().unwrap_or(resolution),
                // the first byte says what follows; 0 is a libpcap expression
                11 if value.first() == Some(&0) => texts.filter = self.text(&value[1..]),
                12 => texts.os = self.text(value),
                13 => interface.fcs = value.first().map(|stated| FcsLen::from_option(*stated)),
                14 => offset_s = u64_of(value, big).map_or(offset_s, |seconds| seconds as i64),
                15 => texts.hardware = self.text(value),
                _ => {}
            }
        }
        self.blocks.options_damaged += u64::from(options.is_damaged());
        interface.time = TimeUnit::new(resolution, offset_s);
        if texts != InterfaceTexts::default() {
            interface.texts = Some(Box::new(texts));
        }
    }

    /// Interface statistics block (4.6).
    #[cold]
    pub(super) fn interface_statistics(
        &mut self,
        bytes: &[u8],
        total: u32,
        big: bool,
    ) -> Result<Raw, Damage> {
        let min = (STATISTICS_FIXED + TRAILER) as u32;
        if total < min {
            return Err(self.damage(4, Part::Block, Problem::BlockLength { found: total, min }));
        }
        let held = padded(total).min(HELD_MAX);
        let (true, Some(fixed)) = (bytes.len() >= held, bytes.first_chunk::<STATISTICS_FIXED>())
        else {
            return Ok(Raw::Need(held));
        };
        let index = u32_at(fixed, 8, big);
        let consumed = self.step_over(bytes, total, big)?;
        self.blocks.statistics += 1;
        let body = held.min(total as usize - TRAILER);
        let mut counters = InterfaceCounters::default();
        let mut options = Options::new(&bytes[STATISTICS_FIXED..body], big);
        for option in &mut options {
            let value = u64_of(option.value, big);
            match option.code {
                4 => counters.received = value,
                5 => counters.dropped = value,
                6 => counters.filter_accepted = value,
                7 => counters.os_dropped = value,
                8 => counters.delivered = value,
                _ => {}
            }
        }
        self.blocks.options_damaged += u64::from(options.is_damaged());
        match self.global_interface(index, Part::Block) {
            Ok(global) => {
                self.interfaces[global as usize].counters = Some(Box::new(counters));
            }
            Err(_) => self.blocks.statistics_orphaned += 1,
        }
        Ok(Raw::Other(consumed))
    }

    /// A text to keep, while the file's allowance for texts lasts.
    fn text(&mut self, value: &[u8]) -> Option<String> {
        if value.len() > self.text_bytes_left {
            self.blocks.texts_dropped += 1;
            return None;
        }
        // never less than an allocation costs, so that very many tiny texts are bounded too
        self.text_bytes_left -= value.len().max(32).min(self.text_bytes_left);
        Some(options::text(value).into_owned())
    }
}
