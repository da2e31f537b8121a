//! TLS with its hellos and certificates (RFC 8446, RFC 5246, RFC 5280), QUIC's headers (RFC 9000),
//! HTTP and what is carried in it, mail.

use super::net::{Dialog, Over};
use super::quic;
use super::script::Script;

/// What this family says.
pub const DIALOGS: &[Dialog] = &[
    Dialog { app: "tls", over: Over::Tcp, port: 443, say: tls },
    Dialog { app: "tls", over: Over::Tcp, port: 443, say: many_records },
    Dialog { app: "quic", over: Over::Udp, port: 443, say: quic_headers },
    Dialog { app: "http", over: Over::Tcp, port: 80, say: http },
    Dialog { app: "http", over: Over::Tcp, port: 5000, say: upnp },
    Dialog { app: "smtp", over: Over::Tcp, port: 25, say: starttls },
    Dialog { app: "", over: Over::Tcp, port: 8080, say: proxy },
    Dialog { app: "dtls", over: Over::Udp, port: 443, say: dtls },
    Dialog { app: "ftp", over: Over::Tcp, port: 21, say: ftp },
    Dialog { app: "quic", over: Over::Udp, port: 443, say: quic::initial },
];

const NAMES: [&[u8]; 8] = [
    b"pacs.example.com",
    b"router1.teamviewer.com",
    b"relay.net.anydesk.com",
    b"x.screenconnect.com",
    b"a.\x1b[31m<b>|.example",
    b"",
    b"rs-ny.rustdesk.com",
    b"controlplane.tailscale.com",
];

fn record(s: &mut Script<'_>, kind: u64, body: impl FnOnce(&mut Script<'_>)) {
    s.be(kind, 1).raw(&[3, 3]).len_be(2, 0, body);
}

/// The client's first message.
pub fn client_hello(s: &mut Script<'_>, protocol: &[u8]) {
    s.client();
    record(s, 22, |s| hello_body(s, protocol));
}

/// The same without a record around it.
pub fn hello_body(s: &mut Script<'_>, protocol: &[u8]) {
    s.raw(&[1]).len_be(3, 0, |s| hello(s, protocol));
}

fn hello(s: &mut Script<'_>, protocol: &[u8]) {
    s.be(0x0303, 2).fill(0x42, 32);
    s.len_be(1, 0, |s| _ = s.fill(1, 32));
    s.len_be(2, 0, |s| {
        let more = s.times(0, 120);
        s.raw(&[0x13, 1, 0x13, 2, 0xc0, 0x2f, 0xc0, 0x30, 0, 0x9c, 0x2a, 0x2a]);
        for n in 0..more {
            s.raw(&[0xc0, n]);
        }
    });
    s.len_be(1, 0, |s| _ = s.raw(&[0]));
    s.len_be(2, 0, |s| {
        s.be(0, 2).len_be(2, 0, |s| {
            s.len_be(2, 0, |s| {
                s.raw(&[0]).len_be(2, 0, |s| {
                    let name = s.one_of(&NAMES).unwrap_or_default();
                    s.free(name);
                });
            });
        });
        s.be(16, 2).len_be(2, 0, |s| {
            s.len_be(2, 0, |s| {
                if !protocol.is_empty() {
                    s.len_be(1, 0, |s| _ = s.raw(protocol));
                }
                let many = s.times(2, 30);
                for _ in 0..many {
                    s.len_be(1, 0, |s| _ = s.free(b"http/1.1"));
                }
            });
        });
        s.be(43, 2).len_be(2, 0, |s| {
            s.len_be(1, 0, |s| _ = s.be(0x0304, 2).be(0x0303, 2).be(0x0a0a, 2));
        });
        s.be(13, 2).len_be(2, 0, |s| {
            s.len_be(2, 0, |s| _ = s.raw(&[4, 3, 8, 4, 4, 1, 5, 3]));
        });
        let more = s.times(0, 60);
        for _ in 0..more {
            let kind = s.input.u8();
            s.be(kind.into(), 2).len_be(2, 0, |s| _ = s.free(b""));
        }
    });
}

