//! Messages between people and between machines: IRC (RFC 2812), XMPP (RFC 6120), MQTT (OASIS),
//! AMQP, NNTP (RFC 3977), AJP (Apache Tomcat's connector), and whois (RFC 3912).

use super::fit::{Fit, judge, stream};
use super::read::{Parsed, Reader, Stop, begins_ignoring_case, has, is_text, need};
use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const TCP: &[Test] = &[irc, xmpp, mqtt, amqp, nntp, ajp, whois];

/// The first line, without its end. Longer lines are none of these protocols'.
fn line<'a>(reader: &mut Reader<'a>) -> Parsed<&'a [u8]> {
    let line = reader.until(b'\n', 600)?;
    need(is_text(line))?;
    Ok(line.strip_suffix(b"\r").unwrap_or(line))
}

/// The words of a line.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    line.split(|&byte| byte == b' ').filter(|word| !word.is_empty())
}

/// A client gives its names, or asks what the server can do. `USER` and `PASS` alone are FTP's and
/// POP's too.
fn irc_asks(reader: &mut Reader<'_>) -> Parsed {
    for _ in 0..4 {
        let line = line(reader)?;
        let mut parts = words(line);
        let command = parts.next().unwrap_or_default();
        let count = parts.clone().count();
        let known = |name: &[u8]| command.eq_ignore_ascii_case(name);
        if known(b"NICK") && count == 1 || known(b"USER") && count >= 4 {
            return Ok(Fit::Good);
        }
        if known(b"CAP") && matches!(parts.next(), Some(b"LS" | b"REQ" | b"LIST")) {
            return Ok(Fit::Good);
        }
        need(known(b"PASS") && count == 1)?;
    }
    Err(Stop::No)
}

/// `:server 001 …`, `:server NOTICE …`, `NOTICE AUTH :…`, `PING :…`, `ERROR :…`.
fn irc_tells(reader: &mut Reader<'_>) -> Parsed {
    match reader.peek() {
        Some(b':' | b'N' | b'P' | b'E') => {}
        _ => return Err(Stop::No),
    }
    let line = line(reader)?;
    let mut parts = words(line);
    let mut command = parts.next().unwrap_or_default();
    let prefixed = command.first() == Some(&b':') && command.len() > 1;
    if prefixed {
        command = parts.next().unwrap_or_default();
        let numeric = command.len() == 3 && command.iter().all(u8::is_ascii_digit);
        let known = matches!(
            command,
            b"NOTICE" | b"CAP" | b"PING" | b"PONG" | b"NICK" | b"MODE" | b"JOIN" | b"PRIVMSG"
        );
        need(numeric || known)?;
        return Ok(Fit::Good);
    }
    match (command, parts.next()) {
        (b"NOTICE", Some(b"AUTH" | b"*")) => Ok(Fit::Good),
        (b"PING" | b"ERROR", Some([b':', ..])) => Ok(Fit::Weak),
        _ => Err(Stop::No),
    }
}

fn irc(talk: &Talk<'_>) -> Answer {
    let ends = [stream(&talk.opener, irc_asks), stream(&talk.answerer, irc_tells)];
    judge(App::Irc, talk, ends, &[6667])
}

/// A stream's first element, behind an XML declaration or not (RFC 6120 section 4.2).
fn xmpp(talk: &Talk<'_>) -> Answer {
    let parse = |reader: &mut Reader<'_>, whole: bool| {
        need(reader.peek() == Some(b'<'))?;
        let rest = reader.rest();
        let head = rest.get(..rest.len().min(1024)).unwrap_or_default();
        let stanzas = [&b"<iq "[..], b"<presence", b"<message ", b"</stream:stream>"];
        if !whole && stanzas.iter().any(|stanza| head.starts_with(stanza)) {
            let addressed = has(head, b"to=") || has(head, b"jabber:");
            return Ok(if addressed { Fit::Good } else { Fit::Weak });
        }
        let begin = b"<?xml";
        let same = head.len().min(begin.len());
        let declared = head.get(..same) == begin.get(..same);
        if !declared {
            reader.literal(b"<stream:stream")?;
        }
        if has(head, b"http://etherx.jabber.org/streams") && has(head, b"jabber:") {
            return Ok(Fit::Alone);
        }
        need(head.len() < 1024 && is_text(head))?;
        Err(Stop::Short)
    };
    let ends = [&talk.opener, &talk.answerer]
        .map(|said| stream(said, |reader| parse(reader, said.whole())));
    judge(App::Xmpp, talk, ends, &[5222, 5269])
}

