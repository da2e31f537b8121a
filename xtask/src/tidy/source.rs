//! Rules for source files: length, `unsafe` by address, calls that are not for libraries.

use super::{File, Finding, lexer, tree};

const LINES_MAX: usize = 800;
const LINES_WARN: usize = 500;
const FN_LINES_WARN: usize = 70;
const COLUMNS_MAX: usize = 100;

/// The modules in which `unsafe` may stand, each behind a safe type (docs/ARCHITECTURE.md).
const UNSAFE_HOMES: &[&str] = &[
    "pipeline/skb/src/pool",
    "pipeline/skb/src/arch",
    "pipeline/nic/src/sys",
    "pipeline/guest/src/vring",
];

/// The one capture that has a whole day in it, and its size.
const DAY: (&str, u64) = ("pcaps/practice-day.pcapng", 1_500_000);
const BYTES_MAX: u64 = 256 * 1024;

/// A call that does not belong everywhere.
struct Ban {
    call: &'static str,
    /// Path prefixes in which it may stand.
    homes: &'static [&'static str],
    /// Whether test code may use it.
    tests: bool,
    instead: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        call: "process::exit",
        homes: &["cli/src/main.rs", "xtask/src/main.rs"],
        tests: false,
        instead: "return an error or an ExitCode from main, so that destructors run",
    },
    Ban {
        call: "println!",
        homes: &["cli/", "xtask/"],
        tests: true,
        instead: "return the text, or count it; only cli and xtask talk to people",
    },
    Ban {
        call: "eprintln!",
        homes: &["cli/", "xtask/"],
        tests: true,
        instead: "use tracing, or return an error; only cli and xtask talk to people",
    },
    Ban {
        call: "todo!",
        homes: &[],
        tests: false,
        instead: "write it, or return an error that says what is not supported",
    },
    Ban {
        call: "unimplemented!",
        homes: &[],
        tests: false,
        instead: "write it, or return an error that says what is not supported",
    },
    Ban { call: "dbg!", homes: &[], tests: false, instead: "remove it" },
    Ban {
        call: "channel::unbounded",
        homes: &[],
        tests: false,
        instead: "use a bounded channel: every queue has a stated maximum",
    },
    Ban {
        call: "mpsc::channel",
        homes: &[],
        tests: false,
        instead: "use a bounded channel: every queue has a stated maximum",
    },
];

/// Calls that would put a clock, a socket or a thread into the sans-IO crates.
const IO_CALLS: &[&str] =
    &["Instant::now", "SystemTime::now", "std::net::Tcp", "std::net::Udp", "std::fs", "thread::"];
const SANS_IO: &[&str] = &[
    "pipeline/vswitch/src/",
    "pipeline/skb/src/decode/",
    "pipeline/skb/src/locate",
    "pipeline/driver/src/",
];

pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings: Vec<Finding> = blob(file).into_iter().collect();
    let Some(text) = file.text.as_deref().filter(|_| tree::is(&file.path, "rs")) else {
        return findings;
    };
    let code = lexer::code_only(text);
    let all_tests = is_test_file(&file.path);
    let tests_from = if all_tests { 0 } else { tests_start(&code) };
    findings.extend(lengths(&file.path, text, tests_from));
    findings.extend(long_functions(&file.path, &code, tests_from));
    for (index, line) in code.lines().enumerate() {
        let in_tests = index >= tests_from;
        findings.extend(line_rules(&file.path, index + 1, line, in_tests));
    }
    findings
}

fn blob(file: &File) -> Option<Finding> {
    let limit = if file.path == DAY.0 { DAY.1 } else { BYTES_MAX };
    (file.bytes > limit).then(|| {
        let what = format!("{} bytes; files are at most {limit}", file.bytes);
        Finding::new(&file.path, 0, what, "generate it from a seed, or cut it down")
    })
}

fn is_test_file(path: &str) -> bool {
    path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.contains("/examples/")
        || path.contains("/benches/")
        || path.starts_with("testkit/")
}

/// The line index where the in-file test module starts, else past the end.
fn tests_start(code: &str) -> usize {
    let lines: Vec<&str> = code.lines().collect();
    let start = (0..lines.len()).find(|&index| {
        lines[index].trim() == "#[cfg(test)]"
            && lines[index + 1..]
                .iter()
                .map(|line| line.trim())
                .find(|line| !line.starts_with("#["))
                .is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    });
    start.unwrap_or(lines.len())
}

fn lengths(path: &str, text: &str, tests_from: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count().min(tests_from);
    if lines > LINES_WARN {
        let what = format!("{lines} lines before the tests; files have at most {LINES_WARN}");
        let finding = Finding::new(path, 0, what, "split it by noun");
        findings.push(if lines > LINES_MAX { finding } else { finding.warning() });
    }
    for (index, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX {
            let what = format!("{columns} columns; lines have at most {COLUMNS_MAX}");
            let finding = Finding::new(path, index + 1, what, "break the line");
            // rustfmt does not reach into `proptest!`
            findings.push(if index < tests_from { finding } else { finding.warning() });
        }
    }
    findings
}

