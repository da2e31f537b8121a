//! Databases that speak SQL: SQL Server's TDS (MS-TDS) and browser (MC-SQLR), Firebird, MySQL,
//! PostgreSQL, Oracle, and 4D by its port.

use super::fit::{Fit, first, judge, stream};
use super::read::{Parsed, Reader, Stop, has, is_text, need};
use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const TCP: &[Test] = &[tds, firebird, mysql, postgresql, oracle, four_d];
pub(super) const UDP: &[Test] = &[ssrp];

/// The header of a packet (MS-TDS section 2.2.3.1): its type, and what it carries as far as it is
/// there.
fn tds_packet<'a>(reader: &mut Reader<'a>) -> Parsed<(u8, usize, &'a [u8])> {
    let kind = reader.u8()?;
    // query, RPC, reply, attention, bulk, transaction, login, SSPI, prelogin
    need(matches!(kind, 1..=4 | 6 | 7 | 14 | 16..=18))?;
    need(reader.u8()? <= 0x1f)?;
    let length = usize::from(reader.be16()?);
    need(length > 8)?;
    // process, packet number, window
    reader.take(3)?;
    need(reader.u8()? == 0)?;
    let rest = reader.rest();
    Ok((kind, length - 8, rest.get(..length - 8).unwrap_or(rest)))
}

/// Options of a prelogin message (section 2.2.6.5): token, offset and length of each, up to `FF`.
/// The first is the version, and its data stand right behind the list.
fn prelogin(body: &[u8], length: usize) -> Parsed {
    let mut reader = Reader::new(body);
    let (mut behind, mut count) = (usize::MAX, 0);
    loop {
        let token = reader.u8()?;
        if token == 0xff {
            break;
        }
        let (offset, size) = (usize::from(reader.be16()?), usize::from(reader.be16()?));
        need(count < 16 && token <= 16 && offset + size <= length)?;
        if count == 0 {
            need(token == 0 && size == 6)?;
        }
        behind = behind.min(offset);
        count += 1;
    }
    need(behind == reader.at())?;
    Ok(Fit::Alone)
}

/// Text of two bytes a character, of which these are the first: ASCII, so far.
fn is_wide_text(bytes: &[u8]) -> bool {
    bytes.chunks_exact(2).take(16).all(|pair| matches!(pair, [0x09..=0x7e, 0]))
}

fn tds_asks(reader: &mut Reader<'_>) -> Parsed {
    let (kind, length, mut body) = tds_packet(reader)?;
    match kind {
        18 => prelogin(body, length),
        16 => {
            // LOGIN7: its own length, version 7.x (section 2.2.6.4)
            let mut reader = Reader::new(body);
            let own = reader.le32()? as usize;
            need((86..=1 << 17).contains(&own) && (own == length || length > 500))?;
            need((0x70..=0x74).contains(&(reader.le32()? >> 24)))?;
            Ok(Fit::Alone)
        }
        2 => {
            // version 5 (Sybase) and older: names and a password of 30 bytes each, behind them
            // how many count; the rest is zero (TDS 5.0 Functional Specification, "Login Record")
            need(length >= 500)?;
            for _ in 0..2 {
                let (text, count) = body.split_at_checked(30).ok_or(Stop::Short)?;
                let count = usize::from(*count.first().ok_or(Stop::Short)?);
                need(text.get(count..).is_some_and(|rest| rest.iter().all(|&byte| byte == 0)))?;
                need(is_text(text.get(..count).unwrap_or_default()))?;
                body = body.get(31..).unwrap_or_default();
            }
            Ok(Fit::Good)
        }
        1 | 3 | 14 => {
            let mut reader = Reader::new(body);
            // all headers: one of 18 bytes for the transaction (section 2.2.5.3)
            let wide = match reader.le32()? {
                total @ 22..=512 => {
                    let one = reader.le32()?;
                    need(one + 4 <= total)?;
                    need((1..=3).contains(&reader.le16()?))?;
                    return Ok(Fit::Good);
                }
                // before version 7.2: text, or a procedure's name behind its length
                _ => body,
            };
            let (wide, least) = match (kind, wide) {
                (3, [low, 0, name @ ..]) => (name, usize::from(*low) * 2),
                (1, text) => (text, 16),
                _ => return Err(Stop::No),
            };
            let least = least.min(32).min(length.saturating_sub(2));
            need(least >= 8)?;
            need(is_wide_text(wide.get(..least).ok_or(Stop::Short)?))?;
            Ok(Fit::Good)
        }
        _ => Err(Stop::No),
    }
}