/// The server's choice.
pub fn server_hello(s: &mut Script<'_>, v13: bool) {
    s.server();
    record(s, 22, |s| {
        s.raw(&[2]).len_be(3, 0, |s| {
            s.be(0x0303, 2).fill(0x24, 32).len_be(1, 0, |s| _ = s.fill(1, 32));
            s.be(if v13 { 0x1301 } else { 0xc02f }, 2).raw(&[0]);
            s.len_be(2, 0, |s| {
                if v13 {
                    s.be(43, 2).len_be(2, 0, |s| _ = s.be(0x0304, 2));
                }
                s.be(16, 2).len_be(2, 0, |s| {
                    s.len_be(2, 0, |s| _ = s.len_be(1, 0, |s| _ = s.free(b"h2")));
                });
            });
        });
    });
}

/// The server's certificates.
pub fn certificates(s: &mut Script<'_>) {
    record(s, 22, |s| {
        s.raw(&[11]).len_be(3, 0, |s| {
            s.len_be(3, 0, |s| {
                let many = s.times(1, 4);
                for _ in 0..many {
                    s.len_be(3, 0, certificate);
                }
            });
        });
    });
}

fn name(s: &mut Script<'_>, common: &[u8]) {
    s.tlv(0x30, |s| {
        let parts: [(&[u8], &[u8]); 2] = [(&[0x55, 4, 10], b"Practice"), (&[0x55, 4, 3], common)];
        for (oid, text) in parts {
            s.tlv(0x31, |s| {
                s.tlv(0x30, |s| {
                    s.tlv(6, |s| _ = s.raw(oid));
                    let kinds = [0x0c, 0x13, 0x1e, 0x14];
                    let kind = s.one_of(&kinds).unwrap_or(0x0c);
                    s.tlv(kind, |s| _ = s.free(text));
                });
            });
        }
    });
}

const RSA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];

/// X.509 in DER.
fn certificate(s: &mut Script<'_>) {
    s.tlv(0x30, |s| {
        s.tlv(0x30, |s| {
            s.tlv(0xa0, |s| _ = s.tlv(2, |s| _ = s.be(2, 1)));
            s.tlv(2, |s| _ = s.free(&[1, 2, 3]));
            s.tlv(0x30, |s| _ = s.tlv(6, |s| _ = s.raw(&RSA)).tlv(5, |_| ()));
            name(s, b"Practice CA");
            s.tlv(0x30, |s| {
                for time in [&b"200101000000Z"[..], b"400101000000Z"] {
                    let kinds = [0x17, 0x18];
                    let kind = s.one_of(&kinds).unwrap_or(0x17);
                    s.tlv(kind, |s| _ = s.free(time));
                }
            });
            name(s, b"server.practice.lan");
            s.tlv(0x30, |s| {
                s.tlv(0x30, |s| _ = s.tlv(6, |s| _ = s.raw(&RSA)).tlv(5, |_| ()));
                s.tlv(3, |s| {
                    s.raw(&[0]).tlv(0x30, |s| {
                        s.tlv(2, |s| _ = s.raw(&[0]).fill(0x91, 64));
                        s.tlv(2, |s| _ = s.raw(&[1, 0, 1]));
                    });
                });
            });
            s.tlv(0xa3, |s| {
                s.tlv(0x30, |s| {
                    s.tlv(0x30, |s| {
                        s.tlv(6, |s| _ = s.raw(&[0x55, 0x1d, 0x11]));
                        s.tlv(4, |s| {
                            s.tlv(0x30, |s| {
                                let many = s.times(2, 20);
                                for _ in 0..many {
                                    let kinds = [0x82, 0x87, 0xa4, 0x81, 0xa0];
                                    let kind = s.one_of(&kinds).unwrap_or(0x82);
                                    s.tlv(kind, |s| _ = s.free(b"a.practice.lan"));
                                }
                                s.nest(0x30);
                            });
                        });
                    });
                });
            });
        });
        s.tlv(0x30, |s| _ = s.tlv(6, |s| _ = s.raw(&RSA)).tlv(5, |_| ()));
        s.tlv(3, |s| _ = s.raw(&[0]).fill(0x77, 64));
    });
}

