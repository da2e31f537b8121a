//! Tests of the buffer arena, the rings and the path's ledger under valgrind's memcheck.
//!
//! None of that code has an `unsafe` block (`unsafe` is in `skb::arch` alone: prefetch and clock),
//! so what memcheck can find is a fault of the compiler, of the standard library or of a
//! dependency, and memory that is never given back. That is also what it is run for.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::nightly::Outcome;
use crate::{packages, sh, suite};

/// Packages with the tests that are run, by a part of their names.
const TESTS: &[(&str, &[&str])] = &[
    ("framewalk-skb", &["--lib", "--", "pool::", "ring::", "skbuff::"]),
    ("framewalk-pipeline", &["--test", "ledger"]),
    ("framewalk-guest", &["--test", "hosts"]),
];
/// Cases of the property tests that do not set their own: memcheck makes each about 30 times
/// slower.
const PROPTEST_CASES: &str = "8";

pub(crate) fn run() -> Result<Outcome> {
    if !sh::has("valgrind") {
        let how = packages::install_line(&["valgrind"]);
        return Ok(Outcome::Skipped(format!("valgrind is missing: {how}")));
    }
    let runner = format!("CARGO_TARGET_{}_RUNNER", host()?.to_uppercase().replace('-', "_"));
    let mut passed = 0;
    for (package, args) in TESTS {
        let mut cargo = sh::cargo(&["test", "--package", package]);
        cargo.args(*args);
        if !args.contains(&"--") {
            cargo.arg("--");
        }
        cargo.arg("--test-threads=1");
        cargo.env(&runner, VALGRIND).env("PROPTEST_CASES", PROPTEST_CASES);
        let (succeeded, totals) = suite::tee_totals(&mut cargo, |_| {})?;
        if !succeeded {
            bail!("{package}: see valgrind's lines (==) above");
        }
        if totals.passed == 0 {
            bail!("{package}: no test by these names: {}", args.join(" "));
        }
        passed += totals.passed;
    }
    let version = sh::output(&mut sh::command("valgrind", &["--version"]))?;
    Ok(Outcome::Done(format!(
        "{passed} tests under {}: no invalid access, no byte used unset, nothing lost",
        version.trim()
    )))
}

const VALGRIND: &str = "valgrind --quiet --error-exitcode=9 --leak-check=full \
                        --show-leak-kinds=definite --errors-for-leak-kinds=definite";

/// The triple that programs are built for, which is in the name of cargo's runner variable.
fn host() -> Result<String> {
    let about = sh::output(Command::new("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` names no host")?.to_owned())
}
