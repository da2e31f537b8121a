//! What keeps a practice's data and carries it: SQL Server (MS-TDS) and its browser, MySQL,
//! PostgreSQL, Firebird, DICOM (PS3.8), HL7 over MLLP, and protocols of backups.

use super::net::{Dialog, Over};
use super::script::{Script, Who};
use super::web;

/// What this family says.
pub const DIALOGS: &[Dialog] = &[
    Dialog { app: "tds", over: Over::Tcp, port: 1433, say: tds },
    Dialog { app: "ssrp", over: Over::Udp, port: 1434, say: browser },
    Dialog { app: "mysql", over: Over::Tcp, port: 3306, say: mysql },
    Dialog { app: "postgresql", over: Over::Tcp, port: 5432, say: postgres },
    Dialog { app: "firebird", over: Over::Tcp, port: 3050, say: firebird },
    Dialog { app: "dicom", over: Over::Tcp, port: 104, say: dicom },
    Dialog { app: "hl7", over: Over::Tcp, port: 2575, say: hl7 },
    Dialog { app: "rsync", over: Over::Tcp, port: 873, say: rsync },
    Dialog { app: "iscsi", over: Over::Tcp, port: 3260, say: iscsi },
    Dialog { app: "nbd", over: Over::Tcp, port: 10809, say: nbd },
    Dialog { app: "mongodb", over: Over::Tcp, port: 27017, say: mongo },
    Dialog { app: "redis", over: Over::Tcp, port: 6379, say: redis },
    Dialog { app: "", over: Over::Tcp, port: 2049, say: nfs },
];

/// Packets of MS-TDS 2.2.3.1: PRELOGIN with its options, then TLS in it or a logon in clear.
fn tds(s: &mut Script<'_>) {
    for (who, kind) in [(Who::Client, 0x12), (Who::Server, 4)] {
        s.say(who).be(kind, 1).be(1, 1).len_be(2, 4, |s| {
            s.raw(&[0, 0, 1, 0]);
            let many = s.times(4, 20);
            let mut at = u64::from(many) * 5 + 1;
            for n in 0..many {
                let length = [6, 1, 1, 4][usize::from(n & 3)];
                s.be(n.into(), 1).be(at, 2).be(length, 2);
                at += length;
            }
            s.be(0xff, 1).raw(&[15, 0, 7, 0xd0, 0, 0]);
            let levels = [2, 0, 1, 3];
            let level = s.one_of(&levels).unwrap_or(2);
            s.be(level, 1).raw(&[0, 0, 0, 0, 1]).free(b"");
        });
    }
    match s.input.u8() & 3 {
        0 => {
            s.client().be(0x10, 1).be(1, 1).len_be(2, 4, |s| {
                s.raw(&[0, 0, 1, 0]).len_le(4, 4, |s| {
                    s.le(0x7400_0004, 4).fill(0, 28);
                    for n in 0..9 {
                        s.le(94 + n * 8, 2).le(4, 2);
                    }
                    s.fill(0, 22).utf16("userpasswordserver");
                });
            });
        }
        1 => {
            s.client().be(0x12, 1).be(1, 1).len_be(2, 4, |s| {
                s.raw(&[0, 0, 2, 0, 22, 3, 3]).len_be(2, 0, |s| _ = s.raw(&[1]).free(&[0; 60]));
            });
        }
        2 => web::client_hello(s, b"tds/8.0"),
        _ => {}
    }
    let many = s.times(1, 12);
    for n in 0..many {
        let (who, kind) = if n & 1 == 0 { (Who::Client, 1) } else { (Who::Server, 4) };
        s.say(who).be(kind, 1).be(1, 1).len_be(2, 4, |s| _ = s.raw(&[0, 0, 1, 0]).free(&[9; 60]));
    }
}

fn browser(s: &mut Script<'_>) {
    s.client().be(3, 1).free(b"");
    s.server().be(5, 1).len_le(2, 0, |s| {
        s.free(b"ServerName;SRV;InstanceName;X;IsClustered;No;Version;15.0.2000.5;tcp;49172;;");
    });
}

/// Packets: length of three bytes, number.
fn mysql_packet(s: &mut Script<'_>, who: Who, number: u64, body: impl FnOnce(&mut Script<'_>)) {
    s.say(who);
    s.len_le(3, -1, |s| {
        s.le(number, 1);
        body(s);
    });
}