fn tls(s: &mut Script<'_>) {
    client_hello(s, b"h2");
    let v13 = s.input.u8() & 1 != 0;
    server_hello(s, v13);
    certificates(s);
    let many = s.times(1, 10);
    for _ in 0..many {
        s.client();
        record(s, 23, |s| _ = s.free(&[9; 40]));
        s.server();
        record(s, 23, |s| _ = s.free(&[8; 90]));
    }
}

/// Handshake messages over many records.
fn many_records(s: &mut Script<'_>) {
    let body = s.inner(|s| hello_body(s, b""));
    let size = usize::from(s.times(90, 254)).max(1);
    s.client();
    for piece in body.chunks(size) {
        record(s, 22, |s| _ = s.raw(piece));
    }
    server_hello(s, false);
}

fn quic_headers(s: &mut Script<'_>) {
    let long = |s: &mut Script<'_>, to: &[u8], from: &[u8]| {
        s.be(0xc3, 1).be(1, 4);
        s.len_be(1, 0, |s| _ = s.raw(to));
        s.len_be(1, 0, |s| _ = s.raw(from));
        s.len_be(1, 0, |s| _ = s.free(b""));
        s.be(0x4482, 2);
        let rest = 1200_usize.saturating_sub(s.at());
        s.fill(0x77, rest);
    };
    s.client();
    long(s, &[1, 2, 3, 4, 5, 6, 7, 8], &[9; 8]);
    s.server();
    if s.input.u8() & 1 == 0 {
        long(s, &[9; 8], &[4; 8]);
    } else {
        s.be(0x80, 1).be(0, 4).len_be(1, 0, |s| _ = s.fill(9, 8));
        s.len_be(1, 0, |s| _ = s.raw(&[1, 2, 3, 4, 5, 6, 7, 8])).be(1, 4);
    }
}

fn dtls(s: &mut Script<'_>) {
    for server in [false, true] {
        if server {
            s.server();
        } else {
            s.client();
        }
        s.be(22, 1).be(0xfefd, 2).fill(0, 8).len_be(2, 0, |s| {
            s.raw(&[if server { 2 } else { 1 }]).len_be(3, 0, |s| {
                s.be(0, 2).be(0, 3).len_be(3, 0, |s| {
                    if server {
                        s.be(0xfefd, 2).fill(1, 32).raw(&[0, 0xc0, 0x2f, 0, 0, 0]);
                    } else {
                        s.be(0xfefd, 2).fill(1, 32).raw(&[0, 0, 0, 4, 0xc0, 0x2f, 0xc0, 0x30]);
                        s.raw(&[1, 0]).len_be(2, 0, |s| {
                            s.be(0, 2).len_be(2, 0, |s| _ = s.free(b""));
                        });
                    }
                });
            });
        });
    }
}

fn http(s: &mut Script<'_>) {
    s.client();
    let lines: [&[u8]; 6] = [
        b"GET / HTTP/1.1\r\n",
        b"POST /a HTTP/1.0\r\n",
        b"RPC_IN_DATA /rpc/rpcproxy.dll?x:3388 HTTP/1.1\r\n",
        b"RDG_OUT_DATA /remoteDesktopGateway/ HTTP/1.1\r\n",
        b"SSTP_DUPLEX_POST /sra_{BA195980-CD49-458b-9E23-C84EE0ADCD75}/ HTTP/1.1\r\n",
        b"GET /restic/config HTTP/1.1\r\n",
    ];
    let line = s.one_of(&lines).unwrap_or_default();
    s.raw(line);
    headers(s);
    s.server().raw(b"HTTP/1.1 200 OK\r\n");
    headers(s);
    s.free(b"hello");
}

fn headers(s: &mut Script<'_>) {
    let many = s.times(2, 60);
    for _ in 0..many {
        let known: [&[u8]; 9] = [
            b"Host: a.example",
            b"Authorization: Basic dTpw",
            b"Authorization: NTLM TlRMTVNTUAADAAAA",
            b"Content-Length: 99999999999999999999",
            b"Transfer-Encoding: chunked",
            b"Content-Encoding: gzip",
            b"Upgrade: websocket",
            b"SOAPAction: \"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping\"",
            b"Server: x",
        ];
        let header = s.one_of(&known).unwrap_or_default();
        s.free(header).raw(b"\r\n");
    }
    s.raw(b"\r\n");
}

