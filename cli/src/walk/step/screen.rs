//! Stepping in a terminal: arrow keys through one frame's life.

use std::io;

use pipeline::Steps;
use ratatui::Frame;
use ratatui::crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};
use skb::Stage;

use super::fold::fold;
use super::rows::{self, Piece, Row};
use super::terminal;
use crate::term::Role;

/// What the keys do; the first that fits the window.
const HELP: [&str; 5] = [
    "→ space next   ← b back   Home End   1-5 stage   ↑↓ rows   q quit",
    "→ next  ← back  1-5 stage  ↑↓ rows  q quit",
    "→ next ← back ↑↓ rows q quit",
    "→ ← ↑↓ q quit",
    "q quit",
];

/// Rows of bytes that are worth keeping the text above them still.
const BYTES_ROWS_MIN: usize = 4;

/// What is on the screen.
pub(super) struct Screen<'a> {
    steps: Steps,
    title: &'a str,
    ns_per_tick: f64,
    reached: Stage,
    /// First row shown of those that scroll.
    scroll: usize,
    /// Rows that scroll and are on the screen.
    room: usize,
    colour: bool,
}

/// What a key does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// One step on.
    Next,
    /// One step back.
    Back,
    /// To the first step.
    First,
    /// To the last step.
    Last,
    /// To a stage.
    Stage(Stage),
    /// A row up.
    Up,
    /// A row down.
    Down,
    /// A screenful up.
    PageUp,
    /// A screenful down.
    PageDown,
    /// Leave.
    Quit,
    /// Nothing.
    Other,
}

/// Shows the steps until the user leaves. The terminal is restored on every way out, panics
/// and signals included.
pub(super) fn run(steps: Steps, title: &str, ns_per_tick: f64, colour: bool) -> io::Result<()> {
    let mut screen = Screen::new(steps, title, ns_per_tick, colour);
    terminal::with(|terminal, signals| {
        loop {
            terminal.draw(|frame| screen.draw(frame))?;
            let key = match signals.wait()? {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    Key::from(key.code, key.modifiers)
                }
                // a resize only needs the next draw
                Some(_) => Key::Other,
                None => Key::Quit,
            };
            if !screen.press(key) {
                return Ok(());
            }
        }
    })
}

impl Key {
    fn from(code: KeyCode, modifiers: KeyModifiers) -> Self {
        let control = modifiers.contains(KeyModifiers::CONTROL);
        match code {
            KeyCode::Char('c' | 'd') if control => Self::Quit,
            _ if control => Self::Other,
            KeyCode::Right | KeyCode::Enter | KeyCode::Char(' ' | 'n' | 'l') => Self::Next,
            KeyCode::Left | KeyCode::Backspace | KeyCode::Char('b' | 'p' | 'h') => Self::Back,
            KeyCode::Home | KeyCode::Char('g') => Self::First,
            KeyCode::End | KeyCode::Char('G') => Self::Last,
            KeyCode::Up | KeyCode::Char('k') => Self::Up,
            KeyCode::Down | KeyCode::Char('j') => Self::Down,
            KeyCode::PageUp => Self::PageUp,
            KeyCode::PageDown => Self::PageDown,
            KeyCode::Char(digit @ '1'..='5') => {
                Self::Stage(Stage::ALL[usize::from(digit as u8 - b'1')])
            }
            KeyCode::Esc | KeyCode::Char('q') => Self::Quit,
            _ => Self::Other,
        }
    }
}

impl<'a> Screen<'a> {
    fn new(steps: Steps, title: &'a str, ns_per_tick: f64, colour: bool) -> Self {
        let reached = steps.all().iter().map(|s| s.stage).max().unwrap_or(Stage::Nic);
        Self { steps, title, ns_per_tick, reached, scroll: 0, room: 0, colour }
    }

