//! What belongs to a terminal: colours, width, numbers and times for people, progress.

mod numbers;
mod paint;
mod progress;
pub mod time;

pub use numbers::{bits_per_second, bytes, counted, duration, grouped, percent};
pub use paint::{ColorChoice, Paint, Role};
pub use progress::{Progress, Status};

/// What an interface's own drops are. The kernel counts there too what it gave to us and had no use
/// for itself: frames with two tags, or with one and a protocol that the host does not speak.
pub const INTERFACE_DROPS: &str =
    "no room in card or kernel; tagged frames of no VLAN here count too";

/// Columns of the terminal on standard output, or `COLUMNS`, or 80; between 60 and 160.
pub fn width() -> usize {
    let from_terminal = || terminal_size::terminal_size().map(|(w, _)| usize::from(w.0));
    let from_env = || std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
    from_terminal().or_else(from_env).unwrap_or(80).clamp(60, 160)
}

/// Text as a terminal may safely show it: control characters (which could move the cursor or
/// recolour the screen) and other unprintables become `\u{..}`; capture files are hostile.
pub fn safe(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || is_bidi_control(c) => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// Unicode UAX #9 explicit directional formatting characters, which reorder a line on screen.
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A file's name as one would have to type it in a shell.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "/._-+=:@%,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

/// Commands with what they are for: beside each other if all fit `width`, else below each other.
pub fn commands(steps: &[(String, &str)], paint: Paint, width: usize) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let column = steps.iter().map(|(command, _)| command.chars().count()).max().unwrap_or(0);
    let beside = steps.iter().all(|(_, why)| column + 4 + why.len() <= width);
    for (command, why) in steps {
        // writing into a string cannot fail
        let _ = if beside {
            writeln!(out, "  {command:<column$}  {}", paint.dim(why))
        } else {
            writeln!(out, "  {command}\n      {}", paint.dim(why))
        };
    }
    out
}

/// Breaks `text` at spaces into lines of at most `width` columns. A longer word gets its own line.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.last_mut().expect("never empty");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_cannot_drive_the_terminal() {
        assert_eq!(safe("a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(safe("tab\there"), "tab\\there");
        assert_eq!(safe("\u{202e}cod"), "\\u{202e}cod");
        assert_eq!(safe("Praxis Müller"), "Praxis Müller");
    }

    #[test]
    fn commands_can_be_typed_as_shown() {
        assert_eq!(shell_word("pcaps/a-b.pcapng"), "pcaps/a-b.pcapng");
        assert_eq!(shell_word("my file"), "'my file'");
        assert_eq!(shell_word("it's"), "'it'\\''s'");
        let steps = [("one".to_owned(), "first"), ("three".to_owned(), "third")];
        assert_eq!(commands(&steps, Paint::off(), 80), "  one    first\n  three  third\n");
        assert_eq!(
            commands(&steps, Paint::off(), 12),
            "  one\n      first\n  three\n      third\n"
        );
    }

    #[test]
    fn wrap_keeps_words_and_width() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("", 7), [""]);
        assert_eq!(wrap("incomprehensible x", 4), ["incomprehensible", "x"]);
    }
}