fn upnp(s: &mut Script<'_>) {
    s.client().raw(b"POST /ctl HTTP/1.1\r\nSOAPAction: \"urn:schemas-upnp-org:service:");
    s.raw(b"WANIPConnection:1#AddPortMapping\"\r\n\r\n<?xml version=\"1.0\"?><s:Envelope><s:Body>");
    s.raw(b"<u:AddPortMapping xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\">");
    let fields: [(&str, &[u8]); 6] = [
        ("NewExternalPort", b"2299"),
        ("NewProtocol", b"TCP"),
        ("NewInternalPort", b"3389"),
        ("NewInternalClient", b"192.168.1.10"),
        ("NewLeaseDuration", b"0"),
        ("NewPortMappingDescription", b"<b>x</b>"),
    ];
    let many = usize::from(s.times(6, 60));
    for (name, value) in fields.iter().cycle().take(many) {
        s.raw(b"<").raw(name.as_bytes()).raw(b">").free(value).raw(b"</").raw(name.as_bytes());
        s.raw(b">");
    }
    s.raw(b"</u:AddPortMapping></s:Body></s:Envelope>");
    s.server().raw(b"HTTP/1.1 200 OK\r\n\r\n<u:AddPortMappingResponse xmlns:u=\"urn:schemas-");
    s.raw(b"upnp-org:service:WANIPConnection:1\"></u:AddPortMappingResponse>");
}

fn starttls(s: &mut Script<'_>) {
    s.server().raw(b"220 mail.example ESMTP\r\n");
    s.client().raw(b"EHLO ").free(b"a").raw(b"\r\n");
    s.server().raw(b"250-mail.example\r\n250-STARTTLS\r\n250 AUTH LOGIN\r\n");
    if s.input.u8() & 1 == 0 {
        s.client().raw(b"AUTH LOGIN dXNlcg==\r\n");
        s.server().raw(b"334 UGFzc3dvcmQ6\r\n");
        s.client().free(b"cGFzcw==").raw(b"\r\n");
        s.server().raw(b"235 ok\r\n");
    } else {
        s.client().raw(b"STARTTLS\r\n");
        s.server().raw(b"220 go\r\n");
        client_hello(s, b"");
        server_hello(s, false);
        certificates(s);
    }
}

/// Wrappers in wrappers: CONNECT, SOCKS and PROXY headers, then TLS.
fn proxy(s: &mut Script<'_>) {
    let depth = s.times(1, 9);
    for _ in 0..depth {
        match s.input.u8() & 3 {
            0 => {
                s.client().raw(b"CONNECT ").free(b"a.example:443").raw(b" HTTP/1.1\r\n\r\n");
                s.server().raw(b"HTTP/1.1 200 OK\r\n\r\n");
            }
            1 => {
                s.client().raw(&[5]).len_be(1, 0, |s| _ = s.raw(&[0]));
                s.server().raw(&[5, 0]);
                s.client().raw(&[5, 1, 0, 3]).len_be(1, 0, |s| _ = s.free(b"a.example"));
                s.be(443, 2);
                s.server().raw(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
            }
            2 => _ = s.client().raw(b"PROXY TCP4 192.0.2.1 192.0.2.2 5 ").free(b"6").raw(b"\r\n"),
            _ => {
                s.client().raw(b"\r\n\r\n\0\r\nQUIT\n\x21\x11").len_be(2, 0, |s| {
                    s.free(&[192, 0, 2, 1, 192, 0, 2, 2, 0, 5, 0, 6]);
                });
            }
        }
    }
    client_hello(s, b"");
    server_hello(s, false);
}

fn ftp(s: &mut Script<'_>) {
    s.server().raw(b"220 ftp ready\r\n");
    s.client().raw(b"USER ").free(b"gp").raw(b"\r\n");
    s.server().raw(b"331 Password\r\n");
    s.client().raw(b"PASS ").free(b"x").raw(b"\r\n");
    s.server().raw(b"230 ok\r\n");
}
