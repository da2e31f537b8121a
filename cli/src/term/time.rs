//! Times: RFC 3339 in UTC with nanoseconds, written without the formatting machinery.

/// Length of `2026-11-22T08:15:00.123456789Z`.
pub const LEN: usize = 30;

/// Formats times; remembers the last second, because neighbours share it.
#[derive(Debug, Clone)]
pub struct Clock {
    second: i64,
    text: [u8; LEN],
}

impl Default for Clock {
    fn default() -> Self {
        let mut clock = Self { second: 0, text: *b"1970-01-01T00:00:00.000000000Z" };
        clock.set_second(0);
        clock
    }
}

impl Clock {
    /// `ns` after 1970-01-01T00:00:00Z. Every `i64` is between the years 1677 and 2262.
    pub fn rfc3339(&mut self, ns: i64) -> &[u8; LEN] {
        let second = ns.div_euclid(1_000_000_000);
        if second != self.second {
            self.set_second(second);
        }
        let mut rest = ns.rem_euclid(1_000_000_000) as u32;
        for pair in (0..4).rev() {
            let two = (rest % 100) as u8;
            rest /= 100;
            put2(&mut self.text, 21 + 2 * pair, two);
        }
        self.text[20] = b'0' + rest as u8;
        &self.text
    }

    fn set_second(&mut self, second: i64) {
        self.second = second;
        let (year, month, day) = civil(second.div_euclid(86_400));
        let in_day = second.rem_euclid(86_400);
        put2(&mut self.text, 0, (year / 100) as u8);
        put2(&mut self.text, 2, (year % 100) as u8);
        put2(&mut self.text, 5, month);
        put2(&mut self.text, 8, day);
        put2(&mut self.text, 11, (in_day / 3600) as u8);
        put2(&mut self.text, 14, (in_day / 60 % 60) as u8);
        put2(&mut self.text, 17, (in_day % 60) as u8);
    }
}

/// [`Clock::rfc3339`] as a string.
pub fn rfc3339(ns: i64) -> String {
    String::from_utf8_lossy(Clock::default().rfc3339(ns)).into_owned()
}

fn put2(text: &mut [u8; LEN], at: usize, value: u8) {
    text[at] = b'0' + value / 10;
    text[at + 1] = b'0' + value % 10;
}

/// Proleptic Gregorian date of a day counted from 1970-01-01, years 0 to 9999
/// (H. Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn civil(days: i64) -> (i64, u8, u8) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = (doy - (153 * mp + 2) / 5 + 1) as u8;
    let month = if mp < 10 { mp + 3 } else { mp - 9 } as u8;
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(rfc3339(1_795_335_300_123_456_789), "2026-11-22T08:15:00.123456789Z");
        assert_eq!(rfc3339(951_782_400_000_000_001), "2000-02-29T00:00:00.000000001Z");
        assert_eq!(rfc3339(i64::MAX), "2262-04-11T23:47:16.854775807Z");
        assert_eq!(rfc3339(i64::MIN), "1677-09-21T00:12:43.145224192Z");
    }

    #[test]
    fn one_clock_for_many_times() {
        let mut clock = Clock::default();
        for ns in [5, 1_000_000_000, 999_999_999, 1_795_335_300_000_000_000, 7] {
            assert_eq!(&clock.rfc3339(ns)[..], rfc3339(ns).as_bytes());
        }
    }
}