/// The length of what follows, seven bits a byte (MQTT 3.1.1 section 2.2.3).
fn mqtt_length(reader: &mut Reader<'_>) -> Parsed<usize> {
    let mut length = 0;
    for n in 0..4 {
        let byte = reader.u8()?;
        length |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(Stop::No)
}

/// A packet from the middle of a connection: a message with its topic, an acknowledgement, or a
/// sign of life (sections 3.3, 3.4, 3.12 and 3.13).
fn mqtt_middle(reader: &mut Reader<'_>) -> Parsed {
    let kind = reader.u8()?;
    let length = mqtt_length(reader)?;
    match kind {
        0x30..=0x3d => {
            let topic = usize::from(reader.be16()?);
            need(topic > 0 && topic + 2 <= length && topic <= 256)?;
            need(reader.take(topic)?.iter().all(u8::is_ascii_graphic))?;
        }
        0x40 | 0x50 | 0x62 | 0x70 => need(length == 2 && reader.be16()? != 0)?,
        0xc0 | 0xd0 => need(length == 0)?,
        _ => return Err(Stop::No),
    }
    Ok(Fit::Weak)
}

fn mqtt(talk: &Talk<'_>) -> Answer {
    let opener = stream(&talk.opener, |reader| {
        if !talk.opener.whole() && reader.peek() != Some(0x10) {
            return mqtt_middle(reader);
        }
        need(reader.u8()? == 0x10)?;
        need(mqtt_length(reader)? >= 10)?;
        match reader.be16()? {
            4 => reader.literal(b"MQTT")?,
            6 => reader.literal(b"MQIsdp")?,
            _ => return Err(Stop::No),
        }
        need(matches!(reader.u8()? & 0x7f, 3..=5))?;
        // the lowest flag is reserved
        need(reader.u8()? & 1 == 0)?;
        Ok(Fit::Alone)
    });
    let answerer = stream(&talk.answerer, |reader| {
        if !talk.answerer.whole() && reader.peek() != Some(0x20) {
            return mqtt_middle(reader);
        }
        need(reader.u8()? == 0x20)?;
        let length = mqtt_length(reader)?;
        need(length >= 2 && reader.u8()? <= 1)?;
        let code = reader.u8()?;
        // version 5 has properties and codes from 128 on
        need(if length == 2 { code <= 5 } else { code == 0 || code >= 0x80 })?;
        if length > 2 {
            need(mqtt_length(reader)? + 3 <= length)?;
        }
        Ok(Fit::Weak)
    });
    judge(App::Mqtt, talk, [opener, answerer], &[1883])
}

/// Type, channel, length, and `CE` behind what it carries (AMQP 0-9-1 section 4.2.3).
fn amqp_frame(reader: &mut Reader<'_>) -> Parsed {
    need(matches!(reader.u8()?, 1 | 2 | 3 | 8))?;
    reader.be16()?;
    let length = reader.be32()?;
    need(length < 1 << 17)?;
    reader.take(length as usize)?;
    reader.literal(&[0xce])?;
    Ok(Fit::Good)
}

/// The header of the protocol with its version, from either end; or a first method of 0-9-1, which
/// is the start of a connection (AMQP 0-9-1 section 4.2, 1.0 section 2.2).
fn amqp(talk: &Talk<'_>) -> Answer {
    let header = |reader: &mut Reader<'_>| {
        reader.literal(b"AMQP")?;
        let [id, major, _, _] = [reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?];
        need(id <= 3 && major <= 9)?;
        Ok(Fit::Alone)
    };
    let opener = stream(&talk.opener, |reader| match reader.peek() {
        Some(1..=8) if !talk.opener.whole() => amqp_frame(reader),
        _ => header(reader),
    });
    let answerer = stream(&talk.answerer, |reader| {
        if reader.peek() == Some(b'A') {
            return header(reader);
        }
        if !talk.answerer.whole() {
            return amqp_frame(reader);
        }
        // a method on channel 0: length, class 10, method 10
        reader.literal(&[1, 0, 0])?;
        need((12..1 << 20).contains(&reader.be32()?))?;
        reader.literal(&[0, 10, 0, 10, 0, 9])?;
        Ok(Fit::Alone)
    });
    judge(App::Amqp, talk, [opener, answerer], &[5672])
}

