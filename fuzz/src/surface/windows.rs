//! What Windows speaks: SMB 1 to 3 with NTLM in them (MS-SMB2, MS-CIFS, MS-NLMP), Kerberos
//! (RFC 4120), LDAP (RFC 4511), DCE-RPC (C706 chapter 12).

use super::net::{Dialog, Over};
use super::script::{Script, Who};

/// What this family says.
pub const DIALOGS: &[Dialog] = &[
    Dialog { app: "smb", over: Over::Tcp, port: 445, say: smb1 },
    Dialog { app: "smb", over: Over::Tcp, port: 445, say: smb2 },
    Dialog { app: "smb", over: Over::Tcp, port: 139, say: session },
    Dialog { app: "kerberos", over: Over::Udp, port: 88, say: kerberos_datagrams },
    Dialog { app: "kerberos", over: Over::Tcp, port: 88, say: kerberos_stream },
    Dialog { app: "ldap", over: Over::Tcp, port: 389, say: ldap },
    Dialog { app: "cldap", over: Over::Udp, port: 389, say: cldap },
    Dialog { app: "dcerpc", over: Over::Tcp, port: 135, say: rpc },
    Dialog { app: "", over: Over::Tcp, port: 445, say: sessions },
    Dialog { app: "nbdgm", over: Over::Udp, port: 138, say: datagram },
];

/// A message in a NetBIOS session.
fn framed(s: &mut Script<'_>, who: Who, body: impl FnOnce(&mut Script<'_>)) {
    s.say(who).be(0, 1).len_be(3, 0, body);
}

/// Header of SMB 1 (MS-CIFS 2.2.3.1).
fn head1(s: &mut Script<'_>, command: u8, flags: u8) {
    s.raw(b"\xffSMB").raw(&[command]).le(0, 4).raw(&[flags, 0x53, 0xc8]).fill(0, 12);
    s.raw(&[0, 0, 0xff, 0xfe, 0, 0, 0, 0]);
}

fn smb1(s: &mut Script<'_>) {
    framed(s, Who::Client, |s| {
        head1(s, 0x72, 0x18);
        s.be(0, 1).len_le(2, 0, |s| {
            let many = s.times(2, 40);
            for _ in 0..many {
                let known: [&[u8]; 3] = [b"NT LM 0.12", b"SMB 2.002", b"SMB 2.???"];
                let dialect = s.one_of(&known).unwrap_or_default();
                s.be(2, 1).free(dialect).raw(&[0]);
            }
        });
    });
    framed(s, Who::Server, |s| {
        head1(s, 0x72, 0x98);
        s.be(17, 1).le(0, 2).le(3, 1).fill(0, 31).len_le(2, 0, |s| _ = s.free(&[7; 16]));
    });
    framed(s, Who::Client, |s| {
        head1(s, 0x73, 0x18);
        s.be(12, 1).fill(0, 24).len_le(2, 0, |s| ntlm(s, 3));
    });
    framed(s, Who::Server, |s| {
        head1(s, 0x73, 0x98);
        s.be(4, 1).fill(0, 8).len_le(2, 0, |s| ntlm(s, 2));
    });
}

/// Header of SMB 2 and 3 (MS-SMB2 2.2.1.2).
fn head2(s: &mut Script<'_>, command: u64, reply: bool) {
    s.raw(b"\xfeSMB").le(64, 2).le(1, 2).le(0, 4).le(command, 2).le(1, 2);
    s.le(u64::from(reply), 4).le(0, 4).le(0, 8).fill(0, 24);
}

