//! Remote shells, desktops and support tools, and private networks: VNC, SSH, Telnet, X11,
//! TeamViewer, AnyDesk's names, RustDesk, Radmin, WireGuard, OpenVPN, IKE, L2TP, PPTP, SSTP.

use super::net::{Dialog, Over};
use super::script::{Script, Who};
use super::web;

/// What this family says.
pub const DIALOGS: &[Dialog] = &[
    Dialog { app: "vnc", over: Over::Tcp, port: 5900, say: vnc },
    Dialog { app: "ssh", over: Over::Tcp, port: 22, say: ssh },
    Dialog { app: "telnet", over: Over::Tcp, port: 23, say: telnet },
    Dialog { app: "teamviewer", over: Over::Tcp, port: 5938, say: teamviewer },
    Dialog { app: "", over: Over::Tcp, port: 443, say: by_name },
    Dialog { app: "", over: Over::Udp, port: 21116, say: rustdesk_datagrams },
    Dialog { app: "", over: Over::Tcp, port: 21116, say: rustdesk },
    Dialog { app: "radmin", over: Over::Tcp, port: 4899, say: radmin },
    Dialog { app: "wireguard", over: Over::Udp, port: 51820, say: wireguard },
    Dialog { app: "openvpn", over: Over::Udp, port: 1194, say: openvpn },
    Dialog { app: "openvpn", over: Over::Tcp, port: 1194, say: openvpn_stream },
    Dialog { app: "isakmp", over: Over::Udp, port: 500, say: ike },
    Dialog { app: "", over: Over::Udp, port: 4500, say: traversal },
    Dialog { app: "l2tp", over: Over::Udp, port: 1701, say: l2tp },
    Dialog { app: "pptp", over: Over::Tcp, port: 1723, say: pptp },
    Dialog { app: "", over: Over::Tcp, port: 443, say: sstp },
    Dialog { app: "", over: Over::Udp, port: 3478, say: stun },
    Dialog { app: "x11", over: Over::Tcp, port: 6000, say: x11 },
    Dialog { app: "", over: Over::Ip(47), port: 0, say: gre },
    Dialog { app: "", over: Over::Ip(50), port: 0, say: gre },
];

fn vnc(s: &mut Script<'_>) {
    s.server().raw(b"RFB 003.008\n").free(b"");
    s.client().raw(b"RFB 003.008\n");
    s.server().len_be(1, 0, |s| _ = s.free(&[2]));
    s.client().be(2, 1);
    s.server().fill(0x5a, 16);
    s.client().fill(0xa5, 16);
    s.server().be(0, 4);
    s.client().be(1, 1);
    s.server().be(1024, 2).be(768, 2).fill(0, 16).len_be(4, 0, |s| _ = s.free(b"front desk"));
}

fn ssh(s: &mut Script<'_>) {
    s.server().raw(b"SSH-2.0-").free(b"OpenSSH_9.7").raw(b"\r\n");
    s.client().raw(b"SSH-2.0-").free(b"x").raw(b"\r\n");
    for who in [Who::Client, Who::Server] {
        s.say(who).len_be(4, 0, |s| {
            s.be(6, 1).be(20, 1).fill(7, 16);
            let many = s.times(10, 20);
            for _ in 0..many {
                s.len_be(4, 0, |s| _ = s.free(b"curve25519-sha256,none"));
            }
            s.raw(&[0, 0, 0, 0, 0]).fill(0, 6);
        });
    }
    let many = s.times(1, 20);
    for n in 0..many {
        s.say(if n & 1 == 0 { Who::Client } else { Who::Server });
        s.len_be(4, 0, |s| _ = s.fill(0x99, 60).free(b""));
    }
}

fn telnet(s: &mut Script<'_>) {
    let many = s.times(3, 60);
    for who in [Who::Server, Who::Client] {
        s.say(who);
        for n in 0..many {
            let verbs = [0xfd, 0xfb, 0xfc, 0xfe, 0xfa];
            let verb = s.one_of(&verbs).unwrap_or(0xfd);
            s.be(0xff, 1).be(verb, 1).raw(&[[24, 31, 1, 3, 39][usize::from(n % 5)]]);
            if verb == 0xfa {
                s.free(b"\0VT100").raw(&[0xff, 0xf0]);
            }
        }
    }
    s.server().raw(b"\r\nlogin: ");
    s.client().free(b"admin").raw(b"\r\n");
    s.server().raw(b"Password: ");
    s.client().free(b"x").raw(b"\r\n");
}