/// Functions by their braces: from the line with `fn` to the line that closes its body.
fn long_functions(path: &str, code: &str, tests_from: usize) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut depth = 0_usize;
    let mut open: Vec<(usize, usize)> = Vec::new(); // depth before the body, line of `fn`
    let mut announced: Option<usize> = None;
    let mut nested = 0_i32; // brackets open since the start: `;` in `[u8; 4]` ends nothing
    for (index, line) in code.lines().enumerate().take_while(|(index, _)| *index < tests_from) {
        if has_word(line, "fn") && line.contains('(') {
            announced = Some(index);
        }
        for c in line.chars() {
            match c {
                '{' => {
                    if let Some(begun) = announced.take() {
                        open.push((depth, begun));
                    }
                    depth += 1;
                }
                '}' => {
                    depth = depth.saturating_sub(1);
                    if open.last().is_some_and(|(outer, _)| *outer == depth) {
                        let begun = open.pop().map_or(index, |(_, begun)| begun);
                        let lines = index - begun + 1;
                        if lines > FN_LINES_WARN {
                            let what = format!("a function of {lines} lines");
                            let instead = format!("aim at {FN_LINES_WARN}; name its parts");
                            findings.push(Finding::new(path, begun + 1, what, instead).warning());
                        }
                    }
                }
                '(' | '[' => nested += 1,
                ')' | ']' => nested -= 1,
                ';' if nested == 0 => announced = None, // a trait's method without a body
                _ => {}
            }
        }
    }
    findings
}

fn line_rules(path: &str, number: usize, line: &str, in_tests: bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let homes = UNSAFE_HOMES.iter().any(|home| path.starts_with(home));
    if has_word(line, "unsafe") && !homes && !is_allocator(line, path, in_tests) {
        findings.push(Finding::new(
            path,
            number,
            "`unsafe` outside its homes",
            format!("use the safe type of one of: {}", UNSAFE_HOMES.join(", ")),
        ));
    }
    for ban in BANS {
        let home = ban.homes.iter().any(|home| path.starts_with(home));
        if contains_call(line, ban.call) && !home && !(ban.tests && in_tests) {
            let what = format!("`{}` is not for here", ban.call);
            findings.push(Finding::new(path, number, what, ban.instead));
        }
    }
    if !in_tests && SANS_IO.iter().any(|home| path.starts_with(home)) {
        for call in IO_CALLS.iter().filter(|call| contains_call(line, call)) {
            let what = format!("`{call}` in a sans-IO module");
            findings.push(Finding::new(path, number, what, "take bytes and `now` as arguments"));
        }
    }
    findings
}

/// A counting allocator needs `unsafe`; it may stand in tests and benches, nowhere else.
fn is_allocator(line: &str, path: &str, in_tests: bool) -> bool {
    let allocator = ["GlobalAlloc", "fn alloc", "fn dealloc", "fn realloc", "System."];
    (in_tests || path.starts_with("benches/") || path.contains("/benches/"))
        && allocator.iter().any(|word| line.contains(word))
}

fn is_word_char(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_word_char) && !line[at + word.len()..].starts_with(is_word_char)
    })
}

/// Like [`has_word`], but the call may go on (`channel::unbounded::<T>`).
fn contains_call(line: &str, call: &str) -> bool {
    line.match_indices(call).any(|(at, _)| !line[..at].ends_with(is_word_char))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rust(path: &str, text: &str) -> Vec<String> {
        let (path, bytes) = (path.to_owned(), text.len() as u64);
        let file = File { path, bytes, text: Some(text.to_owned()) };
        check(&file).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn unsafe_has_an_address() {
        let text = "fn f() { unsafe { g() } } // unsafe\n";
        assert_eq!(rust("capture/src/lib.rs", text).len(), 1);
        assert!(rust("pipeline/skb/src/pool/arena.rs", text).is_empty());
        assert!(rust("capture/src/lib.rs", "#![deny(unsafe_code)] // \"unsafe\"\n").is_empty());
    }

    #[test]
    fn banned_calls_are_named_with_their_line() {
        let text =
            "fn f() {\n    println!(\"x\");\n}\n#[cfg(test)]\nmod tests {\n    println!();\n}\n";
        let found = rust("capture/src/lib.rs", text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("capture/src/lib.rs:2: `println!`"), "{found:?}");
        assert!(rust("cli/src/show.rs", text).is_empty());
    }

    #[test]
    fn long_files_lines_and_functions_are_found() {
        let line = format!("// {}\n", "x".repeat(100));
        assert_eq!(rust("capture/src/a.rs", &line).len(), 1);
        let found = rust("capture/src/a.rs", &"//\n".repeat(801));
        assert!(found[0].starts_with("capture/src/a.rs: 801 lines"), "{found:?}");
        let body = format!("fn f(a: u8) {{\n{}}}\n", "    g();\n".repeat(80));
        assert!(rust("capture/src/a.rs", &body)[0].contains("a function of 82 lines"));
    }

    #[test]
    fn the_clock_stays_out_of_the_switch() {
        let text = "fn f() { Instant::now(); }\n";
        assert_eq!(rust("pipeline/vswitch/src/fdb.rs", text).len(), 1);
        assert!(rust("cli/src/a.rs", text).is_empty());
    }
}
