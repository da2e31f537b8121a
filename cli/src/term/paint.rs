//! Colours: sixteen ANSI colours by role, off when nobody sees them.

use std::fmt;
use std::io::IsTerminal;

/// When to colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a coloured piece of text is. No meaning is carried by colour alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Ordinary text.
    Plain,
    /// A heading.
    Head,
    /// Of less weight: offsets, units, padding.
    Dim,
    /// Link layer: Ethernet, tags, LLC.
    Link,
    /// Network layer: IP, ARP.
    Net,
    /// Transport layer: TCP, UDP, ICMP.
    Transport,
    /// Tunnels.
    Tunnel,
    /// Data no header claims.
    Payload,
    /// As it should be.
    Good,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
}

impl Role {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Head => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Link => "\x1b[36m",
            Self::Net => "\x1b[32m",
            Self::Transport => "\x1b[33m",
            Self::Tunnel => "\x1b[35m",
            Self::Payload => "\x1b[34m",
            Self::Good => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Bad => "\x1b[1;31m",
        }
    }
}

/// Colours text, or leaves it alone.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    on: bool,
}

impl Paint {
    /// For standard output.
    pub fn for_stdout(choice: ColorChoice) -> Self {
        Self { on: decide(choice, std::io::stdout().is_terminal()) }
    }

    /// For standard error, by the environment alone.
    pub fn for_stderr() -> Self {
        Self { on: decide(ColorChoice::Auto, std::io::stderr().is_terminal()) }
    }

    /// Without colour.
    pub const fn off() -> Self {
        Self { on: false }
    }

    /// With colour.
    pub const fn on() -> Self {
        Self { on: true }
    }

    /// Colours are written.
    pub const fn is_on(self) -> bool {
        self.on
    }

    /// `text` in the colour of `role`. Padding must be done before.
    pub fn role<T: fmt::Display>(self, role: Role, text: T) -> Painted<T> {
        Painted { on: self.on && role != Role::Plain, role, text }
    }

    /// A heading.
    pub fn head<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.role(Role::Head, text)
    }

    /// Of less weight.
    pub fn dim<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.role(Role::Dim, text)
    }

    /// Wrong.
    pub fn bad<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.role(Role::Bad, text)
    }

    /// Worth a look.
    pub fn warn<T: fmt::Display>(self, text: T) -> Painted<T> {
        self.role(Role::Warn, text)
    }
}

fn decide(choice: ColorChoice, terminal: bool) -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            terminal && !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
        }
    }
}

/// Text with its colour.
#[derive(Debug, Clone, Copy)]
pub struct Painted<T> {
    on: bool,
    role: Role,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.on {
            write!(f, "{}{}\x1b[0m", self.role.code(), self.text)
        } else {
            self.text.fmt(f)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn off_writes_the_text_alone() {
        assert_eq!(Paint::off().bad("x").to_string(), "x");
        assert_eq!(Paint::on().bad("x").to_string(), "\x1b[1;31mx\x1b[0m");
        assert_eq!(Paint::on().role(Role::Plain, "x").to_string(), "x");
    }
}
