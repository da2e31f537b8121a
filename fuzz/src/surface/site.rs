//! A network's day: conversations of all families at once, from inside and from outside, through a
//! router that forwards, a few hundred times over.

use super::net::{Dialog, Over};
use super::script::Script;
use super::{lan, rdp, remote, stores, web, windows};

/// What this family says.
pub const DIALOGS: &[Dialog] = &[
    rdp::DIALOGS[0],
    rdp::DIALOGS[1],
    rdp::DIALOGS[2],
    Dialog { app: "", over: Over::Tcp, port: 3389, say: silent },
    web::DIALOGS[0],
    web::DIALOGS[3],
    web::DIALOGS[4],
    web::DIALOGS[5],
    windows::DIALOGS[0],
    windows::DIALOGS[1],
    windows::DIALOGS[4],
    windows::DIALOGS[5],
    lan::DIALOGS[0],
    lan::DIALOGS[3],
    lan::DIALOGS[4],
    lan::DIALOGS[5],
    lan::DIALOGS[6],
    lan::DIALOGS[7],
    lan::DIALOGS[9],
    lan::DIALOGS[10],
    lan::DIALOGS[11],
    lan::DIALOGS[12],
    stores::DIALOGS[0],
    stores::DIALOGS[4],
    stores::DIALOGS[5],
    stores::DIALOGS[6],
    stores::DIALOGS[7],
    remote::DIALOGS[0],
    remote::DIALOGS[1],
    remote::DIALOGS[2],
    remote::DIALOGS[4],
    remote::DIALOGS[8],
    Dialog { app: "", over: Over::Tcp, port: 445, say: bulk },
];

/// A connection in which nothing is said.
fn silent(_: &mut Script<'_>) {}

/// Many bytes one way, a few the other: a copy being made.
fn bulk(s: &mut Script<'_>) {
    let many = usize::from(s.input.u8());
    s.client().free(b"x").fill(0x11, many * 70);
    s.server().free(b"y");
}
