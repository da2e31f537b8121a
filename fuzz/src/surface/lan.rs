//! Names, addresses and what a local network says of itself: DNS with compressed names (RFC 1035),
//! mDNS, LLMNR, NetBIOS names, DHCP, ARP, LLDP, CDP, NAT-PMP, PCP, SSDP, SNMP, TFTP.

use super::net::{Dialog, Over};
use super::script::{Script, Who};

/// What this family says.
pub const DIALOGS: &[Dialog] = &[
    Dialog { app: "dns", over: Over::Udp, port: 53, say: dns },
    Dialog { app: "dns", over: Over::Tcp, port: 53, say: dns_stream },
    Dialog { app: "mdns", over: Over::Udp, port: 5353, say: mdns },
    Dialog { app: "llmnr", over: Over::Udp, port: 5355, say: dns },
    Dialog { app: "nbns", over: Over::Udp, port: 137, say: netbios },
    Dialog { app: "dhcp", over: Over::Udp, port: 67, say: dhcp },
    Dialog { app: "nat-pmp", over: Over::Udp, port: 5351, say: nat_pmp },
    Dialog { app: "pcp", over: Over::Udp, port: 5351, say: pcp },
    Dialog { app: "ssdp", over: Over::Udp, port: 1900, say: ssdp },
    Dialog { app: "snmp", over: Over::Udp, port: 161, say: snmp },
    Dialog { app: "tftp", over: Over::Udp, port: 69, say: tftp },
    Dialog { app: "", over: Over::Link, port: 0, say: arp },
    Dialog { app: "", over: Over::Link, port: 0, say: lldp },
    Dialog { app: "", over: Over::Link, port: 0, say: cdp },
    Dialog { app: "ntp", over: Over::Udp, port: 123, say: ntp },
];

const LABELS: [&[u8]; 8] = [
    b"pacs",
    b"wpad",
    b"router1",
    b"_ldap",
    b"<b>|\x1b[31m",
    b"1",
    b"FHEPFCELEHFCEPFFFACACACACACACABL",
    b"isatap",
];

/// Labels, then the end or a pointer to anywhere.
fn name(s: &mut Script<'_>) {
    let head = s.input.u8();
    for _ in 0..head & 7 {
        let label = s.one_of(&LABELS).unwrap_or_default();
        s.len_be(1, 0, |s| _ = s.raw(label));
    }
    match head >> 3 & 3 {
        0 => _ = s.raw(&[0]),
        1 => _ = s.be(0xc00c, 2),
        2 => {
            // to itself, and a little before or behind
            let near = i64::from(s.input.u8()) - 128;
            let at = (s.at() as u64).wrapping_add_signed(near) & 0x3fff;
            s.be(0xc000 | at, 2);
        }
        _ => {
            let to = s.input.u16() & 0x3fff;
            s.be(0xc000 | u64::from(to), 2);
        }
    }
}