    /// `false`: leave.
    fn press(&mut self, key: Key) -> bool {
        let before = self.steps.position();
        match key {
            Key::Next => _ = self.steps.forward(),
            Key::Back => _ = self.steps.back(),
            Key::First => self.steps.first(),
            Key::Last => self.steps.last(),
            Key::Stage(stage) => {
                if let Some(index) = self.steps.of_stage(stage) {
                    self.steps.seek(index);
                }
            }
            Key::Up => self.scroll = self.scroll.saturating_sub(1),
            Key::Down => self.scroll += 1,
            Key::PageUp => self.scroll = self.scroll.saturating_sub(self.room.max(1)),
            Key::PageDown => self.scroll += self.room.max(1),
            Key::Quit => return false,
            Key::Other => {}
        }
        if self.steps.position() != before {
            self.scroll = 0;
        }
        true
    }

    /// Every row of this step, folded to the window; how many of them are heading; how many are
    /// heading and text. The rest are bytes.
    fn rows(&self, width: usize) -> (Vec<Row>, usize, usize) {
        let step = self.steps.current();
        let place = format!("step {}/{}", self.steps.position() + 1, self.steps.len());
        let title = vec![
            rows::piece(Role::Head, format!("{place}  ")),
            rows::piece(Role::Plain, format!("{}, {}", self.title, step.direction.name())),
        ];
        let fold_all =
            |rows: &[Row]| -> Vec<Row> { rows.iter().flat_map(|row| fold(row, width)).collect() };
        let mut all = fold_all(&[title, rows::rail(step, self.reached), Row::default()]);
        let heading = all.len();
        all.extend(fold_all(&rows::about(step, self.ns_per_tick, width)));
        all.extend(fold_all(&[rows::legend(step)]));
        let text = all.len();
        all.extend(fold_all(&rows::hex(step, width)));
        (all, heading, text)
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let width = usize::from(area.width);
        let height = usize::from(area.height).saturating_sub(1);
        let (all, heading, text) = self.rows(width);
        // bytes scroll below the text; where that leaves too few of them the text scrolls as
        // well, and in a low window everything does
        let still = if text + (all.len() - text).min(BYTES_ROWS_MIN) <= height {
            text
        } else if 2 * heading <= height {
            heading
        } else {
            0
        };
        self.room = height - still;
        let scrolling = all.len() - still;
        self.scroll = self.scroll.min(scrolling.saturating_sub(self.room));
        let shown = all[..still].iter().chain(all[still..].iter().skip(self.scroll));
        let lines: Vec<_> = shown.take(height).map(|row| self.line(row)).collect();
        frame.render_widget(Clear, area);
        frame.render_widget(Paragraph::new(lines), area);
        let below = scrolling.saturating_sub(self.scroll + self.room);
        let bottom =
            Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area };
        let style =
            if self.colour { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        let help = help(width, self.scroll, below);
        frame.render_widget(Paragraph::new(format!("{help:<width$}")).style(style), bottom);
    }

    fn line(&self, row: &Row) -> Line<'static> {
        let span = |piece: &Piece| Span::styled(piece.text.clone(), self.style(piece.role));
        Line::from(row.iter().map(span).collect::<Vec<_>>())
    }

    fn style(&self, role: Role) -> Style {
        let style = Style::new();
        // without colour, weight alone tells headings from the rest
        match role {
            Role::Head => style.add_modifier(Modifier::BOLD),
            _ if !self.colour => style,
            Role::Plain => style,
            Role::Dim => style.add_modifier(Modifier::DIM),
            Role::Link => style.fg(Color::Cyan),
            Role::Net | Role::Good => style.fg(Color::Green),
            Role::Transport | Role::Warn => style.fg(Color::Yellow),
            Role::Tunnel => style.fg(Color::Magenta),
            Role::Payload => style.fg(Color::Blue),
            Role::Bad => style.fg(Color::Red).add_modifier(Modifier::BOLD),
        }
    }
}