fn tds_tells(reader: &mut Reader<'_>) -> Parsed {
    let (kind, length, body) = tds_packet(reader)?;
    need(kind == 4)?;
    match body.first() {
        None => Err(Stop::Short),
        Some(0) => prelogin(body, length),
        // tokens (section 2.2.7): result sets, returned values, errors, changes, done
        Some(0x79 | 0x81 | 0xa9 | 0xaa | 0xab | 0xac | 0xad | 0xd1 | 0xd2 | 0xe3 | 0xe5 | 0xed) => {
            Ok(Fit::Weak)
        }
        Some(0xfd..=0xff) if length >= 9 => Ok(Fit::Weak),
        Some(_) => Err(Stop::No),
    }
}

fn tds(talk: &Talk<'_>) -> Answer {
    let ends = [stream(&talk.opener, tds_asks), stream(&talk.answerer, tds_tells)];
    judge(App::Tds, talk, ends, &[1433])
}

/// Asking what instances there are is one byte, or a name (MC-SQLR section 2.2); the answer is a
/// text behind its length.
fn ssrp(talk: &Talk<'_>) -> Answer {
    let opener = first(&talk.opener, |reader, wire| {
        match reader.u8()? {
            2 | 3 => need(wire == 1)?,
            4 => {
                let name = reader.until(0, 33)?;
                need(!name.is_empty() && is_text(name) && reader.at() == wire)?;
            }
            15 => {
                need(reader.u8()? == 1)?;
                let name = reader.until(0, 33)?;
                need(!name.is_empty() && is_text(name) && reader.at() == wire)?;
            }
            _ => return Err(Stop::No),
        }
        Ok(Fit::Weak)
    });
    let answerer = first(&talk.answerer, |reader, wire| {
        need(reader.u8()? == 5)?;
        let length = usize::from(reader.le16()?);
        need(length + 3 == wire || (length == 6 && wire == 6))?;
        if wire == 6 {
            // the port of the dedicated connection
            need(reader.u8()? == 1)?;
            return Ok(Fit::Weak);
        }
        reader.literal(b"ServerName;")?;
        Ok(Fit::Alone)
    });
    judge(App::Ssrp, talk, [opener, answerer], &[1434])
}

/// `op_connect` for an operation, the version of the connection's block, the client's architecture,
/// the database, and how many protocol versions follow (Firebird's `remote/protocol.h`). Strings
/// are padded to four bytes.
fn firebird_asks(reader: &mut Reader<'_>) -> Parsed {
    reader.literal(&[0, 0, 0, 1])?;
    // attach, create, attach to the service manager
    need(matches!(reader.be32()?, 19 | 20 | 82))?;
    need(matches!(reader.be32()?, 2 | 3) && reader.be32()? <= 64)?;
    let length = reader.be32()? as usize;
    need(length <= 1024)?;
    let path = reader.take(length)?;
    need(path.iter().all(|&byte| byte >= b' ' && byte != 0x7f))?;
    reader.take(length.next_multiple_of(4) - length)?;
    need((1..=64).contains(&reader.be32()?))?;
    Ok(Fit::Alone)
}

/// Accept (with data, on a condition): version, architecture, type. Or reject, or an answer to what
/// an old server does not know.
fn firebird_tells(reader: &mut Reader<'_>) -> Parsed {
    match reader.be32()? {
        3 | 94 | 98 => {}
        4 => return Ok(Fit::Weak),
        // a response: object, blob, no data, status
        9 => {
            reader.take(12)?;
            return Ok(Fit::Weak);
        }
        _ => return Err(Stop::No),
    }
    // versions from 10 on have the top bit of their half set, and its sign extended
    let version = reader.be32()?;
    need(matches!(version, 8..=10 | 0xffff_800a..=0xffff_803f | 0x800a..=0x803f))?;
    need(reader.be32()? <= 64 && reader.be32()? & 0xff <= 6)?;
    Ok(Fit::Good)
}

