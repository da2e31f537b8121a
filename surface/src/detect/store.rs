//! Stores without SQL: MongoDB, Redis, Cassandra and memcached.

use super::fit::{Fit, first, judge, stream};
use super::read::{Parsed, Reader, Stop, is_text, need};
use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const TCP: &[Test] = &[mongodb, redis, cassandra, memcached];
pub(super) const UDP: &[Test] = &[memcached_datagrams];

/// Length, number, number answered, operation (MongoDB documentation, "Wire protocol"); then what
/// the operation begins with.
fn mongodb_message(reader: &mut Reader<'_>, asks: bool) -> Parsed {
    let length = reader.le32()?;
    need((21..=48_000_000).contains(&length))?;
    reader.le32()?;
    let answers = reader.le32()?;
    match reader.le32()? {
        // a reply: flags, cursor, first document and their number
        1 => {
            need(!asks && reader.le32()? <= 15)?;
            reader.take(12)?;
            need(reader.le32()? <= 100_000)?;
            Ok(Fit::Good)
        }
        // a query: flags, the name of a collection
        2004 => {
            // old drivers say -1 for nothing
            need(asks && matches!(answers, 0 | u32::MAX) && reader.le32()? <= 0xff)?;
            let name = reader.until(0, 256)?;
            need(name.contains(&b'.') && is_text(name))?;
            Ok(Fit::Alone)
        }
        // compressed: the operation in it, its size, and how
        2012 => {
            need(matches!(reader.le32()?, 1 | 2004 | 2013))?;
            reader.le32()?;
            need(reader.u8()? <= 3)?;
            Ok(Fit::Alone)
        }
        // a message: flags, and a document that it has room for
        2013 => {
            need(asks || answers != 0)?;
            need(reader.le32()? & !0x1_0003 == 0 && reader.u8()? <= 1)?;
            need((5..=length - 21 + 4).contains(&reader.le32()?))?;
            Ok(Fit::Alone)
        }
        _ => Err(Stop::No),
    }
}

fn mongodb(talk: &Talk<'_>) -> Answer {
    let ends = [
        stream(&talk.opener, |reader| mongodb_message(reader, true)),
        stream(&talk.answerer, |reader| mongodb_message(reader, false)),
    ];
    judge(App::MongoDb, talk, ends, &[27017])
}

/// An array of strings (Redis documentation, "RESP protocol spec"), or a command alone on a line.
fn redis_asks(reader: &mut Reader<'_>) -> Parsed {
    if reader.peek() == Some(b'*') {
        reader.u8()?;
        need((1..=1024).contains(&reader.digits(b'\r', 4)?))?;
        reader.literal(b"\n$")?;
        let length = reader.digits(b'\r', 4)?;
        need((1..=64).contains(&length))?;
        reader.literal(b"\n")?;
        need(reader.take(length)?.iter().all(u8::is_ascii_graphic))?;
        reader.literal(b"\r\n")?;
        return Ok(Fit::Alone);
    }
    let line = reader.until(b'\n', 512)?.strip_suffix(b"\r").ok_or(Stop::No)?;
    let mut words = line.split(|&byte| byte == b' ');
    let command = words.next().unwrap_or_default();
    let known = |names: &[&[u8]]| names.iter().any(|name| name.eq_ignore_ascii_case(command));
    let alone: [&[u8]; 6] = [b"PING", b"INFO", b"MONITOR", b"COMMAND", b"FLUSHALL", b"SAVE"];
    let more: [&[u8]; 16] = [
        b"SET",
        b"GET",
        b"DEL",
        b"INCR",
        b"KEYS",
        b"SCAN",
        b"AUTH",
        b"HELLO",
        b"SELECT",
        b"CONFIG",
        b"CLIENT",
        b"PUBLISH",
        b"SUBSCRIBE",
        b"PSUBSCRIBE",
        b"SLAVEOF",
        b"REPLICAOF",
    ];
    need(is_text(line) && (known(&alone) || known(&more) && words.next().is_some()))?;
    Ok(Fit::Weak)
}

