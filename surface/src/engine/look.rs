//! What is said in a conversation: looked at packet by packet until its application is known.

use super::{Sink, Waiting};
use crate::App;
use crate::facts::NameKey;
use crate::flow::{Flow, Look, Opener, Side, flags};
use crate::follow::{Ended, Follow};
use crate::inspect::{Inspection, Outcome, Roles, Spares};
use crate::peel::proto;
use crate::site::{Message, listens};

/// Looks at a packet. The bytes that its inspection held before and after come back. Without
/// `room` it is over.
#[inline(never)]
pub(super) fn look(
    flow: &mut Flow,
    one: &Waiting<'_>,
    room: usize,
    spares: &mut Spares,
    sink: &mut impl Sink,
    key: &NameKey,
) -> (usize, usize) {
    let held = |inspection: &Inspection| size_of::<Inspection>() + inspection.held();
    let roles = roles(flow);
    let (mut inspection, before) = match std::mem::replace(&mut flow.look, Look::Done) {
        Look::Open(inspection) => {
            let held = held(&inspection);
            (inspection, held)
        }
        Look::Wanted => (spares.take(), 0),
        Look::Follow(follow) => return go_on(flow, follow, one, room, spares, key),
        Look::Done => return (0, 0),
    };
    let packet = &one.packet;
    let mut outcome = if packet.proto == proto::TCP {
        for side in [Side::Low, Side::High] {
            if let Some(seq) = flow.syn_seen(side) {
                inspection.syn(side, seq);
            }
        }
        let seq = packet.tcp.seq.wrapping_add(u32::from(packet.tcp.flags & flags::SYN != 0));
        inspection.segment(one.side, seq, packet.payload, packet.payload_wire, roles)
    } else {
        inspection.datagram(one.side, packet.payload, packet.payload_wire, roles)
    };
    if outcome == Outcome::Open && room == 0 {
        outcome = inspection.end(roles);
    }
    if outcome == Outcome::Open {
        let after = held(&inspection);
        flow.look = Look::Open(inspection);
        return (before, after);
    }
    if settle(flow, &inspection, outcome) {
        let follow = Box::new(Follow::new(inspection));
        if room > 0 && !follow.is_over() {
            let after = follow.held();
            flow.look = Look::Follow(follow);
            return (before, after);
        }
        followed(flow, follow, key, spares);
        return (before, 0);
    }
    if packet.proto == proto::UDP && listens(flow.app) {
        for side in [flow.opener, flow.opener.other()] {
            for (datagram, _) in inspection.said(side).datagrams() {
                sink.message(&message(flow, side, datagram, Some(one)), one.number);
            }
        }
    }
    spares.give(inspection);
    (before, 0)
}

/// A segment of a conversation that is followed.
fn go_on(
    flow: &mut Flow,
    mut follow: Box<Follow>,
    one: &Waiting<'_>,
    room: usize,
    spares: &mut Spares,
    key: &NameKey,
) -> (usize, usize) {
    let (before, packet) = (follow.held(), &one.packet);
    for side in [Side::Low, Side::High] {
        if let Some(seq) = flow.syn_seen(side) {
            follow.syn(side, seq);
        }
    }
    let seq = packet.tcp.seq.wrapping_add(u32::from(packet.tcp.flags & flags::SYN != 0));
    follow.segment(one.side, seq, packet.payload, packet.payload_wire);
    if room == 0 || follow.is_over() {
        followed(flow, follow, key, spares);
        return (before, 0);
    }
    let after = follow.held();
    flow.look = Look::Follow(follow);
    (before, after)
}

/// A conversation is followed no longer.
pub(super) fn followed(
    flow: &mut Flow,
    mut follow: Box<Follow>,
    key: &NameKey,
    spares: &mut Spares,
) {
    let ended = Ended {
        by: flow.ended_by(),
        lasted_ns: flow.last_ns.saturating_sub(flow.first_ns),
        gaps: flow.missing != [0, 0],
    };
    flow.facts = follow.end(roles(flow), ended, key);
    spares.give(follow.inspection);
}

/// A datagram that an end sent; `one` is the packet of it, or came soon after it. Without one, the
/// conversation is over.
pub(super) fn message<'a>(
    flow: &Flow,
    side: Side,
    payload: &'a [u8],
    one: Option<&Waiting<'_>>,
) -> Message<'a> {
    let end = |side: Side| {
        let (address, port) = flow.key.end(side);
        (address.ip(), port)
    };
    let own = |one: &&Waiting<'_>| one.side == side;
    Message {
        app: flow.app,
        from: end(side),
        to: end(side.other()),
        payload,
        frame: one.filter(own).map_or(flow.first_frame, |one| one.number),
        time_ns: one.map_or(flow.first_ns, |one| one.time_ns),
        mac: one.and_then(|one| {
            one.packet.macs.map(|(src, dst)| if one.side == side { src } else { dst })
        }),
    }
}

/// What an inspection has come to. Whether the conversation is to be followed comes back.
pub(super) fn settle(flow: &mut Flow, inspection: &Inspection, outcome: Outcome) -> bool {
    let Outcome::Found { app, swapped } = outcome else { return false };
    flow.app = app;
    flow.app_sure = inspection.sure;
    flow.path.clone_from(&inspection.path);
    if swapped {
        flow.opener = flow.opener.other();
    }
    if app == App::Rdp && flow.key.proto == proto::TCP {
        return true;
    }
    flow.facts = inspection.facts(app, roles(flow));
    false
}

pub(super) fn roles(flow: &Flow) -> Roles {
    Roles {
        opener: flow.opener,
        certain: flow.opener_by == Opener::Syn,
        opener_port: flow.key.end(flow.opener).1,
        service_port: flow.key.end(flow.opener.other()).1,
    }
}