fn nntp(talk: &Talk<'_>) -> Answer {
    let opener = stream(&talk.opener, |reader| {
        let line = line(reader)?;
        let good = [
            &b"mode reader"[..],
            b"mode stream",
            b"authinfo user ",
            b"group ",
            b"article ",
            b"xover ",
            b"newgroups ",
            b"list active",
            b"list overview.fmt",
            b"list newsgroups",
            b"ihave ",
        ];
        if good.iter().any(|one| begins_ignoring_case(line, one)) {
            return Ok(Fit::Good);
        }
        let weak = [&b"capabilities"[..], b"list", b"help", b"date", b"quit", b"starttls"];
        need(weak.iter().any(|one| line.eq_ignore_ascii_case(one)))?;
        Ok(Fit::Weak)
    });
    let answerer = stream(&talk.answerer, |reader| {
        // posting allowed, or not; not now; never (RFC 3977 section 5.1)
        need(
            reader.peek() == Some(b'2')
                || reader.peek() == Some(b'4')
                || reader.peek() == Some(b'5'),
        )?;
        let line = line(reader)?;
        let code = line.get(..4).unwrap_or_default();
        need(matches!(code, b"200 " | b"201 " | b"400 " | b"502 "))?;
        let lower = line.to_ascii_lowercase();
        let said = [&b"nntp"[..], b"news", b"inn 2", b"posting"].iter().any(|one| has(&lower, one));
        Ok(if said && code.starts_with(b"2") { Fit::Good } else { Fit::Weak })
    });
    judge(App::Nntp, talk, [opener, answerer], &[119, 433])
}

/// To the container `12 34`, from it `AB`; length, and what it is (Tomcat's AJPv13 documentation).
fn ajp(talk: &Talk<'_>) -> Answer {
    let opener = stream(&talk.opener, |reader| {
        reader.literal(&[0x12, 0x34])?;
        let length = reader.be16()?;
        need((1..=65_532).contains(&length))?;
        match reader.u8()? {
            // forward: a method, and HTTP's version as a string
            2 => {
                need((1..=27).contains(&reader.u8()?) || length > 8)?;
                reader.literal(&[0, 8])?;
                reader.literal(b"HTTP/")?;
                Ok(Fit::Alone)
            }
            // shutdown, ping, are you there
            7 | 8 | 10 => need(length == 1).map(|()| Fit::Good),
            _ => Err(Stop::No),
        }
    });
    let answerer = stream(&talk.answerer, |reader| {
        reader.literal(b"AB")?;
        let length = reader.be16()?;
        let code = reader.u8()?;
        match (code, length) {
            (9, 1) | (5, 2) => Ok(Fit::Good),
            // headers: a status
            (4, 6..) => need((100..600).contains(&reader.be16()?)).map(|()| Fit::Good),
            // body: its own length, and a zero behind it; more, please
            (3, 4..) => need(reader.be16()? + 4 == length).map(|()| Fit::Weak),
            (6, 3) => Ok(Fit::Weak),
            _ => Err(Stop::No),
        }
    });
    judge(App::Ajp, talk, [opener, answerer], &[8009])
}

