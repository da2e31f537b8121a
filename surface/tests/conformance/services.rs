//! Names, addresses and time, what Windows speaks, databases, and medicine.

use surface::App;

use crate::wire::Transport::{Tcp, Udp};
use crate::wire::Who::{Answerer, Opener};
use crate::wire::{Transport, Who};
use crate::{Row, hex};

pub(crate) fn rows() -> Vec<Row> {
    [names(), addresses(), windows(), sessions(), sql(), stores(), medicine(), things(), messages()]
        .into_iter()
        .flatten()
        .collect()
}

fn both(asks: Vec<u8>, tells: Vec<u8>) -> Vec<(Who, Vec<u8>)> {
    vec![(Opener, asks), (Answerer, tells)]
}

/// Behind its length in as many bytes.
fn framed(bytes: &[u8], length_bytes: usize) -> Vec<u8> {
    let length = (bytes.len() as u32).to_be_bytes();
    [&length[4 - length_bytes..], bytes].concat()
}

/// An element of BER.
fn ber(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let content = content.concat();
    assert!(content.len() < 128);
    [&[tag, content.len() as u8], &content[..]].concat()
}

const DNS_PORTS: &[u16] = &[53, 5300, 443];

fn names() -> Vec<Row> {
    let query = hex("1234 0100 0001 0000 0000 0000 04 77706164 05 6c6f63616e 00 0001 0001");
    let reply = hex("1234 8180 0001 0001 0000 0000 04 77706164 05 6c6f63616e 00 0001 0001
        c00c 0001 0001 00000e10 0004 c0a80142");
    let multicast = hex("0000 8400 0000 0001 0000 0000 02 7063 05 6c6f63616c 00 0001 8001
        00000078 0004 c0a80102");
    let name = "20 46484550464345484546 4843455046464641434143414341434143414341 4341 00";
    let netbios = |rest: &str, kind: &str| hex(&format!("{rest} {name} {kind}"));
    let link = |port: &'static [u16]| {
        let asks = hex("abcd 0000 0001 0000 0000 0000 04 77706164 00 0001 0001");
        let tells = hex("abcd 8000 0001 0001 0000 0000 04 77706164 00 0001 0001
            c00c 0001 0001 0000001e 0004 c0a80142");
        let app = if *port == [5355] { App::Llmnr } else { App::Dns };
        Row::new("LLMNR", Udp, port, both(asks, tells), app)
    };
    vec![
        Row::new("DNS", Udp, DNS_PORTS, both(query.clone(), reply.clone()), App::Dns),
        Row::new("DNS, TCP", Tcp, DNS_PORTS, both(framed(&query, 2), framed(&reply, 2)), App::Dns),
        Row::new("multicast DNS", Udp, &[5353, 5300], vec![(Opener, multicast)], App::Mdns),
        link(&[5355]),
        link(&[5300]),
        Row::new(
            "NetBIOS names",
            Udp,
            &[137, 2299],
            both(
                netbios("8001 0110 0001 0000 0000 0000", "0020 0001"),
                netbios("8001 8580 0000 0001 0000 0000", "0020 0001 000493e0 0006 6000 c0a80142"),
            ),
            App::NetbiosNs,
        ),
        Row::new(
            "SSDP",
            Udp,
            &[1900, 2299],
            both(
                b"M-SEARCH * HTTP/1.1\r\nMAN: \"ssdp:discover\"\r\n\r\n".to_vec(),
                b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1\r\n\r\n".to_vec(),
            ),
            App::Ssdp,
        ),
    ]
}

fn addresses() -> Vec<Row> {
    let dhcp = |op: u8, kind: u8| {
        let mut bytes = vec![0; 300];
        bytes[..8].copy_from_slice(&[op, 1, 6, 0, 0x39, 3, 0xf3, 0x26]);
        bytes[236..244].copy_from_slice(&[0x63, 0x82, 0x53, 0x63, 53, 1, kind, 255]);
        bytes
    };
    let mut asks_time = vec![0x23];
    asks_time.resize(40, 0);
    asks_time.extend_from_slice(&hex("e0fe5f1a 12345678"));
    let tells_time = hex("24 02 00 e9 00000fa1 00000b2c c0a80101 e0fe5e00 00000000
        e0fe5f1a 12345678 e0fe5f1a 22345678 e0fe5f1a 23345678");
    let map =
        both(hex("00 02 0000 0d3d 08fb 00000e10"), hex("00 82 0000 00001000 0d3d 08fb 00000e10"));
    let pcp = |head: &str| {
        hex(&format!(
            "{head} 0102030405060708090a0b0c 06 000000 0d3d 08fb 00000000000000000000ffffcb007107"
        ))
    };
    let elsewhere = Row {
        alone: [App::Unknown; 2],
        ..Row::new("NAT-PMP, elsewhere", Udp, &[2299], map.clone(), App::NatPmp)
    };
    vec![
        Row::new("DHCP", Udp, &[67, 2299], both(dhcp(1, 1), dhcp(2, 2)), App::Dhcp),
        Row::new("NTP", Udp, &[123, 2299], both(asks_time, tells_time), App::Ntp),
        Row::new("NAT-PMP", Udp, &[5351], map, App::NatPmp),
        elsewhere,
        Row::new(
            "PCP",
            Udp,
            &[5351, 2299],
            both(
                pcp("02 01 0000 00001c20 00000000000000000000ffffc0a8010a"),
                pcp("02 81 00 00 00001c20 00001000 000000000000000000000000"),
            ),
            App::Pcp,
        ),
    ]
}

fn windows() -> Vec<Row> {
    const PORTS: &[u16] = &[445, 2299];
    let offer = hex("0000002f ff534d42 72 00000000 18 53c8 0000 0000000000000000 0000 ffff fffe
        0000 0000 00 000c 00 02 4e54204c4d20302e313200");
    let accepted = hex("00000024 ff534d42 72 00000000 98 53c8 0000 0000000000000000 0000 ffff fffe
        0000 0000 01 0000 0000 00");
    let newer = |mark: u8| {
        let mut bytes = vec![0, 0, 0, 64, mark, b'S', b'M', b'B', 64];
        bytes.resize(68, 0);
        bytes
    };
    let ask = hex("6a 1d 30 1b a1 03 02 01 05 a2 03 02 01 0a a4 0f 30 0d a0 07 03 05 0050810010
        a2 02 1b 00");
    let refused = hex("7e 1b 30 19 a0 03 02 01 05 a1 03 02 01 1e a5 05 02 03 0a0b0c
        a6 03 02 01 19 a9 01 1b");
    let bind = hex("30 0c 02 01 01 60 07 02 01 03 04 00 80 00");
    let bound = hex("30 0c 02 01 01 61 07 0a 01 00 04 00 04 00");
    let rpc = hex("05 00 0b 03 10000000 4800 0000 01000000 d016 d016 00000000 01 000000
        0000 01 00 0883afe11f5dc91191a408002b14a0fa 03000000
        045d888aeb1cc9119fe808002b104860 02000000");
    let rpc_answer = hex("05 00 0c 03 10000000 3c00 0000 01000000 d016 d016 aa550000 0400 31333500
        0000 01 000000 0000 0000 045d888aeb1cc9119fe808002b104860 02000000");
    vec![
        Row::new("SMB 1 alone, accepted", Tcp, PORTS, both(offer.clone(), accepted), App::Smb),
        Row::new("SMB 1, upgraded", Tcp, PORTS, both(offer, newer(0xfe)), App::Smb),
        Row::new("SMB 3, encrypted", Tcp, PORTS, both(newer(0xfd), newer(0xfd)), App::Smb),
        Row::new("SMB 3, compressed", Tcp, PORTS, both(newer(0xfc), newer(0xfe)), App::Smb),
        Row::new("Kerberos", Udp, &[88, 2299], both(ask.clone(), refused.clone()), App::Kerberos),
        Row::new(
            "Kerberos, TCP",
            Tcp,
            &[88, 2299],
            both(framed(&ask, 4), framed(&refused, 4)),
            App::Kerberos,
        ),
        Row::new("LDAP", Tcp, &[389, 2299], both(bind, bound), App::Ldap),
        Row::new("DCE/RPC", Tcp, &[135, 49_155], both(rpc, rpc_answer), App::DceRpc),
    ]
}

fn sql() -> Vec<Row> {
    let prelogin = hex("12 01 002f 0000 00 00 00 001a 0006 01 0020 0001 02 0021 0001 03 0022 0004
        04 0026 0001 ff 0f0007d00000 02 00 00000001 00");
    let answer = hex("04 01 002b 0000 01 00 00 001a 0006 01 0020 0001 02 0021 0001 03 0022 0000
        04 0022 0001 ff 0f0007d00000 02 00 00");
    let text = b"ServerName;SRV;InstanceName;BPSINSTANCE;IsClustered;No;Version;15.0.2000.5;\
        tcp;49172;;";
    let told = [&[5, text.len() as u8, 0], &text[..]].concat();
    let browser = |name, ports, alone| Row {
        alone,
        ..Row::new(name, Udp, ports, both(vec![3], told.clone()), App::Ssrp)
    };
    let firebird = |name, path: &[u8]| {
        let mut asks = hex("00000001 00000013 00000003 00000001");
        asks.extend_from_slice(&framed(path, 4));
        asks.resize(asks.len().next_multiple_of(4), 0);
        asks.extend_from_slice(&hex(
            "00000001 00000008 0904 75736572 0100 0000800d 00000001 00000002
            00000005 00000002",
        ));
        let tells = hex("00000003 ffff800d 00000001 00000005");
        Row::new(name, Tcp, &[3050, 3060], both(asks, tells), App::Firebird)
    };
    let greets = hex("4a000000 0a 382e302e333300 0b000000 0102030405060708 00 ffff ff 0200 ffdf 15
        00000000000000000000 010203040506070809101112 00
        63616368696e675f736861325f70617373776f726400");
    let tls = hex("20000001 8daeff01 00000001 ff 0000000000000000000000000000000000000000000000");
    let start = b"\0\0\0\x1a\0\x03\0\0user\0gp\0database\0".to_vec();
    vec![
        Row::new("TDS", Tcp, &[1433, 49_172], both(prelogin, answer), App::Tds),
        browser("SQL Server's browser", &[1434], [App::Ssrp; 2]),
        browser("SQL Server's browser, elsewhere", &[2299], [App::Unknown, App::Ssrp]),
        firebird("Firebird", b"C:\\data\\practice.fdb"),
        firebird("Firebird, a path with padding", b"/data/practice.fdb"),
        Row::new("MySQL", Tcp, &[3306, 2299], vec![(Answerer, greets), (Opener, tls)], App::MySql),
        Row::new(
            "PostgreSQL",
            Tcp,
            &[5432, 2299],
            both(start, hex("52 0000000c 00000005 01020304")),
            App::PostgreSql,
        ),
    ]
}

fn medicine() -> Vec<Row> {
    let associate = |kind: u8| {
        let mut pdu = vec![kind, 0, 0, 0, 0, 0, 0, 1, 0, 0];
        pdu.extend_from_slice(b"PACS            MODALITY1       ");
        pdu.resize(74, 0);
        pdu.extend_from_slice(b"\x10\0\0\x151.2.840.10008.3.1.1.1");
        pdu[5] = pdu.len() as u8 - 6;
        pdu
    };
    let dicom = |name, tells| {
        Row::new(name, Tcp, &[104, 11112, 4242], both(associate(1), tells), App::Dicom)
    };
    let message = |text: &str| [b"\x0b", text.as_bytes(), b"\x1c\r"].concat();
    let hl7 = |name, asks: &str, tells: &str| {
        Row::new(name, Tcp, &[2575, 6661], both(message(asks), message(tells)), App::Hl7)
    };
    vec![
        dicom("DICOM", associate(2)),
        dicom("DICOM, rejected", hex("0300 00000004 00 01 01 03")),
        hl7(
            "HL7",
            "MSH|^~\\&|LAB|GP|EMR|GP|20260101||ORU^R01|1|P|2.4\r",
            "MSH|^~\\&|EMR|GP|LAB|GP|20260101||ACK|1|P|2.4\rMSA|AA|1\r",
        ),
        hl7("HL7, another separator", "MSH#!~\\&#LAB#GP\r", "MSH#!~\\&#EMR#GP\rMSA#AA#1\r"),
    ]
}

fn things() -> Vec<Row> {
    let snmp = |pdu: u8| {
        let integers = [ber(2, &[&[0x12, 0x34]]), ber(2, &[&[0]]), ber(2, &[&[0]])].concat();
        let oid = ber(6, &[&[0x2b, 6, 1, 2, 1, 1, 5, 0]]);
        let list = ber(0x30, &[&ber(0x30, &[&oid, &[5, 0]])]);
        let pdu = ber(pdu, &[&integers, &list]);
        ber(0x30, &[&[2, 1, 1], &ber(4, &[b"public"]), &pdu])
    };
    let one = |name, transport: Transport, ports, asks: &[u8], app| {
        Row::new(name, transport, ports, vec![(Opener, asks.to_vec())], app)
    };
    let line = b"<34>Oct 11 22:14:15 gw su: failed";
    vec![
        Row::new("SNMP", Udp, &[161, 2299], both(snmp(0xa0), snmp(0xa2)), App::Snmp),
        one("syslog", Udp, &[514, 2299], line, App::Syslog),
        one("syslog, TCP", Tcp, &[514, 2299], line, App::Syslog),
        one("TFTP", Udp, &[69, 2299], b"\0\x01running-config\0octet\0", App::Tftp),
        one("PJL", Tcp, &[9100, 2299], b"\x1b%-12345X@PJL JOB\r\n", App::Printer),
        one("MQTT", Tcp, &[1883, 2299], b"\x10\x0e\0\x04MQTT\x04\x02\0<\0\x02hp", App::Mqtt),
    ]
}

/// What needs more than one message, and what Windows asks in datagrams.
fn sessions() -> Vec<Row> {
    let name = "20 46484550464345484546 4843455046464641434143414341434143414341 4341 00";
    let request = hex(&format!("81000044 {name} {name}"));
    let message = |command: u8| {
        let mut bytes = vec![0, 0, 0, 64, 0xff, b'S', b'M', b'B', command];
        bytes.resize(68, 0);
        bytes
    };
    let session = vec![
        (Opener, request.clone()),
        (Answerer, hex("82000000")),
        (Opener, message(0x72)),
        (Answerer, message(0x72)),
    ];
    let change = hex("0021 0001 0018 6e 16 30 14 a0 03 02 01 05 a1 03 02 01 0e
        a2 03 02 01 00 a3 03 02 01 00 000000");
    let changed = hex("001e 0001 0018 6f 16 30 14 a0 03 02 01 05 a1 03 02 01 0f
        a2 03 02 01 00 a3 03 02 01 00");
    let ping = hex("30 1c 02 01 04 63 17 04 00 0a 01 00 0a 01 00 02 01 00 02 01 00 01 01 00
        87 02 6e74 30 00");
    let pong = hex("30 0f 02 01 04 64 0a 04 00 30 06 30 04 04 00 31 00
        30 0c 02 01 04 65 07 0a 01 00 04 00 04 00");
    let datagram = hex(&format!("11 0a 8002 c0a80142 008a 0048 0000 {name} {name} ff534d42 25"));
    vec![
        Row::new("SMB in a NetBIOS session", Tcp, &[139, 2299], session, App::Smb),
        Row::new(
            "a NetBIOS session without SMB",
            Tcp,
            &[139],
            both(request, hex("83000001 82")),
            App::NetbiosSsn,
        ),
        Row::new("NetBIOS datagrams", Udp, &[138, 2299], vec![(Opener, datagram)], App::NetbiosDgm),
        Row::new("CLDAP", Udp, &[389, 2299], both(ping, pong), App::Cldap),
        Row::new(
            "password change",
            Udp,
            &[464, 2299],
            both(change.clone(), changed.clone()),
            App::Kpasswd,
        ),
        Row::new(
            "password change, TCP",
            Tcp,
            &[464, 2299],
            both(framed(&change, 4), framed(&changed, 4)),
            App::Kpasswd,
        ),
    ]
}

fn stores() -> Vec<Row> {
    let hello = hex("30000000 01000000 00000000 dd070000 00000000 00
        1b000000 10 68656c6c6f00 01000000 02 2464620002000000 6100 00");
    let reply = hex("26000000 02000000 01000000 dd070000 00000000 00
        11000000 01 6f6b00 000000000000f03f 00");
    let startup = hex("04 00 0001 01 00000016 0001 000b 43514c5f56455253494f4e 0005 332e302e30");
    let authenticate = hex("84 00 0001 03 00000004 0002 6161");
    let connect = [
        hex("003c 0000 01 00 0000 0139 012c 0000 0800 7fff 7f08 0000 0001 0016 0026 00000000 41 41
            00000000"),
        b"(DESCRIPTION=(ADDRESS=".to_vec(),
    ]
    .concat();
    let elsewhere = Row {
        alone: [App::Unknown; 2],
        ..Row::new(
            "memcached, elsewhere",
            Tcp,
            &[2299],
            both(b"get a\r\n".to_vec(), b"END\r\n".to_vec()),
            App::Memcached,
        )
    };
    vec![
        Row::new("MongoDB", Tcp, &[27017, 2299], both(hello, reply), App::MongoDb),
        Row::new("Cassandra", Tcp, &[9042, 2299], both(startup, authenticate), App::Cassandra),
        Row::new(
            "Redis",
            Tcp,
            &[6379, 2299],
            both(
                b"*1\r\n$4\r\nINFO\r\n".to_vec(),
                b"-NOAUTH Authentication required.\r\n".to_vec(),
            ),
            App::Redis,
        ),
        Row::new(
            "memcached",
            Tcp,
            &[11211, 2299],
            both(b"set a 0 0 1\r\nx\r\n".to_vec(), b"VALUE a 0 1\r\nx\r\nEND\r\n".to_vec()),
            App::Memcached,
        ),
        elsewhere,
        Row::new(
            "Oracle",
            Tcp,
            &[1521, 2299],
            both(connect, hex("0008 0000 0b 00 0000")),
            App::Oracle,
        ),
    ]
}

fn messages() -> Vec<Row> {
    let text = |name, ports, asks: &str, tells: &str, app| {
        Row::new(name, Tcp, ports, both(asks.into(), tells.into()), app)
    };
    let stream = "<?xml version='1.0'?><stream:stream to='example.com' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
    let start = hex("01 0000 000001f1 000a 000a 00 09 000001cc");
    let forward = hex("1234 0016 02 02 0008 485454502f312e31 0001 2f 00 0000");
    let headers = hex("4142 0009 04 00c8 0002 4f4b 00 0000");
    vec![
        text(
            "IRC",
            &[6667, 2299],
            "NICK gp\r\nUSER gp 0 * :General\r\n",
            ":irc.example.net 001 gp :Welcome\r\n",
            App::Irc,
        ),
        text("XMPP", &[5222, 2299], stream, stream, App::Xmpp),
        text("NNTP", &[119, 2299], "MODE READER\r\n", "200 NNTP ready\r\n", App::Nntp),
        Row::new("AMQP", Tcp, &[5672, 2299], both(hex("414d5150 00 00 09 01"), start), App::Amqp),
        Row::new("AJP", Tcp, &[8009, 2299], both(forward, headers), App::Ajp),
    ]
}