fn teamviewer(s: &mut Script<'_>) {
    s.client().raw(&[0x17, 0x24]).be(0x0a, 1).len_le(2, 0, |s| _ = s.fill(0x31, 32));
    s.server().raw(&[0x17, 0x24]).be(0x0b, 1).len_le(2, 0, |s| _ = s.fill(0x32, 8));
    let many = s.times(1, 30);
    for _ in 0..many {
        s.client().raw(&[0x11, 0x30]).be(0x1b, 2).len_le(4, 0, |s| _ = s.free(&[4; 20]));
    }
}

/// A tool by the name its handshake asks for, with or without a protocol of its own.
fn by_name(s: &mut Script<'_>) {
    web::client_hello(s, b"anydesk/6.2.0/windows");
    web::server_hello(s, false);
    web::certificates(s);
}

/// Fields of protocol buffers: number and kind, then a varint or a length.
fn protobuf(s: &mut Script<'_>) {
    let many = s.times(2, 40);
    for n in 0..many {
        let number = u64::from(s.input.u8().wrapping_add(n + 6) & 0x1f);
        if s.input.u8() & 1 == 0 {
            let begin = number << 3 | 2;
            s.be(begin & 0x7f, 1).len_be(1, 0, |s| _ = s.free(b"123456789"));
        } else {
            s.be(number << 3 & 0x7f, 1).free(&[0x96, 1]);
        }
    }
}

fn rustdesk_datagrams(s: &mut Script<'_>) {
    s.client();
    protobuf(s);
    s.server();
    protobuf(s);
}

fn rustdesk(s: &mut Script<'_>) {
    for who in [Who::Client, Who::Server, Who::Client, Who::Server] {
        let wide = s.input.u8() & 1 != 0;
        let body = s.inner(protobuf);
        // the length's low two bits say how many more bytes it has
        let length = (body.len() as u64) << 2;
        s.say(who).le(if wide { length | 1 } else { length }, if wide { 2 } else { 1 }).raw(&body);
    }
}

fn radmin(s: &mut Script<'_>) {
    s.client().raw(&[1, 0, 0, 0, 1, 0, 0, 0, 8, 8]);
    s.server().raw(&[1]).be(0x25, 4).be(0x0212, 4).raw(&[8, 2, 0, 0, 0x0a]).fill(0, 32).free(b"");
}

fn wireguard(s: &mut Script<'_>) {
    s.client().le(1, 4).raw(&[0xa1, 0xb2, 0xc3, 0xd4]).fill(0x37, 140);
    s.server().le(2, 4).raw(&[0x11, 0x22, 0x33, 0x44, 0xa1, 0xb2, 0xc3, 0xd4]).fill(0x38, 80);
    let many = s.times(2, 20);
    for _ in 0..many {
        s.client().le(4, 4).raw(&[0x11, 0x22, 0x33, 0x44]).le(0, 8).fill(7, 48).free(b"");
        s.server().le(4, 4).raw(&[0xa1, 0xb2, 0xc3, 0xd4]).le(0, 8).fill(7, 32);
    }
}

fn openvpn_messages(s: &mut Script<'_>, who: Who) {
    if who == Who::Client {
        s.be(0x38, 1).raw(&[1, 2, 3, 4, 5, 6, 7, 8]).be(0, 1).be(0, 4);
    } else {
        s.be(0x40, 1).raw(&[9, 10, 11, 12, 13, 14, 15, 16]).be(1, 1).be(0, 4);
        s.raw(&[1, 2, 3, 4, 5, 6, 7, 8]).be(0, 4);
    }
    s.free(b"");
}

fn openvpn(s: &mut Script<'_>) {
    for who in [Who::Client, Who::Server, Who::Client] {
        s.say(who);
        openvpn_messages(s, who);
    }
}

fn openvpn_stream(s: &mut Script<'_>) {
    for who in [Who::Client, Who::Server, Who::Client] {
        s.say(who).len_be(2, 0, |s| openvpn_messages(s, who));
    }
}

