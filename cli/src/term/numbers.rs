//! Numbers for people.

/// `3458760` as `3,458,760`.
pub fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(c);
    }
    out
}

/// `1 frame`, `1,723 frames`: for nouns that take an s.
pub fn counted(n: u64, noun: &str) -> String {
    format!("{} {noun}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// Bytes in powers of 1000, as disks and links are sold: `1.26 GB`, `532 bytes`.
pub fn bytes(n: u64) -> String {
    if n == 1 {
        return "1 byte".to_owned();
    }
    if n < 1000 {
        return format!("{n} bytes");
    }
    scaled(n as f64, "B")
}

/// Bits per second in powers of 1000: `941 Mbit/s`.
pub fn bits_per_second(bits: f64) -> String {
    if bits < 1000.0 { format!("{bits:.0} bit/s") } else { scaled(bits, "bit/s") }
}

fn scaled(mut value: f64, unit: &str) -> String {
    let mut prefix = "";
    for next in ["k", "M", "G", "T", "P", "E"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        prefix = next;
    }
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {prefix}{unit}")
}

/// A share of a whole, `0.0 %` to `100.0 %`; a share that is not nothing never prints as 0.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let share = 100.0 * part as f64 / whole as f64;
    if part > 0 && share < 0.05 { "<0.1 %".to_owned() } else { format!("{share:.1} %") }
}

/// A length of time in the two units that matter: `2 h 14 min`, `3.2 s`, `815 µs`.
pub fn duration(ns: u64) -> String {
    let s = ns / 1_000_000_000;
    match s {
        0 if ns < 1_000 => format!("{ns} ns"),
        0 if ns < 1_000_000 => format!("{:.3} µs", ns as f64 / 1e3),
        0 => format!("{:.3} ms", ns as f64 / 1e6),
        1..60 => format!("{:.3} s", ns as f64 / 1e9),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", grouped(s / 86_400), s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(3_458_760), "3,458,760");
        assert_eq!(counted(1, "frame"), "1 frame");
        assert_eq!(counted(0, "frame"), "0 frames");
        assert_eq!(counted(1723, "frame"), "1,723 frames");
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(1_263_162_679), "1.26 GB");
        assert_eq!(bytes(999_999), "1.00 MB");
        assert_eq!(bytes(12_340), "12.3 kB");
        assert_eq!(bytes(u64::MAX), "18.4 EB");
        assert_eq!(bits_per_second(941e6), "941 Mbit/s");
        assert_eq!(percent(1, 1_000_000), "<0.1 %");
        assert_eq!(percent(0, 7), "0.0 %");
        assert_eq!(duration(815_000), "815.000 µs");
        assert_eq!(duration(8_040_000_000_000), "2 h 14 min");
    }
}
