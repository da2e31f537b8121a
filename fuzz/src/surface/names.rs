//! Names from the wire: all that hosts, servers and switches call themselves and each other, as it
//! ends up in reports.

use super::net::{Dialog, Over};
use super::script::Script;
use super::{lan, rdp, remote, stores, web, windows};

/// What this family says.
pub const DIALOGS: &[Dialog] = &[
    lan::DIALOGS[0],
    lan::DIALOGS[2],
    lan::DIALOGS[3],
    lan::DIALOGS[4],
    lan::DIALOGS[5],
    lan::DIALOGS[6],
    lan::DIALOGS[8],
    lan::DIALOGS[9],
    lan::DIALOGS[10],
    lan::DIALOGS[11],
    lan::DIALOGS[12],
    lan::DIALOGS[13],
    web::DIALOGS[0],
    web::DIALOGS[3],
    web::DIALOGS[4],
    rdp::DIALOGS[0],
    rdp::DIALOGS[1],
    stores::DIALOGS[0],
    stores::DIALOGS[5],
    windows::DIALOGS[1],
    remote::DIALOGS[4],
    Dialog { app: "", over: Over::Link, port: 0, say: switch },
    Dialog { app: "", over: Over::Udp, port: 67, say: client },
];

const TRICKS: [&str; 8] = [
    "front<b>desk</b>",
    "\u{1b}[31mred\u{7}",
    "a\" onload=\"x\u{0}",
    "`x` [y](z) **w** | # _ ![]()",
    "\u{202e}gpj.exe\u{2066}",
    "</p><script>alert(1)</script>",
    "\r\n\t\u{9b}2J\u{85}\u{2028}\u{feff}",
    "{\"a\":\"\\u0000\"}\u{fffe}\u{10ffff}",
];

fn trick(s: &mut Script<'_>) {
    let text = s.one_of(&TRICKS).unwrap_or_default();
    s.free(text.as_bytes());
}

/// LLDP: a system's name, and an address of it.
fn switch(s: &mut Script<'_>) {
    s.client().raw(&[1, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1, 0x88, 0xcc]);
    s.raw(&[0x10, 12, 5, 1, 192, 168, 1, 2, 2, 0, 0, 0, 1, 0]);
    s.len_be(2, 5 << 9, trick).raw(&[0, 0]);
}

/// DHCP: a client's name, then the server's word; then the name is known.
fn client(s: &mut Script<'_>) {
    for (op, kind) in [(1, 3), (2, 5)] {
        if op == 1 {
            s.client();
        } else {
            s.server();
        }
        s.raw(&[op, 1, 6, 0, 0x39, 3, 0xf3, 0x26, 0, 0, 0, 0, 0, 0, 0, 0, 192, 168, 1, 50]);
        s.fill(0, 8).raw(&[2, 0, 0, 0, 0, 1]).fill(0, 202);
        s.raw(&[0x63, 0x82, 0x53, 0x63, 53, 1, kind]);
        s.raw(&[12]).len_be(1, 0, trick);
        if op == 2 {
            s.raw(&[54, 4, 192, 168, 1, 1, 15]).len_be(1, 0, trick);
            s.raw(&[252]).len_be(1, 0, trick);
        }
        s.raw(&[255]);
    }
}
