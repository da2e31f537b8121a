//! The machine a number was measured on. A number without its machine is not a number.

use std::fs;
use std::thread;

use anyhow::Result;

use crate::sh;

/// Today in UTC, as `2026-11-22`.
pub(crate) fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// The time in UTC, as `03:14:15`.
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%H:%M:%S").to_string()
}

/// The commit that is checked out, marked where files that git knows were changed.
pub(crate) fn commit() -> String {
    let dirty = first_line("git", &["status", "--porcelain", "--untracked-files=no"]);
    let dirty = if dirty == "not found" { "" } else { ", changed" };
    first_line("git", &["rev-parse", "--short=12", "HEAD"]) + dirty
}

/// A short name for the machine: processor and cores, such as `amd-epyc-9b14-2c`.
pub(crate) fn name() -> String {
    slug(&format!("{} {}c", cpu(), cores()))
}

fn slug(text: &str) -> String {
    let mut slug = String::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        let marketing = matches!(word, "R" | "TM" | "CPU" | "Processor" | "Core" | "");
        if !marketing {
            if !slug.is_empty() {
                slug.push('-');
            }
            slug.push_str(&word.to_ascii_lowercase());
        }
    }
    slug
}

fn cpu() -> String {
    proc_value("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown-cpu".to_owned())
}

fn cores() -> usize {
    thread::available_parallelism().map_or(0, std::num::NonZero::get)
}

fn proc_value(file: &str, key: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_line(program: &str, args: &[&str]) -> String {
    let text = sh::output(&mut sh::command(program, args)).unwrap_or_default();
    text.lines().next().unwrap_or("not found").to_owned()
}

/// What a reader needs to judge or repeat a measurement, as a Markdown list.
pub(crate) fn facts() -> Result<String> {
    let governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
    let governor = fs::read_to_string(governor).unwrap_or_else(|_| "not shown".to_owned());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!(
        "- processor: {}, {} cores\n- memory: {}\n- kernel: {}\n- governor: {}\n- rustc: {}\n\
         - commit: {}\n",
        cpu(),
        cores(),
        proc_value("/proc/meminfo", "MemTotal").unwrap_or_default(),
        kernel.trim(),
        governor.trim(),
        first_line("rustc", &["--version"]),
        commit(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_names_are_plain() {
        assert_eq!(slug("Intel(R) Core(TM) i7-8565U CPU 8c"), "intel-i7-8565u-8c");
    }
}
