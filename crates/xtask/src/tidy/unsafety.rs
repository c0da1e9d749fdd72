//! `unsafe` only in the files that ARCHITECTURE.md names with a reason (and in tests), and a SAFETY comment at each.
use super::{
    Complaint,
    source::{Source, bare_code},
};
use std::{collections::BTreeSet, path::Path};

const HEADING: &str = "## Files with unsafe code";
/// How far above its block a SAFETY comment may start: it has three parts and may stand above a long statement.
const LINES_ABOVE: usize = 14;

/// Reads the list and compares every Rust file of the crates with it.
pub fn check(root: &Path, sources: &[Source]) -> Result<Vec<Complaint>, String> {
    let page = "ARCHITECTURE.md";
    let text = std::fs::read_to_string(root.join(page)).map_err(|error| format!("{page}: {error}"))?;
    let registered = registered(&text)?;
    let mut complaints = Vec::new();
    let mut users = BTreeSet::new();
    for source in
        sources.iter().filter(|source| source.path.starts_with("crates/") && source.path.ends_with(".rs"))
    {
        let code = bare_code(&source.text);
        let lines = unsafe_lines(&code);
        let Some(first) = lines.first() else { continue };
        if !registered.contains(&source.path) && !is_test(&source.path) {
            let what = format!(
                "`unsafe` outside the list; mend it, or add a line with the reason to \"{HEADING}\" in {page}"
            );
            complaints.push(Complaint::at(source, first + 1, what));
        }
        users.insert(source.path.clone());
        complaints.extend(undocumented(source, &code, &lines));
    }
    for stale in registered.difference(&users) {
        complaints.push(Complaint::of(
            page,
            format!("\"{HEADING}\" lists {stale}, which has none; take the line out"),
        ));
    }
    Ok(complaints)
}

/// Code that no user runs.
fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.contains("/contract/") || path.ends_with("tests.rs")
}

/// The paths of the section's table: rows that start with "| `path`" and have a reason.
fn registered(page: &str) -> Result<BTreeSet<String>, String> {
    let (_, section) =
        page.split_once(HEADING).ok_or(format!("ARCHITECTURE.md has no section \"{HEADING}\""))?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `"));
    let paths = rows.filter_map(|row| {
        let (path, reason) = row.split_once('`')?;
        (reason.split_whitespace().count() >= 5).then(|| path.to_owned())
    });
    Ok(paths.collect())
}

/// Zero-based lines with the word.
fn unsafe_lines(code: &str) -> Vec<usize> {
    let has = |line: &str| {
        line.split(|letter: char| !letter.is_alphanumeric() && letter != '_').any(|word| word == "unsafe")
    };
    code.lines().enumerate().filter(|(_, line)| has(line)).map(|(number, _)| number).collect()
}

/// Blocks and impls need their safety comment above; functions and traits a `# Safety` section in their documentation.
fn undocumented(source: &Source, code: &str, lines: &[usize]) -> Vec<Complaint> {
    let text: Vec<&str> = source.text.lines().collect();
    let code: Vec<&str> = code.lines().collect();
    let mut complaints = Vec::new();
    for &number in lines {
        let line = code[number];
        // Attributes, lint names and pointer types carry no duty.
        let duty = ["unsafe {", "unsafe impl", "unsafe fn", "unsafe trait", "unsafe extern"];
        let Some(kind) = duty.into_iter().find(|duty| line.contains(duty)) else { continue };
        if kind == "unsafe fn" && (line.contains(": unsafe fn") || line.contains("(unsafe fn")) {
            continue;
        }
        if kind == "unsafe extern" && !line.trim_start().starts_with(kind) {
            continue;
        }
        let wanted = match kind {
            "unsafe fn" if !line.contains("pub") => "/// ",
            "unsafe fn" | "unsafe trait" => "# Safety",
            _ => "// SAFETY",
        };
        let above = &text[number.saturating_sub(LINES_ABOVE)..=number];
        let found = above.iter().any(|line| line.contains(wanted) || line.contains("// SAFETY"));
        if !found {
            complaints.push(Complaint::at(
                source,
                number + 1,
                format!("`{kind}` without a `{wanted}` above it"),
            ));
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_the_table_of_its_section() {
        let page = "# A\n## Files with unsafe code\nWords.\n\n| file | why |\n| --- | --- |\n| `crates/a.rs` | it talks to the kernel |\n| `crates/b.rs` | |\n\n## Next\n| `crates/c.rs` | a reason that is long |\n";
        assert_eq!(registered(page).unwrap(), BTreeSet::from(["crates/a.rs".to_owned()]));
        assert!(registered("# A\n").is_err());
    }

    #[test]
    fn the_word_is_found_as_a_word() {
        assert_eq!(unsafe_lines("fn a() {}\nunsafe { b() }\n#![forbid(unsafe_code)]\n"), [1]);
    }

    #[test]
    fn a_block_without_a_reason_is_found() {
        let source = |text: &str| Source { path: "crates/a.rs".into(), text: text.into() };
        let count =
            |text: &str| undocumented(&source(text), &bare_code(text), &unsafe_lines(&bare_code(text))).len();
        assert_eq!(count("let a = unsafe { b() };\n"), 1);
        assert_eq!(count("// SAFETY: because. Checked: test.\nlet a = unsafe { b() };\n"), 0);
        assert_eq!(count("/// Does.\npub unsafe fn a() {}\n"), 1);
        assert_eq!(count("/// # Safety\n/// Only once.\npub unsafe fn a() {}\n"), 0);
        assert_eq!(count("unsafe fn a() {}\n"), 1);
        assert_eq!(count("/// The pointer must be a task's.\nunsafe fn a() {}\n"), 0);
        assert_eq!(count("struct A { call: unsafe fn() }\n"), 0);
        assert_eq!(count("struct A {\n    call: unsafe extern \"C\" fn(),\n}\n"), 0);
        assert_eq!(count("unsafe extern \"C\" {\n}\n"), 1);
    }
}
