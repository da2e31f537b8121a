//! Frames lent out again and again: what a generator sends.

use super::{BufId, Pool, Slot};
use crate::{IpSummed, LinkType, PktType, PortId, RxDesc, Skb};

/// A frame in a slot that its keeper lends out again and again; never itself a frame in flight.
///
/// Half a cache line, because a generator goes through thousands of them in turn; in the order of
/// the [`Skb`]'s fields, so that lending moves words and computes nothing.
#[derive(Debug)]
#[repr(C)]
#[must_use = "owns a slot"]
pub struct Template {
    buf: BufId,
    head: u32,
    data: u32,
    tail: u32,
    end: u32,
    origlen: u32,
    gso_size: u16,
    linktype: LinkType,
    ip_proto: u8,
    ingress: PortId,
    pkt_type: PktType,
    ip_summed: IpSummed,
}

impl Pool {
    /// Makes the first `len` written bytes of a slot a template: a frame that can be lent out
    /// again and again. `None` if longer than the slot.
    pub fn template(&mut self, slot: Slot, len: usize, ingress: PortId) -> Option<Template> {
        let Skb { head, data, tail, end, origlen, linktype, pkt_type, ip_summed, .. } =
            *self.slot_desc(&slot, len, ingress)?;
        let buf = slot.0;
        let (gso_size, ip_proto) = (0, 0);
        Some(Template {
            buf,
            head,
            data,
            tail,
            end,
            origlen,
            gso_size,
            linktype,
            ip_proto,
            ingress,
            pkt_type,
            ip_summed,
        })
    }

    /// Hands the frames of `templates` out into `descs`, in order, until one of them is still on
    /// its way. Returns how many. The first gets `id` and `time_ns`, each further one the next id
    /// and a time `gap_ns` later.
    #[inline(never)]
    pub fn lend_templates(
        &mut self,
        templates: &[Template],
        descs: &mut [RxDesc],
        mut id: u64,
        mut time_ns: i64,
        gap_ns: i64,
    ) -> usize {
        let mut lent = 0;
        let refs = &mut self.refs[..];
        for (from, place) in templates.iter().zip(descs) {
            let refs = &mut refs[from.buf.index()];
            if *refs != 1 {
                break;
            }
            *refs = 2;
            *place = RxDesc(Skb {
                buf: from.buf,
                head: from.head,
                data: from.data,
                tail: from.tail,
                end: from.end,
                origlen: from.origlen,
                time_ns,
                id,
                mac: from.data,
                gso_size: from.gso_size,
                linktype: from.linktype,
                ip_proto: from.ip_proto,
                ingress: from.ingress,
                pkt_type: from.pkt_type,
                ip_summed: from.ip_summed,
                ..Skb::hollow()
            });
            id += 1;
            time_ns += gap_ns;
            lent += 1;
        }
        self.held += lent as u64;
        lent
    }
}