/// RFC 7296 3.1: header, then payloads, each naming the next.
fn isakmp(s: &mut Script<'_>, responder: bool) {
    s.raw(&[1, 2, 3, 4, 5, 6, 7, 8]).fill(if responder { 0x11 } else { 0 }, 8);
    s.be(0x21, 1).be(0x20, 1).be(0x22, 1).be(if responder { 0x20 } else { 8 }, 1).be(0, 4);
    s.len_be(4, 28, |s| {
        let many = s.times(4, 60);
        let kinds = [0x22, 0x28, 0x29, 0x2b, 0x2e, 0x35];
        for n in 0..many {
            let next = if n + 1 == many { 0 } else { s.one_of(&kinds).unwrap_or(0) };
            s.be(next, 1).raw(&[0]).len_be(2, 4, |s| _ = s.free(&[3; 60]));
        }
    });
}

fn ike(s: &mut Script<'_>) {
    s.client();
    isakmp(s, false);
    s.server();
    isakmp(s, true);
}

fn traversal(s: &mut Script<'_>) {
    s.client().raw(&[0xff]);
    s.client().be(0, 4);
    isakmp(s, true);
    s.server().be(0, 4);
    isakmp(s, true);
    s.client().be(0xc0ff_ee01, 4).be(1, 4).fill(0x66, 100);
}

/// RFC 2661 3.1: bits say which fields follow; then AVPs.
fn l2tp(s: &mut Script<'_>) {
    for (who, kind) in [(Who::Client, 1), (Who::Server, 2)] {
        s.say(who).be(0xc802, 2).len_be(2, 4, |s| {
            s.be(0, 2).be(0, 2).be(0, 2).be(0, 2);
            s.be(0x8008, 2).be(0, 2).be(0, 2).be(kind, 2);
            let many = s.times(2, 40);
            for n in 0..many {
                s.len_be(2, 0x8002, |s| _ = s.be(0, 2).be(2 + u64::from(n), 2).free(b"ab"));
            }
        });
    }
    s.client().be(0x4002, 2).len_be(2, 4, |s| {
        s.be(1, 2).be(1, 2).raw(&[0xff, 3, 0xc0, 0x21]).free(&[1, 1, 0, 4]);
    });
}

fn pptp(s: &mut Script<'_>) {
    for (who, kind) in [(Who::Client, 1), (Who::Server, 2), (Who::Client, 7), (Who::Server, 8)] {
        s.say(who).len_be(2, 2, |s| {
            s.be(1, 2).be(0x1a2b_3c4d, 4).be(kind, 2).be(0, 2).be(0x0100, 2).fill(0, 142);
        });
    }
}

fn sstp(s: &mut Script<'_>) {
    s.client().raw(b"SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n");
    s.raw(b"Host: a\r\nContent-Length: 18446744073709551615\r\n\r\n");
    s.server().raw(b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n");
    s.client().raw(&[0x10, 1]).len_be(2, 4, |s| _ = s.be(1, 2).be(1, 2).free(&[0, 1, 0, 6, 0, 1]));
}

/// RFC 8489 5.
fn stun(s: &mut Script<'_>) {
    for (who, kind) in [(Who::Client, 1), (Who::Server, 0x0101)] {
        s.say(who).be(kind, 2).len_be(2, -16, |s| {
            s.be(0x2112_a442, 4).fill(5, 12);
            let many = s.times(1, 40);
            for n in 0..many {
                s.be(0x20 + u64::from(n), 2).len_be(2, 0, |s| {
                    s.free(&[0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
                });
            }
        });
    }
}

fn x11(s: &mut Script<'_>) {
    s.client().raw(b"l\0").le(11, 2).le(0, 2).le(18, 2).le(16, 2).le(0, 2);
    s.raw(b"MIT-MAGIC-COOKIE-1\0\0").fill(3, 16);
    s.server().be(1, 1).raw(&[0]).le(11, 2).le(0, 2).len_le(2, -70, |s| _ = s.fill(0, 80));
}

/// Bytes right behind IP: GRE with PPP in it, ESP.
fn gre(s: &mut Script<'_>) {
    let many = s.times(2, 12);
    for _ in 0..many {
        s.client().be(0x3001, 2).be(0x880b, 2).len_be(2, -6, |s| {
            s.be(1, 2).be(0, 4).raw(&[0xff, 3, 0xc0, 0x21]).free(&[1, 1, 0, 4]);
        });
        s.server().free(&[0, 0, 8, 0, 0x45, 0, 0, 20, 0, 0, 0, 0, 64, 47, 0, 0, 10, 0, 0, 1]);
    }
}