fn mysql(s: &mut Script<'_>) {
    mysql_packet(s, Who::Server, 0, |s| {
        s.le(10, 1).free(b"8.0.33").raw(&[0]).le(11, 4).raw(&[1, 2, 3, 4, 5, 6, 7, 8, 0]);
        s.le(0xffff, 2).raw(&[0xff, 2, 0]).le(0xdfff, 2).le(21, 1).fill(0, 10);
        s.raw(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 0x10, 0x11, 0x12, 0]).raw(b"caching_sha2_password\0");
    });
    let tls = s.input.u8() & 1 != 0;
    mysql_packet(s, Who::Client, 1, |s| {
        s.le(if tls { 0x01ff_ae8d } else { 0x01ff_a68d }, 4).le(1 << 24, 4).le(0xff, 1);
        s.fill(0, 23);
        if !tls {
            s.free(b"root").raw(&[0]).len_le(1, 0, |s| _ = s.free(&[7; 20]));
            s.raw(b"practice\0caching_sha2_password\0");
        }
    });
    if tls {
        web::client_hello(s, b"");
    } else {
        mysql_packet(s, Who::Server, 2, |s| _ = s.raw(&[0, 0, 0, 2, 0, 0, 0]));
        mysql_packet(s, Who::Client, 0, |s| _ = s.raw(&[3]).free(b"SELECT 1"));
    }
}

fn postgres(s: &mut Script<'_>) {
    match s.input.u8() & 3 {
        1 => {
            s.client().be(8, 4).be(80_877_103, 4);
            s.server().raw(b"S");
            web::client_hello(s, b"postgresql");
        }
        2 => {
            s.client().be(8, 4).be(80_877_103, 4);
            s.server().raw(b"N");
        }
        _ => {}
    }
    s.client().len_be(4, 4, |s| {
        s.be(0x0003_0000, 4);
        let many = s.times(2, 40);
        for n in 0..many {
            s.raw(if n == 0 { b"user" } else { b"opt\0" }).raw(&[0]).free(b"gp").raw(&[0]);
        }
        s.raw(&[0]);
    });
    s.server().raw(b"R").len_be(4, 4, |s| _ = s.be(5, 4).raw(&[1, 2, 3, 4]));
    s.client().raw(b"p").len_be(4, 4, |s| _ = s.free(b"md5").raw(&[0]));
    s.server().raw(b"Z").len_be(4, 4, |s| _ = s.raw(b"I"));
}

/// Filled up to four bytes, behind its length.
fn xdr(s: &mut Script<'_>, bytes: &[u8]) {
    let begin = s.at() + 4;
    s.len_be(4, 0, |s| _ = s.free(bytes));
    let length = s.at().saturating_sub(begin);
    s.fill(0, length.next_multiple_of(4) - length);
}

const PATH: &[u8] = b"C:\\data\\practice.fdb";

fn firebird(s: &mut Script<'_>) {
    s.client().be(1, 4).be(19, 4).be(3, 4).be(1, 4);
    xdr(s, PATH);
    s.be(1, 4);
    let begin = s.at() + 4;
    s.len_be(4, 0, |s| {
        let many = s.times(3, 60);
        for n in 0..many {
            s.be(8 + u64::from(n & 3), 1);
            s.len_be(1, 0, |s| _ = s.free(if n == 2 { b"Legacy_Auth" } else { b"Srp256" }));
        }
    });
    let length = s.at().saturating_sub(begin);
    s.fill(0, length.next_multiple_of(4) - length);
    s.be(0x800d, 4).be(1, 4).be(2, 4).be(5, 4).be(2, 4);
    s.server().be(3, 4).be(0xffff_800d, 4).be(1, 4).be(5, 4);
    match s.input.u8() & 3 {
        0 => {
            s.client().be(19, 4).be(0, 4);
            xdr(s, PATH);
            s.len_be(4, 0, |s| _ = s.fill(1, 8));
        }
        1 => {
            s.client().be(96, 4);
            xdr(s, b"Arc4");
            xdr(s, b"Symmetric");
        }
        _ => {}
    }
    let many = s.times(1, 30);
    for _ in 0..many {
        s.client().be(68, 4);
        xdr(s, b"select 1");
        s.server().be(9, 4).be(0, 4).be(0, 8).be(0, 4);
    }
}

/// A-ASSOCIATE (PS3.8 9.3), items in items, then P-DATA.
fn dicom(s: &mut Script<'_>) {
    let answers = [2, 3, 7, 2];
    let answer = s.one_of(&answers).unwrap_or(2);
    for (who, kind) in [(Who::Client, 1), (Who::Server, answer)] {
        s.say(who).be(kind, 1).raw(&[0]).len_be(4, 0, |s| {
            if kind == 3 || kind == 7 {
                s.raw(&[0, 1, 1, 3]);
                return;
            }
            s.be(1, 2).raw(&[0, 0]).raw(b"PACS            ").raw(b"MODALITY1       ").fill(0, 32);
            s.be(0x10, 1).raw(&[0]).len_be(2, 0, |s| _ = s.free(b"1.2.840.10008.3.1.1.1"));
            let many = s.times(2, 40);
            for _ in 0..many {
                s.be(if kind == 1 { 0x20 } else { 0x21 }, 1).raw(&[0]).len_be(2, 0, |s| {
                    s.be(1, 1).raw(&[0, 0, 0]).be(0x30, 1).raw(&[0]);
                    s.len_be(2, 0, |s| _ = s.free(b"1.2.840.10008.1.1"));
                });
            }
            s.be(0x50, 1).raw(&[0]).len_be(2, 0, |s| {
                s.be(0x51, 1).raw(&[0]).len_be(2, 0, |s| _ = s.be(16384, 4));
            });
        });
    }
    let many = s.times(2, 20);
    for n in 0..many {
        s.say(if n & 1 == 0 { Who::Client } else { Who::Server });
        s.be(4, 1).raw(&[0]).len_be(4, 0, |s| {
            s.len_be(4, 0, |s| _ = s.be(1, 1).be(3, 1).free(&[0; 80]));
        });
    }
}