fn record(s: &mut Script<'_>) {
    if s.input.u8() & 1 == 0 {
        s.be(0xc00c, 2);
    } else {
        name(s);
    }
    let kinds = [1, 28, 5, 12, 33, 16, 32, 15, 6, 2, 41, 255];
    let kind = s.one_of(&kinds).unwrap_or(1);
    s.be(kind, 2).be(1, 2).be(30, 4).len_be(2, 0, |s| match kind {
        1 => _ = s.free(&[192, 168, 1, 66]),
        28 => _ = s.free(&[0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        32 => _ = s.raw(&[0x60, 0]).free(&[192, 168, 1, 66]),
        33 => {
            s.be(0, 2).be(0, 2).be(389, 2);
            name(s);
        }
        5 | 12 | 2 => name(s),
        _ => _ = s.free(b"x"),
    });
}

/// One message of DNS's form: its flags, the name asked for, and what answers.
fn message(s: &mut Script<'_>, id: u64, flags: u64, asked: bool) {
    let counts: [u8; 3] =
        if flags & 0x8000 == 0 { [0; 3] } else { [s.times(1, 40), s.times(0, 4), s.times(0, 40)] };
    s.be(id, 2).be(flags, 2).be(asked.into(), 2);
    for count in counts {
        s.be(count.into(), 2);
    }
    if asked {
        if s.input.u8() & 1 == 0 {
            s.raw(b"\x04pacs\x08practice\x03lan\0");
        } else {
            name(s);
        }
        s.be(1, 2).be(1, 2);
    }
    for _ in 0..counts.iter().map(|&count| u32::from(count)).sum::<u32>() {
        record(s);
    }
}

fn dns(s: &mut Script<'_>) {
    let many = s.times(1, 8);
    for _ in 0..many {
        s.client();
        message(s, 0x1234, 0x0100, true);
        s.server();
        message(s, 0x1234, 0x8180, true);
    }
}

fn dns_stream(s: &mut Script<'_>) {
    s.client().len_be(2, 0, |s| message(s, 7, 0x0100, true));
    s.server().len_be(2, 0, |s| message(s, 7, 0x8180, true));
    let many = s.times(0, 8);
    for _ in 0..many {
        s.len_be(2, 0, |s| message(s, 7, 0x8180, true));
    }
}

fn mdns(s: &mut Script<'_>) {
    s.client();
    message(s, 0, 0x8400, false);
    s.client();
    message(s, 0, 0, true);
}

/// RFC 1002 4.2: asked, answered, registered.
fn netbios(s: &mut Script<'_>) {
    let label = |s: &mut Script<'_>| {
        s.len_be(1, 0, |s| _ = s.free(b"FHFAEBEECACACACACACACACACACACAAA")).raw(&[0]);
    };
    s.client().be(0x8001, 2).be(0x0110, 2).be(1, 2).be(0, 2).be(0, 2).be(0, 2);
    label(s);
    s.be(0x20, 2).be(1, 2);
    s.server().be(0x8001, 2).be(0x8580, 2).be(0, 2).be(1, 2).be(0, 2).be(0, 2);
    label(s);
    s.be(0x20, 2).be(1, 2).be(300_000, 4).len_be(2, 0, |s| {
        s.raw(&[0x60, 0]).free(&[192, 168, 1, 66]);
    });
    s.client().be(0x8002, 2).be(0x2910, 2).be(1, 2).be(0, 2).be(0, 2).be(1, 2);
    label(s);
    s.be(0x20, 2).be(1, 2).be(0xc00c, 2).be(0x20, 2).be(1, 2).be(0, 4);
    s.len_be(2, 0, |s| _ = s.raw(&[0, 0]).free(&[192, 168, 1, 100]));
}

fn dhcp(s: &mut Script<'_>) {
    for (who, op, kind) in
        [(Who::Client, 1, 1), (Who::Server, 2, 2), (Who::Client, 1, 3), (Who::Server, 2, 5)]
    {
        s.say(who).be(op, 1).be(1, 1).be(6, 1).raw(&[0, 0x39, 3, 0xf3, 0x26]).fill(0, 8);
        s.raw(&[192, 168, 1, 50, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1]).fill(0, 202);
        s.be(0x6382_5363, 4).raw(&[53, 1]).be(kind, 1);
        let many = s.times(5, 90);
        let known: [(u8, &[u8]); 10] = [
            (12, b"FRONT"),
            (54, &[192, 168, 1, 1]),
            (3, &[192, 168, 1, 1]),
            (6, &[192, 168, 1, 1, 8, 8, 8, 8]),
            (252, b"http://wpad/wpad.dat"),
            (1, &[255, 255, 255, 0]),
            (55, &[1, 3, 6, 15]),
            (52, &[3]),
            (0, b""),
            (255, b""),
        ];
        for n in 0..many {
            let choice = usize::from(s.input.u8()).wrapping_add(n.into()) % known.len();
            let (code, value) = known[choice];
            s.raw(&[code]);
            if code != 0 && code != 255 {
                s.len_be(1, 0, |s| _ = s.free(value));
            }
        }
        s.raw(&[255]);
    }
}

fn nat_pmp(s: &mut Script<'_>) {
    let many = s.times(1, 12);
    for _ in 0..many {
        let port = u64::from(s.input.u8()) + 3389;
        s.client().be(0, 1).be(2, 1).be(0, 2).be(port, 2).be(2299, 2).be(3600, 4);
        s.server().be(0, 1).be(130, 1).be(0, 2).be(4096, 4).be(port, 2).be(2299, 2).be(3600, 4);
    }
}

const MAPPED: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 7];

