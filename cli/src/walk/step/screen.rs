//! Stepping in a terminal: arrow keys through one frame's life.

use std::io;

use pipeline::Steps;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Paragraph};
use skb::Stage;

use super::rows::{self, Piece, Row};
use crate::term::Role;

const HELP: &str = "→ space next   ← b back   Home End   1-5 stage   ↑↓ bytes   q quit";

/// What is on the screen.
pub(super) struct Screen<'a> {
    steps: Steps,
    title: &'a str,
    ns_per_tick: f64,
    reached: Stage,
    /// First row of bytes shown.
    scroll: usize,
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
    /// Bytes up.
    Up,
    /// Bytes down.
    Down,
    /// Leave.
    Quit,
    /// Nothing.
    Other,
}

/// Shows the steps until the user leaves. The terminal is restored on every way out, panics
/// included.
pub(super) fn run(steps: Steps, title: &str, ns_per_tick: f64, colour: bool) -> io::Result<()> {
    let mut screen = Screen::new(steps, title, ns_per_tick, colour);
    let mut terminal = ratatui::try_init()?;
    let result = (|| {
        loop {
            terminal.draw(|frame| screen.draw(frame))?;
            let key = match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => {
                    Key::from(key.code, key.modifiers)
                }
                // a resize only needs the next draw
                _ => Key::Other,
            };
            if !screen.press(key) {
                return Ok(());
            }
        }
    })();
    ratatui::restore();
    result
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
            KeyCode::Up | KeyCode::PageUp | KeyCode::Char('k') => Self::Up,
            KeyCode::Down | KeyCode::PageDown | KeyCode::Char('j') => Self::Down,
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
        Self { steps, title, ns_per_tick, reached, scroll: 0, colour }
    }

    /// `false`: leave.
    fn press(&mut self, key: Key) -> bool {
        match key {
            Key::Next => self.scroll *= usize::from(!self.steps.forward()),
            Key::Back => self.scroll *= usize::from(!self.steps.back()),
            Key::First => self.steps.first(),
            Key::Last => self.steps.last(),
            Key::Stage(stage) => {
                if let Some(index) = self.steps.of_stage(stage) {
                    self.steps.seek(index);
                }
            }
            Key::Up => self.scroll = self.scroll.saturating_sub(1),
            Key::Down => self.scroll += 1,
            Key::Quit => return false,
            Key::Other => {}
        }
        true
    }

    fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let width = usize::from(area.width);
        let step = self.steps.current();
        let place = format!("step {}/{}", self.steps.position() + 1, self.steps.len());
        let way = step.direction.name();
        let mut lines = vec![
            self.line(&vec![
                rows::piece(Role::Head, format!("{place}  ")),
                rows::piece(Role::Plain, format!("{}, {way}", self.title)),
            ]),
            self.line(&rows::rail(step, self.reached)),
            Line::default(),
        ];
        lines.extend(rows::about(step, self.ns_per_tick, width).iter().map(|row| self.line(row)));
        lines.push(self.line(&rows::legend(step)));
        let height = usize::from(area.height).saturating_sub(1);
        let room = height.saturating_sub(lines.len());
        let bytes = rows::hex(step);
        // the last rows stay on the screen; a window too low for any shows none
        let from = self.scroll.min(bytes.len().saturating_sub(room.max(1)));
        lines.extend(bytes.iter().skip(from).take(room).map(|row| self.line(row)));
        let more = bytes.len() > room;
        lines.truncate(height);
        self.scroll = from;
        frame.render_widget(Clear, area);
        frame.render_widget(Paragraph::new(lines), area);
        let bottom =
            Rect { y: area.bottom().saturating_sub(1), height: area.height.min(1), ..area };
        let help = if more { HELP.replace("bytes", "more bytes") } else { HELP.to_owned() };
        let style =
            if self.colour { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
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
