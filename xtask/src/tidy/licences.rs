//! `cargo xtask licences`: each dependency's licence against the allow-list in `deny.toml`, as
//! `cargo deny check licenses` does, without network and without installing it.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};
use spdx::{Expression, LicenseReq, ParseMode};

use crate::sh;

/// What `deny.toml` allows.
#[derive(Debug, Default)]
struct Policy {
    allow: Vec<String>,
    /// Licences allowed to one package only.
    exceptions: Vec<(String, Vec<String>)>,
    /// Target triples that count; empty is all.
    targets: Vec<String>,
}

impl Policy {
    fn read(text: &str) -> Result<Self> {
        let toml: toml::Table = text.parse().context("deny.toml")?;
        let strings = |value: Option<&toml::Value>| -> Vec<String> {
            let list = value.and_then(toml::Value::as_array);
            let list = list.map_or(&[][..], Vec::as_slice);
            list.iter().filter_map(toml::Value::as_str).map(str::to_owned).collect()
        };
        let licenses = toml.get("licenses").and_then(toml::Value::as_table);
        let licenses = licenses.context("deny.toml: no section [licenses]")?;
        let exceptions = licenses.get("exceptions").and_then(toml::Value::as_array);
        let exceptions = exceptions.map_or(&[][..], Vec::as_slice).iter().filter_map(|exception| {
            let package = exception.get("crate").or_else(|| exception.get("name"))?;
            Some((package.as_str()?.to_owned(), strings(exception.get("allow"))))
        });
        Ok(Self {
            allow: strings(licenses.get("allow")),
            exceptions: exceptions.collect(),
            targets: strings(toml.get("graph").and_then(|graph| graph.get("targets"))),
        })
    }

    fn accepts(&self, package: &str, expression: &Expression) -> bool {
        let exception = self.exceptions.iter().find(|(name, _)| name == package);
        let extra = exception.map_or(&[][..], |(_, allow)| allow.as_slice());
        expression.evaluate(|required| {
            self.allow.iter().chain(extra).any(|allowed| is_same(allowed, required))
        })
    }
}

/// `MIT` allows MIT; `Apache-2.0 WITH LLVM-exception` allows only that.
fn is_same(allowed: &str, required: &LicenseReq) -> bool {
    allowed == required.to_string()
}

pub(crate) fn run() -> Result<()> {
    let policy = fs::read_to_string(sh::root().join("deny.toml")).context("deny.toml")?;
    let policy = Policy::read(&policy)?;
    let packages = packages(&policy)?;
    let mut refused = Vec::new();
    for (package, license) in &packages {
        let name = package.split(' ').next().unwrap_or_default();
        if let Some(why) = refuse(&policy, name, license) {
            refused.push(format!("{package}: {why}"));
        }
    }
    if !refused.is_empty() {
        bail!(
            "licences not allowed by deny.toml; take another crate, or allow them there with the \
             reason:\n  {}",
            refused.join("\n  ")
        );
    }
    println!("licences: {} packages, all allowed by deny.toml", packages.len());
    Ok(())
}

/// Every package that a build, a test or a feature of ours takes in, with its licence. Asked of
/// `cargo tree`: `cargo metadata` also lists optional packages that nothing switches on.
fn packages(policy: &Policy) -> Result<BTreeSet<(String, String)>> {
    let mut packages = BTreeSet::new();
    let all = ["all".to_owned()];
    let targets = if policy.targets.is_empty() { &all } else { policy.targets.as_slice() };
    for target in targets {
        let mut tree = sh::cargo(&["tree", "--workspace", "--all-features", "--prefix=none"]);
        tree.args(["--format={p}|{l}", "--target", target]);
        for line in sh::output(&mut tree)?.lines().filter(|line| !line.is_empty()) {
            let (package, license) = line.split_once('|').unwrap_or((line, ""));
            let name: Vec<&str> = package.split(' ').take(2).collect();
            let license = license.trim_end_matches(" (*)").trim();
            packages.insert((name.join(" "), license.to_owned()));
        }
    }
    if packages.is_empty() {
        bail!("cargo tree named no package");
    }
    Ok(packages)
}

fn refuse(policy: &Policy, package: &str, license: &str) -> Option<String> {
    if license.is_empty() {
        return Some("names no licence".to_owned());
    }
    // older crates write `MIT/Apache-2.0`
    match Expression::parse_mode(license, ParseMode::LAX) {
        Err(error) => Some(format!("`{license}` is no SPDX expression: {error}")),
        Ok(expression) if policy.accepts(package, &expression) => None,
        Ok(_) => Some(license.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "[licenses]\nallow = [\"MIT\", \"Apache-2.0\"]\n\
        exceptions = [{ crate = \"odd\", allow = [\"Zlib\"] }]\n\
        [graph]\ntargets = [\"x86_64-unknown-linux-gnu\"]\n";

    #[test]
    fn expressions_are_judged() {
        let policy = Policy::read(POLICY).unwrap();
        assert_eq!(policy.targets, ["x86_64-unknown-linux-gnu"]);
        let judge = |package, license| refuse(&policy, package, license);
        assert_eq!(judge("a", "MIT OR GPL-3.0-only"), None);
        assert_eq!(judge("a", "MIT/Apache-2.0"), None);
        assert!(judge("a", "MIT AND GPL-3.0-only").is_some());
        assert!(judge("a", "Zlib").is_some());
        assert_eq!(judge("odd", "Zlib"), None);
        assert!(judge("a", "Apache-2.0 WITH LLVM-exception").is_some());
        assert!(refuse(&policy, "a", "").is_some());
    }
}
