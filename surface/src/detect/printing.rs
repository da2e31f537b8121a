//! Printing: jobs sent as they are ("JetDirect", HP's Printer Job Language Technical Reference),
//! and the line printer daemon (RFC 1179).

use super::fit::{Fit, judge, stream};
use super::read::{Parsed, Reader, Stop, is_text, need};
use crate::App;
use crate::talk::{Answer, Talk, Test};

pub(super) const TCP: &[Test] = &[raw, line_printer];

/// Leaves whatever language the printer is in: the universal exit of PJL.
const EXIT: &[u8] = b"\x1b%-12345X";

fn raw(talk: &Talk<'_>) -> Answer {
    let opener = stream(&talk.opener, |reader| match reader.peek() {
        Some(b'@') => reader.literal(b"@PJL").map(|()| Fit::Alone),
        Some(b'%') => reader.literal(b"%!PS").map(|()| Fit::Weak),
        _ => {
            reader.literal(b"\x1b")?;
            match reader.peek().ok_or(Stop::Short)? {
                // PCL's reset
                b'E' => Ok(Fit::Weak),
                _ => reader.literal(&EXIT[1..]).map(|()| Fit::Alone),
            }
        }
    });
    // a printer tells only what it was asked in PJL
    let answerer = stream(&talk.answerer, |reader| reader.literal(b"@PJL").map(|()| Fit::Good));
    judge(App::Printer, talk, [opener, answerer], &[9100, 9101, 9102])
}

/// A command, a queue, and for a job the files that follow with their sizes (RFC 1179 sections 5
/// and 6).
fn line_printer_asks(reader: &mut Reader<'_>) -> Parsed {
    let command = reader.u8()?;
    need((1..=5).contains(&command))?;
    let queue = reader.until(b'\n', 256)?;
    need(!queue.is_empty() && is_text(queue) && queue.iter().all(|&byte| byte != b'\r'))?;
    if command != 2 || reader.rest().is_empty() {
        need(queue.first().is_some_and(u8::is_ascii_graphic))?;
        return Ok(Fit::Weak);
    }
    match reader.u8()? {
        1 => reader.literal(b"\n").map(|()| Fit::Good),
        // a control or a data file: its size, its name
        2 | 3 => {
            reader.digits(b' ', 12)?;
            match reader.u8()? {
                b'c' | b'd' => reader.literal(b"f").map(|()| Fit::Alone),
                _ => Err(Stop::No),
            }
        }
        _ => Err(Stop::No),
    }
}

fn line_printer(talk: &Talk<'_>) -> Answer {
    let opener = stream(&talk.opener, line_printer_asks);
    // zero to go on, anything else to refuse; or the state of the queue as text
    let answerer = stream(&talk.answerer, |reader| {
        let rest = reader.rest();
        let head = rest.get(..rest.len().min(64)).unwrap_or_default();
        need(is_text(head) || head.iter().all(|&byte| byte <= 3))?;
        Err(Stop::Short)
    });
    judge(App::Lpd, talk, [opener, answerer], &[515])
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Answerer, Opener, tcp, tcp_path};
    use crate::App;

    #[test]
    fn raw_jobs() {
        let job = b"\x1b%-12345X@PJL JOB NAME=\"x\"\r\n@PJL ENTER LANGUAGE=PCL\r\n";
        assert_eq!(tcp(9100, &[(Opener, job)]), App::Printer);
        assert_eq!(tcp(9100, &[(Opener, job), (Answerer, b"@PJL USTATUS\r\n")]), App::Printer);
        assert_eq!(tcp_path(9100, &[(Opener, b"%!PS-Adobe-3.0\n")]), [App::Printer]);
        assert_eq!(tcp_path(2299, &[(Opener, b"%!PS-Adobe-3.0\n")]), []);
        assert_eq!(tcp(9100, &[(Opener, b"\x1b[2J")]), App::Unknown);
    }

    #[test]
    fn line_printer_jobs() {
        let job = b"\x02lp\n\x02123 cfA001host\n";
        assert_eq!(tcp(515, &[(Opener, job), (Answerer, b"\0")]), App::Lpd);
        assert_eq!(tcp_path(515, &[(Opener, b"\x02lp\n")]), [App::Lpd]);
        assert_eq!(tcp_path(2299, &[(Opener, b"\x02lp\n")]), []);
    }
}