/// The last line: what the keys do, and how many rows are out of sight.
fn help(width: usize, above: usize, below: usize) -> String {
    let hidden = match (above, below) {
        (0, 0) => String::new(),
        (0, below) => format!("↓{below} more"),
        (above, 0) => format!("↑{above} more"),
        (above, below) => format!("↑{above} ↓{below} more"),
    };
    let room = width.saturating_sub(hidden.chars().count() + 3);
    let help = HELP.iter().find(|help| help.chars().count() <= room);
    // where not even the shortest fits, that there is more is the more important
    let line = format!("{}   {hidden}", help.unwrap_or(&""));
    line.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Cell;

    use super::*;

    /// The window's rows as text.
    fn shot(terminal: &Terminal<TestBackend>) -> Vec<String> {
        let buffer = terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        let rows = buffer.content().chunks(width.max(1));
        rows.map(|row| row.iter().map(Cell::symbol).collect()).collect()
    }

    fn words(text: &[String]) -> Vec<String> {
        let words = text.iter().flat_map(|line| line.split_whitespace());
        words.filter(|word| !word.starts_with('|')).map(str::to_owned).collect()
    }

    /// Scrolls through the step and collects every row that was on the screen.
    fn all_rows(screen: &mut Screen<'_>, terminal: &mut Terminal<TestBackend>) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        loop {
            terminal.draw(|frame| screen.draw(frame)).unwrap();
            let mut rows = shot(terminal);
            let bar = rows.pop().unwrap_or_default();
            seen.extend(rows);
            let more = bar.split('↓').skip(1).any(|rest| rest.starts_with(char::is_numeric));
            if !more {
                return seen;
            }
            let before = screen.scroll;
            screen.press(Key::Down);
            terminal.draw(|frame| screen.draw(frame)).unwrap();
            assert!(screen.scroll > before, "more is promised: {bar}");
        }
    }

    #[test]
    fn nothing_is_cut_off_at_any_size() {
        for (width, height) in [(80, 24), (120, 40), (40, 10), (60, 15), (200, 12)] {
            let steps = super::super::tests::steps_of(9);
            let title = "frame 9 of captures/of/a-surgery/with-a-long-name.pcapng";
            let mut screen = Screen::new(steps, title, 1.0, true);
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            for step in 0..screen.steps.len() {
                assert_eq!(screen.steps.position(), step);
                let (rows, ..) = screen.rows(width.into());
                let rows: Vec<String> =
                    rows.iter().map(|r| r.iter().map(|p| p.text.as_str()).collect()).collect();
                let seen = all_rows(&mut screen, &mut terminal);
                for row in &rows {
                    let shown = |line: &String| line.trim_end() == row.trim_end();
                    assert!(seen.iter().any(shown), "{width}x{height} step {step}: {row:?}");
                    assert!(row.chars().count() <= width.into(), "{row:?}");
                }
                assert!(!words(&seen).is_empty());
                screen.press(Key::Next);
            }
        }
    }

    #[test]
    fn no_window_is_too_small() {
        for (width, height) in [(1, 1), (1, 40), (200, 1), (3, 3), (12, 4), (20, 5)] {
            let mut screen = Screen::new(super::super::tests::steps_of(9), "frame 9", 1.0, false);
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            for key in [Key::Next, Key::PageDown, Key::Down, Key::Last, Key::PageUp, Key::First] {
                assert!(screen.press(key));
                terminal.draw(|frame| screen.draw(frame)).unwrap();
            }
        }
    }

    #[test]
    fn back_and_forth_shows_the_same() {
        let mut screen = Screen::new(super::super::tests::steps_of(9), "frame 9", 1.0, true);
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        let mut forwards = Vec::new();
        for _ in 0..screen.steps.len() {
            terminal.draw(|frame| screen.draw(frame)).unwrap();
            forwards.push(shot(&terminal));
            screen.press(Key::Next);
        }
        for before in forwards.iter().rev() {
            terminal.draw(|frame| screen.draw(frame)).unwrap();
            assert_eq!(&shot(&terminal), before);
            screen.press(Key::Back);
        }
    }

    #[test]
    fn the_help_line_fits_and_keeps_what_is_out_of_sight() {
        assert_eq!(help(80, 0, 0), HELP[0]);
        for width in 30..200 {
            let line = help(width, 7, 12);
            assert!(line.chars().count() <= width && line.ends_with("↑7 ↓12 more"), "{line}");
            assert!(line.contains("q quit"), "{line}");
        }
        assert_eq!(help(12, 0, 5), "↓5 more");
    }
}