fn firebird(talk: &Talk<'_>) -> Answer {
    let ends = [stream(&talk.opener, firebird_asks), stream(&talk.answerer, firebird_tells)];
    judge(App::Firebird, talk, ends, &[3050])
}

/// A packet's length in three bytes and its number in the exchange (MySQL internals manual,
/// "Protocol basics").
fn mysql_packet(reader: &mut Reader<'_>, number: u8) -> Parsed<usize> {
    let [low, middle, high] = [reader.u8()?, reader.u8()?, reader.u8()?].map(usize::from);
    need(high == 0 && reader.u8()? == number)?;
    Ok(low | middle << 8)
}

/// Protocol 10, a version in digits, a thread, eight bytes of salt and a zero; or an error at once.
fn mysql_tells(reader: &mut Reader<'_>) -> Parsed {
    let length = mysql_packet(reader, 0)?;
    match reader.u8()? {
        10 => {}
        0xff => {
            // "too many connections", "host is not allowed", and their like
            need(length >= 10 && (1000..2000).contains(&reader.le16()?))?;
            need(is_text(reader.take(7)?))?;
            return Ok(Fit::Good);
        }
        _ => return Err(Stop::No),
    }
    let version = reader.until(0, 80)?;
    need(version.first().is_some_and(u8::is_ascii_digit) && is_text(version))?;
    need(length >= version.len() + 2 + 13 + 2)?;
    reader.take(12)?;
    need(reader.u8()? == 0)?;
    Ok(Fit::Alone)
}

/// Capabilities with version 4.1's bit, the largest packet, a character set, and nineteen zeros
/// (MariaDB uses four more).
fn mysql_asks(reader: &mut Reader<'_>) -> Parsed {
    let length = mysql_packet(reader, 1)?;
    let capabilities = reader.le32()?;
    need(length >= 32 && capabilities & 0x0200 != 0)?;
    // 32 bytes and no more ask for TLS
    need(length > 32 || capabilities & 0x0800 != 0)?;
    reader.take(5)?;
    reader.literal(&[0; 19])?;
    Ok(Fit::Good)
}

fn mysql(talk: &Talk<'_>) -> Answer {
    let ends = [stream(&talk.opener, mysql_asks), stream(&talk.answerer, mysql_tells)];
    judge(App::MySql, talk, ends, &[3306])
}

/// Length, and a code or a version (PostgreSQL documentation, "Message formats"): TLS, GSS, cancel,
/// start.
fn postgresql_asks(reader: &mut Reader<'_>) -> Parsed {
    let length = reader.be32()?;
    need((8..=10_000).contains(&length))?;
    match reader.be32()? {
        0x04d2_162f | 0x04d2_1630 => need(length == 8)?,
        0x04d2_162e => need(length >= 16)?,
        0x0003_0000..=0x0003_0002 => {
            let name = reader.until(0, 64)?;
            need(
                name.len() >= 2
                    && name
                        .iter()
                        .all(|&byte| byte == b'_' || byte == b'.' || byte.is_ascii_alphanumeric()),
            )?;
        }
        _ => return Err(Stop::No),
    }
    Ok(Fit::Alone)
}

/// One letter to TLS or GSS; then how to authenticate, or an error.
fn postgresql_tells(reader: &mut Reader<'_>) -> Parsed {
    if let Some(b'S' | b'N' | b'G') = reader.peek() {
        reader.u8()?;
        if !matches!(reader.peek(), Some(b'R' | b'E')) {
            // nothing more, or the TLS that was agreed on: a record with a server's hello
            return match reader.rest() {
                [22, 3, _, _, _, 2, ..] => Ok(Fit::Good),
                [] | [22] | [22, 3, ..] => Ok(Fit::Weak),
                _ => Err(Stop::No),
            };
        }
    }
    match reader.u8()? {
        b'R' => {
            let (length, kind) = (reader.be32()?, reader.be32()?);
            need(match kind {
                // done, passwords, SCM, GSS, SSPI; MD5 has four bytes of salt
                0 | 2 | 3 | 6 | 7 | 9 => length == 8,
                5 => length == 12,
                // GSS data, SASL and its continuation
                8 | 10..=12 => (9..=4000).contains(&length),
                _ => false,
            })?;
            Ok(Fit::Good)
        }
        b'E' => {
            need((10..=10_000).contains(&reader.be32()?))?;
            reader.literal(b"S")?;
            let severity = reader.until(0, 32)?;
            need(severity.len() >= 4 && is_text(severity))?;
            need(matches!(reader.u8()?, b'V' | b'C'))?;
            Ok(Fit::Good)
        }
        _ => Err(Stop::No),
    }
}