/// Statuses, errors, numbers and strings on lines; some only Redis says.
fn redis_tells(reader: &mut Reader<'_>) -> Parsed {
    let kind = reader.u8()?;
    match kind {
        // numbers, arrays and strings; maps, sets, attributes and what is pushed in version 3
        b':' | b'*' | b'$' | b'%' | b'~' | b'|' | b'>' => {
            let rest = reader.rest();
            if kind == b'$' && rest.first() == Some(&b'-') {
                reader.literal(b"-1\r\n")?;
                return Ok(Fit::Weak);
            }
            reader.digits(b'\r', 10)?;
            reader.literal(b"\n")?;
            let info = kind == b'$' && reader.rest().starts_with(b"# Server\r\nredis_version:");
            Ok(if info { Fit::Alone } else { Fit::Weak })
        }
        b'+' | b'-' => {
            let line = reader.until(b'\n', 512)?;
            need(line.ends_with(b"\r") && is_text(line))?;
            let word = line.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            Ok(match (kind, word) {
                (b'+', b"PONG")
                | (b'-', b"NOAUTH" | b"DENIED" | b"WRONGPASS" | b"MOVED" | b"MISCONF") => Fit::Good,
                (b'+', b"OK") if line == b"OK\r" => Fit::Weak,
                (b'-', b"ERR") | (b'+', b"QUEUED" | b"FULLRESYNC" | b"CONTINUE") => Fit::Weak,
                _ => return Err(Stop::No),
            })
        }
        _ => Err(Stop::No),
    }
}

fn redis(talk: &Talk<'_>) -> Answer {
    let ends = [stream(&talk.opener, redis_asks), stream(&talk.answerer, redis_tells)];
    judge(App::Redis, talk, ends, &[6379])
}

/// Version, flags, stream, operation, length (CQL binary protocol, versions 1 to 5, section 2).
fn cql(reader: &mut Reader<'_>, asks: bool) -> Parsed {
    if asks && reader.peek() == Some(0xca) {
        // between servers: the magic number of the storage service
        return reader.literal(&[0xca, 0x55, 0x2d, 0xfa]).map(|()| Fit::Alone);
    }
    let first = reader.u8()?;
    let version = first & 0x7f;
    need((first & 0x80 == 0) == asks && (1..=5).contains(&version) && reader.u8()? <= 0x1f)?;
    reader.take(if version < 3 { 1 } else { 2 })?;
    let operation = reader.u8()?;
    let length = reader.be32()?;
    need(length <= 256 << 20)?;
    match (asks, operation) {
        // options: nothing. Startup: a map with the version of the language
        (true, 5) => {
            need(length == 0)?;
            Ok(Fit::Weak)
        }
        (true, 1) => {
            need((1..=16).contains(&reader.be16()?))?;
            cql_name(reader)?;
            Ok(Fit::Alone)
        }
        // error, ready, authenticate, supported
        (false, 0) => {
            let (code, size) = (reader.be32()?, usize::from(reader.be16()?));
            need(code <= 0x2600 && size > 0 && size + 6 <= length as usize)?;
            need(is_text(reader.take(size.min(16))?))?;
            Ok(Fit::Good)
        }
        (false, 2) => need(length == 0).map(|()| Fit::Weak),
        (false, 3) => {
            need(length > 2 && u32::from(reader.be16()?) + 2 == length)?;
            need(reader.u8()?.is_ascii_alphabetic())?;
            Ok(Fit::Good)
        }
        (false, 6) => {
            need((1..=16).contains(&reader.be16()?))?;
            cql_name(reader)?;
            Ok(Fit::Good)
        }
        _ => Err(Stop::No),
    }
}

/// A key such as `CQL_VERSION`.
fn cql_name(reader: &mut Reader<'_>) -> Parsed<()> {
    let size = usize::from(reader.be16()?);
    need((3..=32).contains(&size))?;
    need(reader.take(size)?.iter().all(|&byte| byte == b'_' || byte.is_ascii_uppercase()))
}

fn cassandra(talk: &Talk<'_>) -> Answer {
    let ends = [
        stream(&talk.opener, |reader| cql(reader, true)),
        stream(&talk.answerer, |reader| cql(reader, false)),
    ];
    judge(App::Cassandra, talk, ends, &[9042])
}

