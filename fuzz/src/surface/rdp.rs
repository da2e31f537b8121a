//! Remote desktops: TPKT, X.224, MCS with its blocks, TLS records with CredSSP in them as far as a
//! mirror port sees it (MS-RDPBCGR 2.2.1, MS-CSSP 2.2.1), and RDP over UDP.

use super::net::{Dialog, Over};
use super::script::{Script, Who};
use super::web;

/// What this family says.
pub const DIALOGS: &[Dialog] = &[
    Dialog { app: "rdp", over: Over::Tcp, port: 3389, say: nla },
    Dialog { app: "rdp", over: Over::Tcp, port: 3389, say: standard },
    Dialog { app: "rdp", over: Over::Tcp, port: 3389, say: refused },
    Dialog { app: "rdp", over: Over::Tcp, port: 3389, say: records },
    Dialog { app: "", over: Over::Tcp, port: 3389, say: direct },
    Dialog { app: "rdp-udp", over: Over::Udp, port: 3389, say: datagrams },
    Dialog { app: "", over: Over::Tcp, port: 102, say: units },
];

fn tpkt(s: &mut Script<'_>, body: impl FnOnce(&mut Script<'_>)) {
    s.raw(&[3, 0]).len_be(2, 4, body);
}

const COOKIES: [&[u8]; 5] =
    [b"", b"Cookie: mstshash=elton\r\n", b"Cookie: msts=3640205228.15629.0000\r\n", b"\r\n", b"t"];

/// A connection request: cookie or token, and what is offered.
fn request(s: &mut Script<'_>, offered: u64) {
    s.client();
    tpkt(s, |s| {
        s.len_be(1, 0, |s| {
            s.be(0xe0, 1).raw(&[0, 0, 0, 0, 0]);
            let cookie = s.one_of(&COOKIES).unwrap_or_default();
            s.raw(cookie);
            let flags = s.input.u8();
            s.be(1, 1).raw(&[flags]).le(8, 2).le(offered, 4);
        });
    });
}

fn confirm(s: &mut Script<'_>, kind: u64, value: u64) {
    s.server();
    tpkt(s, |s| {
        s.len_be(1, 0, |s| {
            s.be(0xd0, 1).raw(&[0, 0, 0x12, 0x34, 0]);
            s.be(kind, 1).raw(&[0x1f]).le(8, 2).le(value, 4);
        });
    });
}

/// A record of application data of so many bytes inside.
fn sealed(s: &mut Script<'_>, who: Who, added: usize, inside: usize) {
    s.say(who).raw(&[23, 3, 3]).len_be(2, 0, |s| _ = s.fill(0x5a, added + inside));
}

/// Network level authentication: the shapes of a log-on that succeeds, fails or is given up.
fn nla(s: &mut Script<'_>) {
    request(s, 11);
    let choices = [2, 8, 1, 0x10, 4, 0x40];
    let selected = s.one_of(&choices).unwrap_or(2);
    confirm(s, 2, selected);
    let v13 = s.input.u8() & 1 != 0;
    web::client_hello(s, b"");
    web::server_hello(s, v13);
    let added = if v13 { 17 } else { 24 };
    if v13 {
        for size in [6, 900, 300, 52] {
            sealed(s, Who::Server, added, size);
        }
        sealed(s, Who::Client, added, 52);
    } else {
        web::certificates(s);
        s.client().raw(&[22, 3, 3]).len_be(2, 0, |s| {
            s.raw(&[16]).len_be(3, 0, |s| _ = s.fill(7, 66));
        });
        s.raw(&[20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 40]).fill(3, 40);
        s.server().raw(&[20, 3, 3, 0, 1, 1, 22, 3, 3, 0, 40]).fill(3, 40);
    }
    let steps = s.times(6, 12);
    let sizes: [(Who, usize); 8] = [
        (Who::Client, 57),
        (Who::Server, 250),
        (Who::Client, 500),
        (Who::Server, 90),
        (Who::Client, 120),
        (Who::Server, 4),
        (Who::Client, 420),
        (Who::Server, 120),
    ];
    for &(who, size) in sizes.iter().cycle().take(steps.into()) {
        let more = usize::from(s.input.u8());
        sealed(s, who, added, size + more);
    }
    if s.input.u8() & 1 != 0 {
        let many = usize::from(s.input.u8());
        for _ in 0..many.min(16) {
            sealed(s, Who::Server, added, 1200);
        }
    }
    if s.input.u8() & 1 != 0 {
        s.client().raw(&[21, 3, 3]).len_be(2, 0, |s| _ = s.fill(1, 2 + added));
    }
}