fn postgresql(talk: &Talk<'_>) -> Answer {
    let ends = [stream(&talk.opener, postgresql_asks), stream(&talk.answerer, postgresql_tells)];
    judge(App::PostgreSql, talk, ends, &[5432])
}

/// Oracle's transparent network substrate, as Wireshark's `packet-tns.c` has it: length, checksum,
/// type.
fn tns(reader: &mut Reader<'_>) -> Parsed<(usize, u8)> {
    let length = usize::from(reader.be16()?);
    need(length >= 8)?;
    reader.be16()?;
    let kind = reader.u8()?;
    need((1..=14).contains(&kind) && reader.u8()? & 0xd0 == 0)?;
    reader.be16()?;
    Ok((length, kind))
}

/// Versions of the substrate: 8 (300) to 23 (319), and room for later ones.
const TNS_VERSIONS: core::ops::RangeInclusive<u16> = 300..=335;

fn oracle_asks(reader: &mut Reader<'_>) -> Parsed {
    let (length, kind) = tns(reader)?;
    need(kind == 1 && length >= 34)?;
    let (version, oldest) = (reader.be16()?, reader.be16()?);
    need(TNS_VERSIONS.contains(&version) && oldest <= version)?;
    // options, sizes of the units, characteristics, turn-around, the number one in the sender's
    // order
    reader.take(10)?;
    need(matches!(reader.be16()?, 0x0001 | 0x0100))?;
    let (size, offset) = (usize::from(reader.be16()?), usize::from(reader.be16()?));
    need((34..=100).contains(&offset))?;
    if offset + size <= length && size > 0 {
        reader.take(offset - reader.at())?;
        reader.literal(b"(")?;
        return Ok(Fit::Alone);
    }
    Ok(Fit::Good)
}

fn oracle_tells(reader: &mut Reader<'_>) -> Parsed {
    let (length, kind) = tns(reader)?;
    match kind {
        2 => need(length >= 24 && TNS_VERSIONS.contains(&reader.be16()?))?,
        // refused: two reasons; redirected: a text follows
        4 | 5 => {
            if kind == 4 {
                reader.be16()?;
            }
            let size = usize::from(reader.be16()?);
            if size == 0 || reader.at() + size != length {
                return Ok(Fit::Weak);
            }
            reader.literal(b"(")?;
        }
        // send it again
        11 => need(length == 8)?,
        _ => return Err(Stop::No),
    }
    Ok(Fit::Good)
}

fn oracle(talk: &Talk<'_>) -> Answer {
    let ends = [stream(&talk.opener, oracle_asks), stream(&talk.answerer, oracle_tells)];
    judge(App::Oracle, talk, ends, &[1521])
}