/// Commands in small letters on a line, or a binary header (memcached's `protocol.txt` and
/// `protocol-binary.txt`).
fn memcached_asks(reader: &mut Reader<'_>) -> Parsed {
    if reader.peek() == Some(0x80) {
        return memcached_binary(reader, 0x80);
    }
    if !reader.peek().is_some_and(|byte| byte.is_ascii_lowercase()) {
        return Err(Stop::No);
    }
    let line = reader.until(b'\n', 300)?;
    need(line.ends_with(b"\r") && is_text(line))?;
    let words = || line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let number = |at| {
        let word: Option<&[u8]> = words().nth(at);
        word.is_some_and(|word| word.iter().all(u8::is_ascii_digit))
    };
    Ok(match (words().next().unwrap_or_default(), words().count()) {
        (b"set" | b"add" | b"replace" | b"append" | b"prepend", 5..=6) => {
            need(number(2) && number(4))?;
            Fit::Good
        }
        (b"gets" | b"get" | b"mg", 2..) | (b"touch" | b"incr" | b"decr", 3..=4) => Fit::Weak,
        (b"stats" | b"version" | b"verbosity" | b"flush_all", 1..=3) => Fit::Weak,
        _ => return Err(Stop::No),
    })
}

fn memcached_tells(reader: &mut Reader<'_>) -> Parsed {
    if reader.peek() == Some(0x81) {
        return memcached_binary(reader, 0x81);
    }
    if !reader.peek().is_some_and(|byte| byte.is_ascii_uppercase()) {
        return Err(Stop::No);
    }
    let line = reader.until(b'\n', 512)?;
    need(line.ends_with(b"\r") && is_text(line))?;
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    Ok(match (words.next().unwrap_or_default(), words.count()) {
        (b"STAT", 1..) | (b"VALUE", 3..=4) => Fit::Good,
        (b"STORED" | b"NOT_STORED" | b"END", 0) | (b"VERSION", 1..) => Fit::Weak,
        _ => return Err(Stop::No),
    })
}

/// Magic, operation, lengths of key and extras, type, partition or status, length of all. Each
/// operation has extras of one length, and a key or none.
fn memcached_binary(reader: &mut Reader<'_>, magic: u8) -> Parsed {
    reader.literal(&[magic])?;
    let operation = reader.u8()?;
    let (key, extras) = (u32::from(reader.be16()?), u32::from(reader.u8()?));
    need(key <= 250 && reader.u8()? == 0)?;
    let status = reader.be16()?;
    let body = reader.be32()?;
    need(key + extras <= body && body <= 1 << 25)?;
    reader.take(12)?;
    if magic == 0x81 {
        // an error has a text, what was asked for has flags
        need(status <= 6 || matches!(status, 0x20 | 0x21 | 0x81..=0x86))?;
        let gets = status == 0 && matches!(operation, 0 | 9 | 0x0c | 0x0d);
        need(operation <= 0x22 && extras == if gets { 4 } else { 0 })?;
        need(status == 0 || body > 0)?;
        return Ok(if body > 0 { Fit::Good } else { Fit::Weak });
    }
    let (keyed, own) = match operation {
        // get, delete
        0 | 4 | 9 | 0x0c | 0x0d | 0x14 => (true, body == key),
        // set, add, replace
        1..=3 | 0x11..=0x13 => (true, extras == 8),
        // count up and down
        5 | 6 | 0x15 | 0x16 => (true, extras == 20 && body == key + 20),
        // append, prepend; authenticate
        0x0e | 0x0f | 0x19 | 0x1a | 0x21 | 0x22 => (true, extras == 0),
        // quit, flush, nothing, version, statistics, mechanisms
        7 | 0x0a | 0x0b | 0x17 | 0x20 => (false, body == 0),
        8 | 0x18 => (false, body == extras && matches!(extras, 0 | 4)),
        0x10 => (key > 0, body == key),
        _ => return Err(Stop::No),
    };
    need(own && keyed == (key > 0) && status == 0)?;
    Ok(Fit::Good)
}

fn memcached(talk: &Talk<'_>) -> Answer {
    let ends = [stream(&talk.opener, memcached_asks), stream(&talk.answerer, memcached_tells)];
    judge(App::Memcached, talk, ends, &[11211])
}