fn hl7(s: &mut Script<'_>) {
    let many = s.times(1, 20);
    for _ in 0..many {
        s.client().raw(b"\x0bMSH|^~\\&|LAB|GP|EMR|GP|20260101||ORU^R01|1|P|2.4\r");
        s.free(b"PID|1||1^^^X||DOE^JANE\r").raw(b"\x1c\r");
        s.server().raw(b"\x0bMSH|^~\\&|EMR|GP|LAB|GP|20260101||ACK|1|P|2.4\rMSA|AA|1\r");
        s.free(b"").raw(b"\x1c\r");
    }
}

fn rsync(s: &mut Script<'_>) {
    s.server().raw(b"@RSYNCD: ").free(b"31.0").raw(b"\n");
    s.client().raw(b"@RSYNCD: 31.0\n").free(b"backup").raw(b"\n");
    s.server().raw(b"@RSYNCD: OK\n");
    let many = s.times(2, 30);
    for _ in 0..many {
        // multiplexed: length of three bytes and a tag
        s.client().len_le(3, 0, |s| _ = s.le(7, 1).free(&[1; 40]));
    }
}

fn iscsi(s: &mut Script<'_>) {
    for (who, op) in [(Who::Client, 0x43), (Who::Server, 0x23)] {
        s.say(who).be(op, 1).be(0x87, 1).be(0, 2).be(0, 1);
        s.len_be(3, -40, |s| {
            s.fill(0, 40);
            s.raw(b"InitiatorName=iqn.2026-01.lan.practice:a\0").free(b"SessionType=Normal\0");
        });
    }
}

fn nbd(s: &mut Script<'_>) {
    s.server().raw(b"NBDMAGICIHAVEOPT").be(3, 2);
    s.client().be(3, 4).raw(b"IHAVEOPT").be(7, 4).len_be(4, 0, |s| {
        s.len_be(4, 0, |s| _ = s.free(b"disk")).be(0, 2);
    });
    s.server().be(0x0003_e889_0455_65a9, 8).be(7, 4).be(3, 4);
    s.len_be(4, 0, |s| _ = s.be(0, 2).be(1 << 30, 8).be(1, 2));
}

fn mongo(s: &mut Script<'_>) {
    for (who, to) in [(Who::Client, 0), (Who::Server, 1)] {
        s.say(who).len_le(4, 4, |s| {
            s.le(1, 4).le(to, 4).le(2013, 4).le(0, 4).raw(&[0]);
            s.len_le(4, 4, |s| {
                s.raw(&[0x10]).raw(b"hello\0").le(1, 4);
                let depth = s.input.u8();
                for _ in 0..depth {
                    s.raw(&[3, b'a', 0]).le(4096, 4);
                }
                s.raw(&[2]).raw(b"$db\0").len_le(4, 0, |s| _ = s.free(b"a").raw(&[0])).raw(&[0]);
            });
        });
    }
}

fn redis(s: &mut Script<'_>) {
    let many = s.times(1, 20);
    for _ in 0..many {
        s.client().raw(b"*").free(b"1").raw(b"\r\n$").free(b"4").raw(b"\r\nINFO\r\n");
        s.server().raw(b"-NOAUTH Authentication required.\r\n").free(b"");
    }
}

/// Calls of ONC RPC (RFC 5531) in fragments.
fn nfs(s: &mut Script<'_>) {
    let many = s.times(2, 20);
    for _ in 0..many {
        s.client().len_be(4, 0x8000_0000, |s| {
            s.be(7, 4).be(0, 4).be(2, 4).be(100_003, 4).be(3, 4).be(1, 4);
            s.be(1, 4).len_be(4, 0, |s| _ = s.free(&[0; 20])).be(0, 8);
        });
        s.server().len_be(4, 0x8000_0000, |s| _ = s.be(7, 4).be(1, 4).be(0, 4).be(0, 8).be(0, 4));
    }
}