/// 4D publishes no format of its messages, so that the port is all there is: 19812 to 19814
/// (developer.4d.com, "Client-server page"), both ends heard, not in text, TLS or HTTP, and nothing
/// else recognised until the end. Only ever likely.
fn four_d(talk: &Talk<'_>) -> Answer {
    let (asks, tells) = (talk.opener.bytes(), talk.answerer.bytes());
    if !(19_812..=19_814).contains(&talk.service_port) {
        return Answer::No;
    }
    let head = asks.get(..asks.len().min(32)).unwrap_or_default();
    if is_text(head) && head.len() == 32 || matches!(head, [22, 3, ..]) || has(head, b"HTTP/") {
        return Answer::No;
    }
    match (talk.last, asks.is_empty() || tells.is_empty()) {
        (false, _) => Answer::More,
        (true, false) => Answer::Likely(App::FourD),
        (true, true) => Answer::No,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, tcp_path, udp, udp_on};
    use crate::App;

    const PRELOGIN: &str =
        "12 01 002f 0000 00 00 00 001a 0006 01 0020 0001 02 0021 0001 03 0022 0004
        04 0026 0001 ff 0f0007d00000 02 00 00000001 00";
    const PRELOGIN_REPLY: &str =
        "04 01 002b 0000 01 00 00 001a 0006 01 0020 0001 02 0021 0001 03 0022 0000
        04 0022 0001 ff 0f0007d00000 02 00 00";

    #[test]
    fn tds_prelogin_of_either_end() {
        let (asks, tells) = (hex(PRELOGIN), hex(PRELOGIN_REPLY));
        assert_eq!(tcp(1433, &[(Opener, &asks)]), App::Tds);
        assert_eq!(tcp(49172, &[(Answerer, &tells)]), App::Tds);
        assert_eq!(tcp(49172, &[(Opener, &asks), (Answerer, &tells)]), App::Tds);
        let mut other = asks;
        other[10] = 0x1b;
        assert_eq!(tcp(1433, &[(Opener, &other)]), App::Unknown);
    }

    #[test]
    fn tds_in_its_middle() {
        let batch = hex("01 01 0034 0000 01 00 16000000 12000000 0200 0000000000000000 01000000
            73006500 6c006500 63007400 20003100 3b00");
        let old = hex("01 01 0014 0000 01 00 43004f00 4d004d00 49005400");
        let done = hex("04 01 0011 0035 01 00 fd 0000 d500 00000000");
        assert_eq!(tcp(1433, &[(Opener, &batch)]), App::Tds);
        assert_eq!(tcp(1433, &[(Opener, &batch), (Answerer, &done)]), App::Tds);
        assert_eq!(tcp(1433, &[(Opener, &old), (Answerer, &done)]), App::Tds);
    }

    #[test]
    fn tds_of_sybase() {
        let mut asks = hex("02 00 0200 0000 00 00");
        asks.resize(8 + 30, 0);
        asks.extend_from_slice(b"\0user");
        asks.resize(8 + 61, 0);
        asks.push(4);
        asks.resize(512, 0);
        assert_eq!(tcp(5000, &[(Opener, &asks)]), App::Tds);
        asks[45] = b'x';
        assert_eq!(tcp(5000, &[(Opener, &asks)]), App::Unknown);
    }

    #[test]
    fn a_connection_request_of_rdp_is_not_tds() {
        let request = hex("0300000b06e00000000000");
        let confirm = hex("0300000b06d00000123400");
        for port in [1433, 3389, 2299] {
            let path = tcp_path(port, &[(Opener, &request), (Answerer, &confirm)]);
            assert!(!path.contains(&App::Tds), "{path:?}");
        }
    }

    #[test]
    fn browser_of_sql_server() {
        let text = b"ServerName;SRV;InstanceName;BPSINSTANCE;IsClustered;No;Version;15.0.2000.5;\
            tcp;49172;;";
        let mut told = vec![5, text.len() as u8, 0];
        told.extend_from_slice(text);
        assert_eq!(udp(1434, &[(Answerer, &told)]), App::Ssrp);
        assert_eq!(udp(1434, &[(Opener, &[3]), (Answerer, &told)]), App::Ssrp);
        assert_eq!(udp_on(1434, &[(Opener, &[2])]), App::Ssrp);
        assert_eq!(udp_on(1434, &[(Opener, b"\x04BPSINSTANCE\0")]), App::Ssrp);
        assert_eq!(udp_on(2299, &[(Opener, &[2])]), App::Unknown);
        told.push(b';');
        assert_eq!(udp(1434, &[(Answerer, &told)]), App::Unknown);
    }

    #[test]
    fn firebird_of_either_end() {
        // a path whose length is a multiple of four, and one whose is not
        for path in [&b"C:\\data\\practice.fdb"[..], b"med"] {
            let mut asks = hex("00000001 00000013 00000003 00000001");
            asks.extend_from_slice(&(path.len() as u32).to_be_bytes());
            asks.extend_from_slice(path);
            asks.resize(asks.len().next_multiple_of(4), 0);
            asks.extend_from_slice(&hex("00000002 00000006 0903 6c6162 04 01 70"));
            let tells = hex("00000062 ffff800f 00000001 00000005 00000000");
            assert_eq!(tcp(3050, &[(Opener, &asks)]), App::Firebird);
            assert_eq!(tcp(3060, &[(Answerer, &tells)]), App::Firebird);
            assert_eq!(tcp(3060, &[(Opener, &asks), (Answerer, &tells)]), App::Firebird);
        }
        assert_eq!(tcp(3050, &[(Opener, &hex("00000001 00000014 00000009"))]), App::Unknown);
    }

    #[test]
    fn mysql() {
        let greets =
            hex("4a000000 0a 382e302e333300 0b000000 0102030405060708 00 ffff ff 0200 ffdf 15
            00000000000000000000 010203040506070809101112 00
            63616368696e675f736861325f70617373776f726400");
        let logs_in =
            hex("26000001 8da6ff01 00000001 ff 0000000000000000000000000000000000000000000000
            726f6f7400 00");
        let tls =
            hex("20000001 8daeff01 00000001 ff 0000000000000000000000000000000000000000000000");
        assert_eq!(tcp(3306, &[(Answerer, &greets)]), App::MySql);
        assert_eq!(tcp(3306, &[(Answerer, &greets), (Opener, &logs_in)]), App::MySql);
        assert_eq!(tcp(3306, &[(Opener, &logs_in)]), App::MySql);
        assert_eq!(tcp(3306, &[(Opener, &tls)]), App::MySql);
        let full = b"\x17\0\0\0\xff\x10\x04Too many connections";
        assert_eq!(tcp(3306, &[(Answerer, full)]), App::MySql);
        let mut other = greets;
        other[4] = 9;
        assert_eq!(tcp(3306, &[(Answerer, &other)]), App::Unknown);
    }

    #[test]
    fn postgresql() {
        let tls = hex("00000008 04d2162f");
        let start = b"\0\0\0\x1a\0\x03\0\0user\0gp\0database\0";
        let password = hex("52 0000000c 00000005 01020304");
        let refused = b"E\0\0\0\x40SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed\0\0";
        assert_eq!(tcp(5432, &[(Opener, &tls)]), App::PostgreSql);
        assert_eq!(
            tcp(5432, &[(Opener, &tls), (Answerer, b"N"), (Opener, start)]),
            App::PostgreSql
        );
        assert_eq!(tcp(5432, &[(Opener, start), (Answerer, &password)]), App::PostgreSql);
        assert_eq!(tcp(5432, &[(Answerer, &password)]), App::PostgreSql);
        assert_eq!(tcp(5432, &[(Answerer, refused)]), App::PostgreSql);
        let hello = hex("53 1603030058 02000054 0303");
        assert_eq!(tcp(5432, &[(Answerer, &hello)]), App::PostgreSql);
        assert_eq!(tcp(5432, &[(Opener, b"\0\0\0\x1a\0\x03\0\0\0")]), App::Unknown);
    }

    #[test]
    fn oracle() {
        let mut asks = hex(
            "003c 0000 01 00 0000 0139 012c 0000 0800 7fff 7f08 0000 0001 0016 0026 00000000 41 41
            00000000",
        );
        assert_eq!(asks.len(), 38);
        asks.extend_from_slice(b"(DESCRIPTION=(ADDRESS=");
        let again = hex("0008 0000 0b 00 0000");
        let accepts =
            hex("0020 0000 02 00 0000 0139 0000 0800 7fff 0100 0000 0020 4141 0000 0000 0000 0000");
        assert_eq!(tcp(1521, &[(Opener, &asks)]), App::Oracle);
        assert_eq!(tcp(1521, &[(Answerer, &again)]), App::Oracle);
        assert_eq!(tcp(1521, &[(Answerer, &accepts)]), App::Oracle);
        assert_eq!(tcp(1521, &[(Opener, &asks), (Answerer, &accepts)]), App::Oracle);
    }

    #[test]
    fn four_d_is_likely_on_its_port_only() {
        let (asks, tells) = ([1_u8, 2, 3, 0, 5, 0x80, 7, 8], [9_u8, 8, 7, 6]);
        let said: [(_, &[u8]); 2] = [(Opener, &asks), (Answerer, &tells)];
        assert_eq!(tcp_path(19813, &said), [App::FourD]);
        assert_eq!(tcp_path(2299, &said), []);
        assert_eq!(tcp_path(19813, &said[..1]), []);
    }
}
