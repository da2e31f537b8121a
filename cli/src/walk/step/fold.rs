//! Rows broken to the width of the screen: nothing is cut off at its edge.

use ratatui::text::Span;

use super::rows::{Piece, Row};
use crate::term::Role;

/// Columns before what a row goes on with.
const INDENT: usize = 2;

/// `row` as one or more rows of at most `width` columns, broken at spaces where there are any.
pub(super) fn fold(row: &Row, width: usize) -> Vec<Row> {
    let width = width.max(INDENT + 2);
    let mut chars: Vec<(Role, char)> = Vec::new();
    for piece in row {
        chars.extend(piece.text.chars().map(|c| (piece.role, c)));
    }
    let mut rows = Vec::new();
    let mut rest = &chars[..];
    loop {
        let room = if rows.is_empty() { width } else { width - INDENT };
        let fits = fitting(rest, room);
        if fits == rest.len() {
            rows.push(pieces(rest, !rows.is_empty()));
            return rows;
        }
        // at the last space that fits, unless that would waste half of the row
        let space = rest[..=fits].iter().rposition(|(_, c)| *c == ' ');
        let end = space.filter(|at| *at > fits / 2).unwrap_or(fits);
        rows.push(pieces(&rest[..end], !rows.is_empty()));
        let blanks = rest[end..].iter().take_while(|(_, c)| *c == ' ').count();
        rest = &rest[end + blanks..];
    }
}

/// How many of `chars` fit into `room` columns; at least one.
fn fitting(chars: &[(Role, char)], room: usize) -> usize {
    let mut used = 0;
    let beyond = chars.iter().position(|(_, c)| {
        used += columns(*c);
        used > room
    });
    beyond.unwrap_or(chars.len()).max(usize::from(!chars.is_empty()))
}

fn columns(c: char) -> usize {
    if c.is_ascii() { 1 } else { Span::raw(c.encode_utf8(&mut [0; 4]) as &str).width() }
}

fn pieces(chars: &[(Role, char)], indented: bool) -> Row {
    let mut row: Row = Vec::new();
    if indented {
        row.push(Piece { role: Role::Plain, text: " ".repeat(INDENT) });
    }
    for (role, c) in chars {
        match row.last_mut() {
            Some(last) if last.role == *role => last.text.push(*c),
            _ => row.push(Piece { role: *role, text: c.to_string() }),
        }
    }
    row
}

#[cfg(test)]
mod tests {
    use super::super::rows::piece;
    use super::*;

    fn texts(rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| row.iter().map(|p| p.text.as_str()).collect()).collect()
    }

    #[test]
    fn rows_break_at_spaces_and_keep_their_roles() {
        let row = vec![piece(Role::Head, "step 1/8 "), piece(Role::Plain, "frame 9 of a file")];
        assert_eq!(texts(&fold(&row, 80)), ["step 1/8 frame 9 of a file"]);
        let rows = fold(&row, 20);
        assert_eq!(texts(&rows), ["step 1/8 frame 9 of", "  a file"]);
        assert_eq!(rows[0][0].role, Role::Head);
        assert_eq!(rows[1].last().unwrap().role, Role::Plain);
    }

    #[test]
    fn what_has_no_space_breaks_where_it_must_and_nothing_is_lost() {
        let row = vec![piece(Role::Plain, "/a/very/long/path/without/any/space")];
        for width in 0..40 {
            let rows = texts(&fold(&row, width));
            let all: String = rows.iter().map(|row| row.trim_start()).collect();
            assert_eq!(all, "/a/very/long/path/without/any/space", "{width}");
            assert!(rows.iter().all(|row| row.len() <= width.max(INDENT + 2)), "{rows:?}");
        }
        assert_eq!(texts(&fold(&Row::default(), 10)), [""]);
    }

    #[test]
    fn wide_characters_count_twice() {
        let rows = texts(&fold(&vec![piece(Role::Plain, "診療所の記録")], 8));
        assert_eq!(rows, ["診療所の", "  記録"]);
    }
}
