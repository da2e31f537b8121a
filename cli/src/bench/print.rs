//! Bench rows, for people and as JSON.

use crate::cli::Globals;
use benches::Row;
use serde_json::{Map, Value, json};
use std::io::{self, Write};

/// Prints rows as they come.
#[derive(Debug)]
pub(super) struct Out {
    json: bool,
    header: bool,
}

impl Out {
    pub(super) fn new(globals: &Globals) -> Self {
        Self { json: globals.json, header: false }
    }

    pub(super) fn row(&mut self, row: &Row) -> anyhow::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", to_json(row))?;
            return Ok(out.flush()?);
        }
        if !self.header {
            self.header = true;
            writeln!(
                out,
                "{:<44} {:>9} {:>9} {:>9} {:>5}  {:<6} {:>9}",
                "case", "median", "min", "max", "runs", "unit", "floor"
            )?;
        }
        let floor = row.floor.map_or_else(|| "-".into(), figure);
        let f = &row.figures;
        writeln!(
            out,
            "{:<44} {:>9} {:>9} {:>9} {:>5}  {:<6} {:>9}",
            label(row),
            figure(f.median()),
            figure(f.min()),
            figure(f.max()),
            f.runs(),
            row.metric,
            floor
        )?;
        for (name, value) in &row.extra {
            writeln!(out, "    {name}: {value}")?;
        }
        Ok(())
    }
}

fn label(row: &Row) -> String {
    match &row.peer {
        Some(peer) => format!("{} [{peer}]", row.case),
        None => row.case.clone(),
    }
}

fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// The contract `framewalk.bench/1`: the fixed fields, then what else was counted, numbers as
/// numbers.
fn to_json(row: &Row) -> Value {
    let f = &row.figures;
    let mut object = Map::new();
    for (key, value) in [
        ("schema", json!("framewalk.bench/1")),
        ("bench", json!(row.bench)),
        ("case", json!(row.case)),
        ("metric", json!(row.metric)),
        ("median", json!(f.median())),
        ("min", json!(f.min())),
        ("max", json!(f.max())),
        ("runs", json!(f.runs())),
        ("floor", json!(row.floor)),
        ("peer", json!(row.peer)),
    ] {
        object.insert(key.into(), value);
    }
    for (name, text) in &row.extra {
        let number = text.parse::<u64>().map(Value::from).or_else(|_| {
            text.parse::<f64>()
                .map_err(|_| ())
                .and_then(|f| if f.is_finite() { Ok(Value::from(f)) } else { Err(()) })
        });
        let digest = name.starts_with("digest") || *name == "sum";
        let value = match number {
            Ok(number) if !digest => number,
            _ if text == "true" => Value::Bool(true),
            _ => Value::from(text.as_str()),
        };
        object.insert((*name).into(), value);
    }
    Value::Object(object)
}