/// One line of a name or an address, and a text with the fields that registries use. A line alone
/// is nothing but on its port.
fn whois(talk: &Talk<'_>) -> Answer {
    let opener = stream(&talk.opener, |reader| {
        let line = line(reader)?;
        let named =
            line.contains(&b'.') || line.contains(&b':') || begins_ignoring_case(line, b"as");
        let plain =
            line.iter().all(|byte| byte.is_ascii_alphanumeric() || b" .:-/_=,+!".contains(byte));
        need(named && plain && reader.rest().is_empty() && (3..=128).contains(&line.len()))?;
        Ok(Fit::Weak)
    });
    if opener == Fit::No {
        return Answer::No;
    }
    let answerer = stream(&talk.answerer, |reader| {
        let rest = reader.rest();
        need(is_text(rest.get(..rest.len().min(256)).unwrap_or_default()))?;
        let fields = [
            &b"Domain Name:"[..],
            b"NetRange:",
            b"inetnum:",
            b"inet6num:",
            b"domain:",
            b"refer:",
            b"No match for",
            b"aut-num:",
            b"Registrar:",
            b"OrgName:",
        ];
        if fields.iter().any(|field| has(rest, field)) {
            return Ok(Fit::Weak);
        }
        if rest.len() > 2048 { Err(Stop::No) } else { Err(Stop::Short) }
    });
    match judge(App::Whois, talk, [opener, answerer], &[43]) {
        Answer::Sure(app) => Answer::Likely(app),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp, tcp_path};
    use crate::App;
    use crate::talk::{Answer, Said, Talk, Test};

    /// What a test says to bytes from the middle of a connection, once no more come.
    fn middle(test: Test, asks: &[u8], tells: &[u8]) -> Answer {
        test(&Talk {
            opener: Said::new(asks, &[], false),
            answerer: Said::new(tells, &[], false),
            opener_port: 50_000,
            service_port: 2299,
            answerer_first: false,
            last: true,
        })
    }

    #[test]
    fn in_their_middle() {
        let method = hex("01 0001 00000004 003c0028 ce");
        assert_eq!(middle(super::amqp, &method, &[]), Answer::Likely(App::Amqp));
        assert_eq!(middle(super::amqp, &method, &[0x55; 9]), Answer::Likely(App::Amqp));
        assert_eq!(middle(super::amqp, &[0x55; 9], &[0x55; 9]), Answer::No);
        let (message, known) = (hex("32 08 0003 612f62 0001 78"), hex("40 02 0001"));
        assert_eq!(middle(super::mqtt, &message, &known), Answer::Likely(App::Mqtt));
        assert_eq!(middle(super::mqtt, &message, &[]), Answer::No);
        let ask = b"<iq type='get' to='a@example.com'/>";
        assert_eq!(middle(super::xmpp, ask, &[]), Answer::Likely(App::Xmpp));
    }

    #[test]
    fn irc() {
        let asks = b"NICK gp\r\nUSER gp 0 * :General\r\n";
        let tells = b":irc.example.net 001 gp :Welcome\r\n";
        assert_eq!(tcp(6667, &[(Opener, asks)]), App::Irc);
        assert_eq!(tcp(6667, &[(Answerer, tells)]), App::Irc);
        assert_eq!(tcp(6667, &[(Opener, asks), (Answerer, tells)]), App::Irc);
        assert_eq!(tcp(6667, &[(Opener, b"PASS x\r\nNICK gp\r\n")]), App::Irc);
        assert_eq!(tcp(6667, &[(Answerer, b"NOTICE AUTH :*** Looking up\r\n")]), App::Irc);
        assert!(!tcp_path(6667, &[(Opener, b"USER anonymous\r\n")]).contains(&App::Irc));
    }

    #[test]
    fn xmpp() {
        let asks = b"<?xml version='1.0'?><stream:stream to='example.com' xmlns='jabber:client' \
            xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>";
        assert_eq!(tcp(5222, &[(Opener, asks)]), App::Xmpp);
        assert_eq!(tcp(5222, &[(Answerer, asks)]), App::Xmpp);
        assert_eq!(
            tcp(5222, &[(Opener, b"<?xml version='1.0'?><policy-file-request/>")]),
            App::Unknown
        );
    }

    #[test]
    fn mqtt() {
        let connect = hex("10 0e 0004 4d515454 04 02 003c 0002 6870");
        assert_eq!(tcp(1883, &[(Opener, &connect)]), App::Mqtt);
        assert_eq!(tcp(1883, &[(Opener, &connect), (Answerer, &hex("20 02 00 00"))]), App::Mqtt);
        assert_eq!(tcp(1883, &[(Opener, &hex("10 0e 0004 4d515454 09 02"))]), App::Unknown);
        assert_eq!(tcp_path(2299, &[(Answerer, &hex("20 02 00 00"))]), []);
        assert_eq!(tcp_path(1883, &[(Answerer, &hex("20 02 00 00"))]), [App::Mqtt]);
    }

    #[test]
    fn amqp() {
        assert_eq!(tcp(5672, &[(Opener, &hex("414d5150 00 00 09 01"))]), App::Amqp);
        let start = hex("01 0000 000001f1 000a 000a 00 09 000001cc");
        assert_eq!(tcp(5672, &[(Answerer, &start)]), App::Amqp);
    }

    #[test]
    fn nntp() {
        let greets = b"200 news.example.net InterNetNews NNRP server ready (posting ok).\r\n";
        assert_eq!(tcp(119, &[(Answerer, greets), (Opener, b"MODE READER\r\n")]), App::Nntp);
        assert_eq!(tcp(119, &[(Answerer, greets)]), App::Nntp);
        assert_eq!(tcp(119, &[(Opener, b"GROUP comp.arch\r\n")]), App::Nntp);
        assert_eq!(tcp(2299, &[(Answerer, b"200 hello\r\n")]), App::Unknown);
    }

    #[test]
    fn ajp() {
        let forward = hex("1234 0016 02 02 0008 485454502f312e31 0001 2f 00 0000");
        let headers = hex("4142 0009 04 00c8 0002 4f4b 00 0000");
        assert_eq!(tcp(8009, &[(Opener, &forward)]), App::Ajp);
        assert_eq!(tcp(8009, &[(Answerer, &headers)]), App::Ajp);
        assert_eq!(
            tcp(8009, &[(Opener, &hex("1234 0001 0a")), (Answerer, &hex("4142 0001 09"))]),
            App::Ajp
        );
    }

    #[test]
    fn whois() {
        let answer = b"Domain Name: EXAMPLE.COM\r\nRegistrar: IANA\r\n";
        assert_eq!(tcp(43, &[(Opener, b"example.com\r\n"), (Answerer, answer)]), App::Whois);
        assert_eq!(tcp_path(43, &[(Opener, b"example.com\r\n")]), [App::Whois]);
        assert_eq!(tcp_path(2299, &[(Opener, b"example.com\r\n")]), []);
    }
}