fn pcp(s: &mut Script<'_>) {
    let body = |s: &mut Script<'_>| {
        s.raw(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]).be(6, 1).be(0, 3).be(3389, 2).be(2299, 2);
        s.raw(&MAPPED);
        let many = s.times(0, 20);
        for _ in 0..many {
            s.be(1, 1).raw(&[0]).len_be(2, 0, |s| _ = s.free(&[1, 2, 3, 4]));
        }
    };
    s.client().be(2, 1).be(1, 1).be(0, 2).be(7200, 4).raw(&MAPPED[..12]).raw(&[192, 168, 1, 10]);
    body(s);
    s.server().be(2, 1).be(0x81, 1).be(0, 2).be(7200, 4).be(4096, 4).fill(0, 12);
    body(s);
}

fn ssdp(s: &mut Script<'_>) {
    s.client().raw(b"M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\n").free(b"").raw(b"\r\n\r\n");
    s.server().raw(b"HTTP/1.1 200 OK\r\nST: ").free(b"upnp:rootdevice");
    s.raw(b"\r\nUSN: uuid:1\r\nLOCATION: ").free(b"http://192.168.1.1/a.xml").raw(b"\r\n\r\n");
}

/// RFC 3416 and RFC 3412: versions 1, 2c and 3.
fn snmp(s: &mut Script<'_>) {
    let versions = [1, 0, 3];
    let version = s.one_of(&versions).unwrap_or(1);
    for (who, kind) in [(Who::Client, 0xa0), (Who::Server, 0xa2), (Who::Client, 0xa3)] {
        s.say(who).tlv(0x30, |s| {
            s.tlv(2, |s| _ = s.be(version, 1));
            if version == 3 {
                s.tlv(0x30, |s| {
                    s.tlv(2, |s| _ = s.be(7, 4)).tlv(2, |s| _ = s.be(65507, 3));
                    s.tlv(4, |s| _ = s.be(4, 1)).tlv(2, |s| _ = s.be(3, 1));
                });
                s.tlv(4, |s| {
                    s.tlv(0x30, |s| {
                        s.tlv(4, |s| _ = s.free(b"engine")).tlv(2, |s| _ = s.be(0, 1));
                        s.tlv(2, |s| _ = s.be(0, 1)).tlv(4, |s| _ = s.free(b"user"));
                        s.tlv(4, |_| ()).tlv(4, |_| ());
                    });
                });
            } else {
                s.tlv(4, |s| _ = s.free(b"public"));
            }
            s.tlv(kind, |s| {
                s.tlv(2, |s| _ = s.be(0x1234, 2)).tlv(2, |s| _ = s.be(0, 1));
                s.tlv(2, |s| _ = s.be(0, 1)).tlv(0x30, |s| {
                    let many = s.times(1, 30);
                    for _ in 0..many {
                        s.tlv(0x30, |s| {
                            s.tlv(6, |s| _ = s.free(&[0x2b, 6, 1, 2, 1, 1, 5, 0]));
                            s.tlv(4, |s| _ = s.free(b"switch"));
                        });
                    }
                    s.nest(0x30);
                });
            });
        });
    }
}

