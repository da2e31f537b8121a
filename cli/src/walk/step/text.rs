//! All steps one after another, for a pipe.

use std::fmt::Write;

use pipeline::Steps;
use skb::Stage;

use super::rows::{self, HEX_BYTES, Row};
use crate::term::Paint;

/// Rows of bytes printed at each step.
const HEX_ROWS: usize = 8;

/// Writes every step.
pub(super) fn write(out: &mut String, steps: &Steps, ns_per_tick: f64, paint: Paint, width: usize) {
    let reached = steps.all().iter().map(|s| s.stage).max().unwrap_or(Stage::Nic);
    for (i, step) in steps.all().iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        let _ = write!(out, "{} ", paint.head(format!("step {}/{}", i + 1, steps.len())));
        row(out, &rows::rail(step, reached), paint);
        for line in rows::about(step, ns_per_tick, width - 2) {
            out.push_str("  ");
            row(out, &line, paint);
        }
        let same = i.checked_sub(1).map(|i| &steps.all()[i]);
        if same.is_some_and(|before| before.bytes == step.bytes && before.view == step.view) {
            let _ = writeln!(out, "  {}", paint.dim("bytes: as in the step before"));
            continue;
        }
        out.push_str("  ");
        row(out, &rows::legend(step), paint);
        for line in rows::hex(step, width).iter().take(HEX_ROWS) {
            out.push_str("  ");
            row(out, line, paint);
        }
        let shown = HEX_ROWS * HEX_BYTES;
        if step.bytes.len() > shown {
            let more = step.bytes.len() - shown;
            let text = format!("{more} bytes more: framewalk inspect FILE --frame N --hex");
            let _ = writeln!(out, "  {}", paint.dim(text));
        }
    }
}

fn row(out: &mut String, row: &Row, paint: Paint) {
    for piece in row {
        let _ = write!(out, "{}", paint.role(piece.role, &piece.text));
    }
    out.push('\n');
}