/// Behind a number, the place among datagrams, how many, and zero.
fn memcached_datagrams(talk: &Talk<'_>) -> Answer {
    let head = |reader: &mut Reader<'_>| {
        reader.be16()?;
        let (place, count) = (reader.be16()?, reader.be16()?);
        need(place < count && reader.be16()? == 0)
    };
    // text behind eight bytes, of which four are known
    let lift = |fit: Fit| if fit == Fit::Weak { Fit::Good } else { fit };
    let text = |reader: &Reader<'_>| need(reader.peek().is_some_and(|byte| byte < 0x80));
    let opener = first(&talk.opener, |reader, _| {
        head(reader)?;
        text(reader)?;
        memcached_asks(reader).map(lift)
    });
    let answerer = first(&talk.answerer, |reader, _| {
        head(reader)?;
        text(reader)?;
        memcached_tells(reader).map(lift)
    });
    judge(App::Memcached, talk, [opener, answerer], &[11211])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, tcp_path, udp};
    use crate::App;

    #[test]
    fn mongodb() {
        let hello = hex("30000000 01000000 00000000 dd070000 00000000 00
            1b000000 10 68656c6c6f00 01000000 02 2464620002000000 6100 00");
        let reply = hex("26000000 02000000 01000000 dd070000 00000000 00
            11000000 01 6f6b00 000000000000f03f 00");
        let query = hex(
            "3a000000 01000000 00000000 d4070000 00000000 61646d696e2e24636d6400 00000000 01000000
            13000000 10 69736d617374657200 01000000 00",
        );
        assert_eq!(tcp(27017, &[(Opener, &hello)]), App::MongoDb);
        assert_eq!(tcp(27017, &[(Answerer, &reply)]), App::MongoDb);
        assert_eq!(tcp(27017, &[(Opener, &hello), (Answerer, &reply)]), App::MongoDb);
        assert_eq!(tcp(27017, &[(Opener, &query)]), App::MongoDb);
        let mut other = hello;
        other[12] = 0xdc;
        other[16] = 9;
        assert_eq!(tcp(27017, &[(Opener, &other)]), App::Unknown);
    }

    #[test]
    fn redis() {
        let get = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n";
        assert_eq!(tcp(6379, &[(Opener, get)]), App::Redis);
        assert_eq!(tcp(6379, &[(Opener, get), (Answerer, b"$-1\r\n")]), App::Redis);
        assert_eq!(tcp(6379, &[(Answerer, b"-NOAUTH Authentication required.\r\n")]), App::Redis);
        assert_eq!(tcp(6379, &[(Opener, b"PING\r\n"), (Answerer, b"+PONG\r\n")]), App::Redis);
        // what mail servers say
        assert!(!tcp_path(2299, &[(Answerer, b"* OK ready\r\n")]).contains(&App::Redis));
        assert!(!tcp_path(6379, &[(Answerer, b"+OK ready\r\n")]).contains(&App::Redis));
    }

    #[test]
    fn cassandra() {
        let startup =
            hex("04 00 0001 01 00000016 0001 000b 43514c5f56455253494f4e 0005 332e302e30");
        let options = hex("04 00 0000 05 00000000");
        let supported =
            hex("84 00 0000 06 00000020 0001 000b 43514c5f56455253494f4e 0001 0005 332e302e30");
        assert_eq!(tcp(9042, &[(Opener, &startup)]), App::Cassandra);
        assert_eq!(tcp(7000, &[(Opener, &hex("ca552dfa 0c0a0c11"))]), App::Cassandra);
        assert_eq!(tcp(9042, &[(Answerer, &supported)]), App::Cassandra);
        assert_eq!(tcp(9042, &[(Opener, &options), (Answerer, &supported)]), App::Cassandra);
        assert_eq!(
            tcp(2299, &[(Opener, &hex("04 00 0001 01 00000016 0001 000b 63716c"))]),
            App::Unknown
        );
    }

    #[test]
    fn memcached() {
        let set = b"set a 0 0 1\r\nx\r\n";
        assert_eq!(tcp(11211, &[(Opener, set)]), App::Memcached);
        assert_eq!(tcp(11211, &[(Opener, b"get a\r\n"), (Answerer, b"END\r\n")]), App::Memcached);
        assert_eq!(tcp(11211, &[(Answerer, b"STAT pid 1\r\nEND\r\n")]), App::Memcached);
        let get = hex("80 00 0001 00 00 0000 00000001 00000000 0000000000000000 61");
        assert_eq!(tcp(11211, &[(Opener, &get)]), App::Memcached);
        assert_eq!(udp(11211, &[(Opener, b"\0\x01\0\0\0\x01\0\0stats\r\n")]), App::Memcached);
        assert_eq!(tcp(2299, &[(Opener, b"set course\r\n")]), App::Unknown);
    }
}