/// MCS without TLS, with the client's blocks and the server's.
fn standard(s: &mut Script<'_>) {
    request(s, 0);
    confirm(s, 2, 0);
    s.client();
    tpkt(s, |s| {
        s.raw(&[2, 0xf0, 0x80, 0x7f, 0x65]).raw(&[0x82]).len_be(2, 0, |s| {
            s.raw(&[4, 1, 1, 4, 1, 1, 1, 1, 0xff]);
            s.tlv(0x30, |s| _ = s.raw(&[2, 1, 0x22, 2, 1, 2, 2, 1, 0]));
            s.raw(&[0, 5, 0, 0x14, 0x7c, 0, 1, 0x81, 0x48, 0, 8, 0, 0x10, 0, 1, 0xc0, 0]);
            s.raw(b"Duca\x81\x34");
            blocks(s);
        });
    });
    s.server();
    tpkt(s, |s| {
        s.raw(&[2, 0xf0, 0x80, 0x7f, 0x66, 0x82]).len_be(2, 0, |s| {
            s.raw(&[0x0a, 1, 0, 2, 1, 0]);
            s.raw(&[0, 5, 0, 0x14, 0x7c, 0, 1, 0x2a, 0x14, 0x76, 0x0a, 1, 1, 0, 1, 0xc0, 0]);
            s.raw(b"McDn\x81\x08");
            s.le(0x0c01, 2).len_le(2, 4, |s| _ = s.le(0x80004, 4).raw(&[0; 8]));
            s.le(0x0c02, 2).len_le(2, 4, |s| _ = s.le(2, 4).le(2, 4).raw(&[0; 16]));
            s.le(0x0c03, 2).len_le(2, 4, |s| _ = s.le(1003, 2).le(2, 2).raw(&[1, 0, 2, 0]));
        });
    });
    let many = s.times(2, 40);
    for n in 0..many {
        s.say(if n & 1 == 0 { Who::Client } else { Who::Server });
        if s.input.u8() & 1 == 0 {
            tpkt(s, |s| _ = s.raw(&[2, 0xf0, 0x80, 0x64, 0, 1]).fill(9, 600));
        } else {
            // fast path: a length of one byte or of two
            s.raw(&[0]).len_be(1, 2, |s| _ = s.fill(5, 90));
        }
    }
}

/// The client's blocks behind `Duca` (2.2.1.3).
fn blocks(s: &mut Script<'_>) {
    s.le(0xc001, 2).len_le(2, 4, |s| {
        s.raw(&[4, 0, 8, 0, 0, 5, 0, 4, 1, 0xca, 3, 0xaa, 9, 4, 0, 0]).le(19041, 4);
        s.utf16("FRONTDESK").fill(0, 14).raw(&[4, 0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0]).fill(0, 64);
    });
    s.le(0xc002, 2).len_le(2, 4, |s| _ = s.le(27, 4).le(0, 4));
    s.le(0xc003, 2).len_le(2, 4, |s| {
        let channels = s.times(3, 40);
        s.le(channels.into(), 4);
        for _ in 0..channels {
            let names: [&[u8; 8]; 4] = [b"rdpdr\0\0\0", b"MS_T120\0", b"cliprdr\0", b"XYZ12345"];
            if let Some(name) = s.one_of(&names) {
                s.raw(name).raw(&[0, 0, 0x80, 0x80]);
            }
        }
    });
    let more = s.times(0, 8);
    for _ in 0..more {
        let kind = s.input.u8();
        s.le(0xc000 + u64::from(kind), 2).len_le(2, 4, |s| _ = s.free(b"x"));
    }
}

fn refused(s: &mut Script<'_>) {
    request(s, 0);
    let code = u64::from(s.times(5, 12));
    confirm(s, 3, code);
}

/// Request and confirmation, then records as the input has them.
fn records(s: &mut Script<'_>) {
    request(s, 3);
    confirm(s, 2, 2);
    let many = s.times(3, 60);
    for _ in 0..many {
        let head = s.input.u8();
        let who = if head & 1 == 0 { Who::Client } else { Who::Server };
        let kind = [23, 22, 21, 20, 3, 24, 0, 23][usize::from(head >> 1 & 7)];
        let length = usize::from(s.input.u8()) << (head >> 4 & 7);
        s.say(who).raw(&[kind, 3, 3]).len_be(2, 0, |s| _ = s.fill(head, length));
    }
}

/// TLS at once, as some servers and gateways have it.
fn direct(s: &mut Script<'_>) {
    web::client_hello(s, b"");
    web::server_hello(s, false);
    web::certificates(s);
    request(s, 3);
    confirm(s, 2, 2);
}

/// MS-RDPEUDP 2.2.2: SYN and its answer.
fn datagrams(s: &mut Script<'_>) {
    s.client().raw(&[0xff; 4]).be(0x40, 2).be(0x1801, 2).raw(&[0x11, 0x22, 0x33, 0x44]);
    s.be(1232, 2).be(1232, 2).fill(0x6b, 16).fill(0, 16).be(1, 2).be(2, 2);
    let rest = 1232_usize.saturating_sub(s.at());
    s.fill(0, rest);
    s.server().raw(&[0x11, 0x22, 0x33, 0x44]).be(0x40, 2).be(0x1005, 2).raw(&[5, 6, 7, 8]);
    s.be(1232, 2).be(1232, 2).be(1, 2).be(2, 2);
    let rest = 1232_usize.saturating_sub(s.at());
    s.fill(0, rest);
}

/// Units of TPKT of any kind.
fn units(s: &mut Script<'_>) {
    let many = s.times(2, 20);
    for _ in 0..many {
        let head = s.input.u8();
        s.say(if head & 1 == 0 { Who::Client } else { Who::Server });
        tpkt(s, |s| {
            s.len_be(1, 0, |s| {
                let kinds = [0xe0, 0xd0, 0xf0, 0x80, 0x70, 0x02];
                s.raw(&[kinds[usize::from(head >> 1) % kinds.len()]]).free(&[0, 0, 0, 0, 0]);
            });
        });
    }
}