fn smb2(s: &mut Script<'_>) {
    let marks = [0xfe, 0xfd, 0xfc];
    let mark = s.one_of(&marks).unwrap_or(0xfe);
    framed(s, Who::Client, |s| {
        head2(s, 0, false);
        s.le(36, 2).le(2, 2).le(1, 2).fill(0, 30).raw(&[2, 2, 0x11, 3]);
    });
    framed(s, Who::Server, |s| {
        head2(s, 0, true);
        s.le(65, 2).le(1, 2).le(0x0311, 2).le(1, 2).fill(0, 56).le(128, 2);
        s.len_le(2, 0, |s| _ = s.fill(0, 4)).free(&[0x60, 0x1c]);
    });
    let many = s.times(2, 70);
    for n in 0..many {
        let (who, kind) = if n & 1 == 0 { (Who::Client, 3) } else { (Who::Server, 2) };
        framed(s, who, |s| {
            if mark == 0xfe {
                head2(s, 1, n & 1 == 1);
                s.le(25, 2).raw(&[0, 1]).le(0, 4).le(0, 4).le(88, 2);
                s.len_le(2, 0, |s| ntlm(s, kind)).le(0, 8);
            } else {
                // encrypted or compressed
                s.raw(&[mark]).raw(b"SMB").fill(9, 16).le(0, 16).le(100, 4).le(1, 2).fill(5, 100);
            }
        });
    }
}

/// MS-NLMP 2.2.1: negotiate, challenge, authenticate; lengths and offsets of what follows.
fn ntlm(s: &mut Script<'_>, kind: u64) {
    let wrapped = s.input.u8() & 1 != 0;
    if wrapped {
        s.tlv(0x60, |s| {
            s.tlv(6, |s| _ = s.raw(&[0x2b, 6, 1, 5, 5, 2]));
            s.tlv(0xa0, |s| _ = s.tlv(0x30, |s| _ = s.tlv(4, |s| ntlm_body(s, kind))));
        });
    } else {
        ntlm_body(s, kind);
    }
}

fn ntlm_body(s: &mut Script<'_>, kind: u64) {
    s.raw(b"NTLMSSP\0").le(kind, 4);
    if kind != 3 {
        s.le(0, 8).le(0xe289_8215, 4).fill(0x11, 8).fill(0, 16).free(b"");
        return;
    }
    let lengths = [300, 24, 0, 16, 25];
    let nt = s.one_of(&lengths).unwrap_or(300);
    let mut at = 88;
    for length in [24, nt, 8, 10, 12, 16] {
        s.le(length, 2).le(length, 2).le(at, 4);
        at += length;
    }
    let flags = [0xe288_8215, 0xe280_8215];
    let flags = s.one_of(&flags).unwrap_or(0);
    s.le(flags, 4).fill(0, 24).fill(3, at as usize - 88);
}

const NAME: &[u8] = b" FHEPFCELEHFCEPFFFACACACACACACABL\0";

/// A NetBIOS session (RFC 1002 4.3), then SMB in it.
fn session(s: &mut Script<'_>) {
    s.client().be(0x81, 1).len_be(3, 0, |s| _ = s.free(NAME).raw(NAME));
    s.server().be(0x82, 1).be(0, 3);
    smb2(s);
}

/// Units of a NetBIOS session, of any kind.
fn sessions(s: &mut Script<'_>) {
    let many = s.times(4, 90);
    for _ in 0..many {
        let head = s.input.u8();
        s.say(if head & 1 == 0 { Who::Client } else { Who::Server });
        let kind = [0, 0x81, 0x82, 0x85][usize::from(head >> 1 & 3)];
        s.be(kind, 1).len_be(3, 0, |s| match head >> 3 & 3 {
            0 => head1(s, head, 0x98),
            1 => head2(s, (head >> 5).into(), head & 1 == 1),
            2 => ntlm_body(s, 3),
            _ => _ = s.free(b""),
        });
    }
}

fn int(s: &mut Script<'_>, tag: u8, value: u64) {
    s.tlv(tag, |s| _ = s.tlv(2, |s| _ = s.be(value, 1)));
}

fn principal(s: &mut Script<'_>, tag: u8) {
    s.tlv(tag, |s| {
        s.tlv(0x30, |s| {
            int(s, 0xa0, 2);
            s.tlv(0xa1, |s| {
                s.tlv(0x30, |s| {
                    let many = s.times(2, 20);
                    for _ in 0..many {
                        s.tlv(0x1b, |s| _ = s.free(b"krbtgt"));
                    }
                });
            });
        });
    });
}

