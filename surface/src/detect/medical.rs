//! Medicine: DICOM's upper layer (PS3.8 section 9.3) and HL7 version 2 in its minimal lower layer
//! (HL7 v2 Implementation Guide, Transport Specification: MLLP).

use super::fit::{Fit, judge, stream};
use super::read::{Parsed, Reader, Stop, has, need};
use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const TCP: &[Test] = &[dicom, hl7];

/// Type, a reserved byte, length of what follows.
fn dicom_pdu(reader: &mut Reader<'_>) -> Parsed<(u8, u32)> {
    let kind = reader.u8()?;
    need((1..=7).contains(&kind))?;
    reader.u8()?;
    Ok((kind, reader.be32()?))
}

/// Both titles, padded with spaces, and items; the first is the application context (PS3.8 tables
/// 9-11 and 9-17).
fn dicom_associate(reader: &mut Reader<'_>, length: u32) -> Parsed {
    need((68..=1 << 20).contains(&length))?;
    // a bit for each version, of which there is one; reserved
    need(reader.be16()? & 1 == 1)?;
    reader.be16()?;
    let titles = reader.take(32)?;
    need(titles.iter().all(|&byte| byte >= b' ' && byte != 0x7f && byte != b'\\'))?;
    need(titles.chunks(16).any(|title| title.iter().any(|&byte| byte != b' ')))?;
    reader.take(32)?;
    if length > 68 {
        need(reader.u8()? == 0x10)?;
        reader.u8()?;
        need((4..=64).contains(&reader.be16()?))?;
        reader.literal(b"1.2.840.10008.")?;
    }
    Ok(Fit::Alone)
}

/// Data: one value with its length, an odd context and two bits of control (PS3.8 table 9-22).
fn dicom_data(reader: &mut Reader<'_>, length: u32) -> Parsed {
    need(length >= 6)?;
    let value = reader.be32()?;
    need(value == length - 4 && value < 1 << 24)?;
    need(reader.u8()? & 1 == 1 && reader.u8()? <= 3)?;
    Ok(Fit::Weak)
}

fn dicom(talk: &Talk<'_>) -> Answer {
    let opener = stream(&talk.opener, |reader| match dicom_pdu(reader)? {
        (1, length) => dicom_associate(reader, length),
        (4, length) => dicom_data(reader, length),
        _ => Err(Stop::No),
    });
    let answerer = stream(&talk.answerer, |reader| match dicom_pdu(reader)? {
        (2, length) => dicom_associate(reader, length),
        // rejected: result, source, reason (table 9-21)
        (3, 4) => {
            need(reader.u8()? == 0)?;
            need(matches!(reader.u8()?, 1 | 2) && (1..=3).contains(&reader.u8()?))?;
            need((1..=10).contains(&reader.u8()?))?;
            Ok(Fit::Good)
        }
        (4, length) => dicom_data(reader, length),
        // aborted: source and reason (table 9-26)
        (7, 4) => {
            reader.take(2)?;
            need(reader.u8()? <= 2 && reader.u8()? <= 6)?;
            Ok(Fit::Weak)
        }
        _ => Err(Stop::No),
    });
    judge(App::Dicom, talk, [opener, answerer], &[104, 4242, 11112])
}

/// `0B`, then a segment that begins a message, a batch or a file. The field separator is whatever
/// stands behind its name; it comes again behind the encoding characters.
fn hl7_message(reader: &mut Reader<'_>) -> Parsed {
    let framed = reader.peek() == Some(0x0b);
    if framed {
        reader.u8()?;
    }
    match reader.peek().ok_or(Stop::Short)? {
        b'M' => reader.literal(b"MSH")?,
        b'F' => reader.literal(b"FHS")?,
        _ => reader.literal(b"BHS")?,
    }
    let separator = reader.u8()?;
    need(separator.is_ascii_punctuation())?;
    let encoding = reader.until(separator, 6)?;
    need((1..=5).contains(&encoding.len()))?;
    need(encoding.iter().all(u8::is_ascii_punctuation))?;
    Ok(if framed { Fit::Alone } else { Fit::Good })
}

fn hl7(talk: &Talk<'_>) -> Answer {
    let mut ends = [stream(&talk.opener, hl7_message), stream(&talk.answerer, hl7_message)];
    if ends[1] == Fit::No && ends[0] != Fit::Short && has(talk.answerer.bytes(), b"MSA|") {
        // an acknowledgement without its frame
        ends[1] = Fit::Weak;
    }
    judge(App::Hl7, talk, ends, &[2575])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, hex, tcp};
    use crate::App;

    fn associate(kind: u8) -> Vec<u8> {
        let mut pdu = vec![kind, 0, 0, 0, 0, 0, 0, 1, 0, 0];
        pdu.extend_from_slice(b"PACS            MODALITY1       ");
        pdu.resize(74, 0);
        pdu.extend_from_slice(b"\x10\0\0\x151.2.840.10008.3.1.1.1");
        pdu[5] = (pdu.len() - 6) as u8;
        pdu
    }

    #[test]
    fn dicom_of_either_end() {
        let (asks, accepts) = (associate(1), associate(2));
        for port in [104, 11112, 4242] {
            assert_eq!(tcp(port, &[(Opener, &asks)]), App::Dicom);
            assert_eq!(tcp(port, &[(Answerer, &accepts)]), App::Dicom);
            assert_eq!(tcp(port, &[(Opener, &asks), (Answerer, &accepts)]), App::Dicom);
        }
        let rejects = hex("0300 00000004 00 01 01 03");
        assert_eq!(tcp(104, &[(Answerer, &rejects)]), App::Dicom);
        assert_eq!(tcp(104, &[(Opener, &asks), (Answerer, &rejects)]), App::Dicom);
        let mut other = asks;
        other[12] = 0;
        assert_eq!(tcp(104, &[(Opener, &other)]), App::Unknown);
    }

    #[test]
    fn hl7_with_any_separators() {
        let message = b"\x0bMSH|^~\\&|LAB|GP|EMR|GP|20260101||ORU^R01|1|P|2.4\r\x1c\r";
        let ack = b"\x0bMSH|^~\\&|EMR|GP|LAB|GP|20260101||ACK|1|P|2.4\rMSA|AA|1\r\x1c\r";
        for port in [2575, 6661] {
            assert_eq!(tcp(port, &[(Opener, message)]), App::Hl7);
            assert_eq!(tcp(port, &[(Answerer, ack)]), App::Hl7);
            assert_eq!(tcp(port, &[(Opener, message), (Answerer, ack)]), App::Hl7);
        }
        assert_eq!(tcp(2575, &[(Opener, b"\x0bMSH#!~\\&#LAB#GP\r\x1c\r")]), App::Hl7);
        assert_eq!(tcp(2575, &[(Opener, b"\x0bMSHA^~\\&ALAB")]), App::Unknown);
    }
}
