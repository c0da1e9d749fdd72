//! `cargo xtask tidy`: the rules that no compiler checks. Prints sizes for people to judge; fails only on what is wrong.
mod chain;
mod imports;
mod order;
mod sizes;
mod source;
mod unsafety;

use source::Source;
use std::{path::Path, process::Command};

/// One thing that is wrong: where, what, and what to do.
pub struct Complaint {
    /// Path from the root, with a line where there is one.
    pub place: String,
    /// What is wrong and the remedy.
    pub what: String,
}

impl Complaint {
    fn at(source: &Source, line: usize, what: impl Into<String>) -> Complaint {
        Complaint { place: format!("{}:{line}", source.path), what: what.into() }
    }
    fn of(place: impl Into<String>, what: impl Into<String>) -> Complaint {
        Complaint { place: place.into(), what: what.into() }
    }
}

/// Checks the whole tree.
pub fn run(root: &Path) -> Result<String, String> {
    let sources = read_sources(root)?;
    let mut complaints = Vec::new();
    complaints.extend(order::check(root)?);
    complaints.extend(unsafety::check(root, &sources)?);
    complaints.extend(sources.iter().filter_map(purpose));
    complaints.extend(chain::check(&sources));
    complaints.extend(imports::check(&sources));
    let report = sizes::report(&sources);
    if complaints.is_empty() {
        return Ok(format!("{report}\ntidy: {} files are in order", sources.len()));
    }
    let lines: Vec<_> =
        complaints.iter().map(|Complaint { place, what }| format!("{place}: {what}")).collect();
    Err(format!("{}\ntidy: {} complaints", lines.join("\n"), lines.len()))
}

/// Output of a command that must succeed.
fn output(root: &Path, program: &str, arguments: &[&str]) -> Result<String, String> {
    let result = Command::new(program).args(arguments).current_dir(root).output();
    let result = result.map_err(|error| format!("tidy needs `{program}`: {error}"))?;
    if !result.status.success() {
        let said = String::from_utf8_lossy(&result.stderr);
        return Err(format!("`{program} {}` failed:\n{said}", arguments.join(" ")));
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}

/// Every Rust and TypeScript file that git knows or would take.
fn read_sources(root: &Path) -> Result<Vec<Source>, String> {
    let listed = output(root, "git", &["ls-files", "--cached", "--others", "--exclude-standard"])?;
    let mut sources = Vec::new();
    for path in listed.lines().filter(|path| source::is_source(path)) {
        // A file that was deleted and not yet committed is listed and not there.
        if let Ok(text) = std::fs::read_to_string(root.join(path)) {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(sources)
}

/// The first line of each file says what it is for.
fn purpose(source: &Source) -> Option<Complaint> {
    let mut lines = source.text.lines().filter(|line| !line.starts_with("#!"));
    let first = lines.next().unwrap_or_default();
    let comment = ["//! ", "// ", "/** "].iter().find_map(|start| first.strip_prefix(start));
    let said =
        comment.is_some_and(|words| words.split_whitespace().count() >= 3 && !words.contains("Placeholder"));
    (!said).then(|| Complaint::at(source, 1, "the first line must be a comment that says the file's purpose"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_purpose_is_found() {
        let source = |text: &str| Source { path: "a.rs".into(), text: text.into() };
        assert!(purpose(&source("use std::fs;\n")).is_some());
        assert!(purpose(&source("")).is_some());
        assert!(purpose(&source("//! Placeholder: the owner writes this.\n")).is_some());
        assert!(purpose(&source("//! Reads a file and counts.\n")).is_none());
        assert!(purpose(&source("#!/usr/bin/env node\n// Starts the command line.\n")).is_none());
    }
}