/// AS-REQ (RFC 4120 5.4.1).
fn ask(s: &mut Script<'_>) {
    let kinds = [0x6a, 0x6c];
    let kind = s.one_of(&kinds).unwrap_or(0x6a);
    s.tlv(kind, |s| {
        s.tlv(0x30, |s| {
            int(s, 0xa1, 5);
            int(s, 0xa2, if kind == 0x6a { 10 } else { 12 });
            s.tlv(0xa3, |s| {
                s.tlv(0x30, |s| _ = s.nest(0x30));
            });
            s.tlv(0xa4, |s| {
                s.tlv(0x30, |s| {
                    s.tlv(0xa0, |s| _ = s.tlv(3, |s| _ = s.raw(&[0, 0x50, 0x81, 0, 0x10])));
                    principal(s, 0xa1);
                    s.tlv(0xa2, |s| _ = s.tlv(0x1b, |s| _ = s.free(b"PRACTICE.LAN")));
                    principal(s, 0xa3);
                    s.tlv(0xa5, |s| _ = s.tlv(0x18, |s| _ = s.raw(b"20370913024805Z")));
                    int(s, 0xa7, 9);
                    s.tlv(0xa8, |s| _ = s.tlv(0x30, |s| _ = s.tlv(2, |s| _ = s.be(23, 1))));
                });
            });
        });
    });
}

/// KRB-ERROR (5.9.1).
fn refused(s: &mut Script<'_>) {
    s.tlv(0x7e, |s| {
        s.tlv(0x30, |s| {
            int(s, 0xa0, 5);
            int(s, 0xa1, 30);
            s.tlv(0xa4, |s| _ = s.tlv(0x18, |s| _ = s.raw(b"20260913024805Z")));
            int(s, 0xa5, 9);
            int(s, 0xa6, 25);
            s.tlv(0xa9, |s| _ = s.tlv(0x1b, |s| _ = s.free(b"PRACTICE.LAN")));
            principal(s, 0xaa);
        });
    });
}

fn kerberos_datagrams(s: &mut Script<'_>) {
    s.client();
    ask(s);
    s.server();
    refused(s);
}

fn kerberos_stream(s: &mut Script<'_>) {
    let many = s.times(1, 8);
    for _ in 0..many {
        s.client().len_be(4, 0, ask);
        s.server().len_be(4, 0, refused);
    }
}

fn ldap(s: &mut Script<'_>) {
    s.client().tlv(0x30, |s| {
        s.tlv(2, |s| _ = s.be(1, 1)).tlv(0x60, |s| {
            s.tlv(2, |s| _ = s.be(3, 1)).tlv(4, |s| _ = s.free(b"cn=admin"));
            if s.input.u8() & 1 == 0 {
                s.tlv(0x80, |s| _ = s.free(b"secret"));
            } else {
                s.tlv(0xa3, |s| {
                    s.tlv(4, |s| _ = s.raw(b"GSS-SPNEGO")).tlv(4, |s| ntlm(s, 3));
                });
            }
        });
    });
    s.server().tlv(0x30, |s| {
        s.tlv(2, |s| _ = s.be(1, 1)).tlv(0x61, |s| {
            s.tlv(0x0a, |s| _ = s.be(0, 1)).tlv(4, |s| _ = s.free(b"")).tlv(4, |_| ());
        });
    });
    let many = s.times(1, 40);
    for _ in 0..many {
        s.client();
        search(s);
    }
    if s.input.u8() & 1 != 0 {
        // StartTLS
        s.client().tlv(0x30, |s| {
            s.tlv(2, |s| _ = s.be(2, 1)).tlv(0x77, |s| {
                s.tlv(0x80, |s| _ = s.raw(b"1.3.6.1.4.1.1466.20037"));
            });
        });
        s.server().tlv(0x30, |s| {
            s.tlv(2, |s| _ = s.be(2, 1)).tlv(0x78, |s| {
                s.tlv(0x0a, |s| _ = s.be(0, 1)).tlv(4, |_| ()).tlv(4, |_| ());
            });
        });
        super::web::client_hello(s, b"");
    }
}