fn tftp(s: &mut Script<'_>) {
    s.client().be(2, 2).free(b"running-config").raw(b"\0octet\0").free(b"");
    s.server().be(4, 2).be(0, 2);
    s.client().be(3, 2).be(1, 2).free(b"hostname sw1\nenable secret 5 x\n");
}

/// RFC 826; several claims one after the other.
fn arp(s: &mut Script<'_>) {
    let many = s.times(2, 40);
    for _ in 0..many {
        let (card, host, op) = (s.input.u8() & 7, s.input.u8() & 7, s.input.u8());
        s.say(Who::Client).fill(0xff, 6).raw(&[2, 0, 0, 0, 0, card]);
        if op & 8 != 0 {
            s.raw(&[0x81, 0]).be(10, 2);
        }
        s.be(0x0806, 2).be(1, 2).be(0x0800, 2).be(6, 1).be(4, 1).be(1 + u64::from(op & 1), 2);
        s.raw(&[2, 0, 0, 0, 0, card, 192, 168, 1, host]);
        s.fill(0, 6).raw(&[192, 168, 1, if op & 2 == 0 { host } else { 1 }]).fill(0, 18);
        // said by another than was just counted as saying it
        s.say(Who::Server);
    }
}

/// IEEE 802.1AB clause 8: seven bits of type, nine of length.
fn lldp(s: &mut Script<'_>) {
    let values: [(u64, &[u8]); 8] = [
        (1, &[4, 2, 0, 0, 0, 0, 1]),
        (2, &[5, b'1']),
        (3, &[0, 120]),
        (5, b"switch\x1b[0m<i>"),
        (8, &[5, 1, 192, 168, 1, 2, 2, 0, 0, 0, 1, 0]),
        (6, b"a switch"),
        (127, &[0, 0x12, 0x0f, 1, 3]),
        (0, b""),
    ];
    let many = s.times(7, 120);
    s.client().raw(&[1, 0x80, 0xc2, 0, 0, 0x0e, 2, 0, 0, 0, 0, 1]).be(0x88cc, 2);
    for n in 0..many {
        let choice = usize::from(s.input.u8()).wrapping_add(n.into()) % values.len();
        let (kind, value) = values[choice];
        let length = value.len() as u64;
        s.be(kind << 9 | length, 2).raw(value);
    }
    s.be(0, 2);
}

fn cdp(s: &mut Script<'_>) {
    let values: [(u64, &[u8]); 5] = [
        (1, b"switch\x07<b>"),
        (2, &[0, 0, 0, 1, 1, 1, 0xcc, 0, 4, 192, 168, 1, 3]),
        (5, b"IOS"),
        (10, &[0, 1]),
        (0x1a, b""),
    ];
    let many = s.times(3, 120);
    s.client().raw(&[1, 0, 0x0c, 0xcc, 0xcc, 0xcc, 2, 0, 0, 0, 0, 1]).len_be(2, 0, |s| {
        s.raw(&[0xaa, 0xaa, 3, 0, 0, 0x0c, 0x20, 0, 2, 180, 0, 0]);
        for n in 0..many {
            let choice = usize::from(s.input.u8()).wrapping_add(n.into()) % values.len();
            let (kind, value) = values[choice];
            s.be(kind, 2).len_be(2, 4, |s| _ = s.free(value));
        }
    });
}

fn ntp(s: &mut Script<'_>) {
    s.client().be(0x23, 1).fill(0, 39).be(0xe0fe_5f1a_1234_5678, 8);
    s.server().be(0x24, 1).be(2, 1).raw(&[0, 0xe9]).be(4001, 4).be(2860, 4).raw(&[192, 168, 1, 1]);
    s.raw(&[0xe0, 0xfe, 0x5e, 0, 0, 0, 0, 0]).be(0xe0fe_5f1a_1234_5678, 8);
    s.be(0xe0fe_5f1a_2234_5678, 8).be(0xe0fe_5f1a_2334_5678, 8);
}