fn search(s: &mut Script<'_>) {
    s.tlv(0x30, |s| {
        s.tlv(2, |s| _ = s.be(4, 1)).tlv(0x63, |s| {
            s.tlv(4, |s| _ = s.free(b"")).tlv(0x0a, |s| _ = s.be(0, 1));
            s.tlv(0x0a, |s| _ = s.be(0, 1)).tlv(2, |s| _ = s.be(0, 1)).tlv(2, |s| _ = s.be(0, 1));
            s.tlv(1, |s| _ = s.be(0, 1));
            let depth = s.input.u8();
            if depth == 0 {
                s.tlv(0x87, |s| _ = s.raw(b"objectClass"));
            } else {
                s.nest(0xa0);
            }
            s.tlv(0x30, |s| _ = s.tlv(4, |s| _ = s.free(b"netlogon")));
        });
    });
}

fn cldap(s: &mut Script<'_>) {
    s.client();
    search(s);
    s.server().tlv(0x30, |s| {
        s.tlv(2, |s| _ = s.be(4, 1)).tlv(0x64, |s| {
            s.tlv(4, |_| ()).tlv(0x30, |s| {
                s.tlv(0x30, |s| {
                    s.tlv(4, |s| _ = s.raw(b"netlogon")).tlv(0x31, |s| {
                        s.tlv(4, |s| _ = s.free(&[0x17, 0, 0, 0]));
                    });
                });
            });
        });
    });
    s.tlv(0x30, |s| {
        s.tlv(2, |s| _ = s.be(4, 1)).tlv(0x65, |s| {
            s.tlv(0x0a, |s| _ = s.be(0, 1)).tlv(4, |_| ()).tlv(4, |_| ());
        });
    });
}

fn rpc(s: &mut Script<'_>) {
    s.client().raw(&[5, 0, 11, 3, 0x10, 0, 0, 0]).len_le(2, 10, |s| {
        s.le(0, 2).le(1, 4).le(5840, 2).le(5840, 2).le(0, 4).le(1, 1).fill(0, 3);
        let many = s.times(1, 30);
        for _ in 0..many {
            s.le(0, 2).le(1, 1).raw(&[0]);
            s.raw(&[8, 0x83, 0xaf, 0xe1, 0x1f, 0x5d, 0xc9, 0x11, 0x91, 0xa4, 8, 0, 0x2b, 0x14]);
            s.raw(&[0xa0, 0xfa, 3, 0, 0, 0, 4, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f]);
            s.raw(&[0xe8, 8, 0, 0x2b, 0x10, 0x48, 0x60, 2, 0, 0, 0]);
        }
    });
    s.server().raw(&[5, 0, 12, 3, 0x10, 0, 0, 0]).len_le(2, 10, |s| {
        s.le(0, 2).le(1, 4).le(5840, 2).le(5840, 2).le(0x55aa, 4);
        s.len_le(2, 0, |s| _ = s.free(b"135\0")).raw(&[0, 0]).le(1, 4).le(0, 4);
        s.raw(&[4, 0x5d, 0x88, 0x8a, 0xeb, 0x1c, 0xc9, 0x11, 0x9f, 0xe8, 8, 0, 0x2b, 0x10]);
        s.raw(&[0x48, 0x60, 2, 0, 0, 0]);
    });
}

/// RFC 1002 4.4.1 with SMB's mailslots in it.
fn datagram(s: &mut Script<'_>) {
    s.client().be(0x11, 1).raw(&[0x0a]).be(0x8002, 2).raw(&[192, 168, 1, 66]).be(138, 2);
    s.len_be(2, 0, |s| {
        s.be(0, 2).free(NAME).raw(NAME);
        head1(s, 0x25, 0);
        s.be(17, 1).fill(0, 34).free(b"\\MAILSLOT\\BROWSE\0");
    });
}
