//! How large the rooms are: for people to judge, never a failure.
use super::source::Source;
use std::{collections::BTreeMap, fmt::Write};

/// Lines above which a file is named.
const LARGE: usize = 400;

/// A table of rooms, and the large files.
pub fn report(sources: &[Source]) -> String {
    let mut rooms: BTreeMap<String, (usize, usize, usize)> = BTreeMap::new();
    let mut large = Vec::new();
    for source in sources {
        let lines = source.text.lines().count();
        let (files, total, longest) = rooms.entry(room(&source.path)).or_default();
        (*files, *total, *longest) = (*files + 1, *total + lines, lines.max(*longest));
        if lines > LARGE && !source.path.contains(".generated.") {
            large.push(format!("  {} has {lines} lines", source.path));
        }
    }
    let mut text = format!("{:<24} {:>6} {:>7} {:>8}\n", "room", "files", "lines", "longest");
    for (room, (files, lines, longest)) in &rooms {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{room:<24} {files:>6} {lines:>7} {longest:>8}");
    }
    if !large.is_empty() {
        let _ = writeln!(text, "files above {LARGE} lines:\n{}", large.join("\n"));
    }
    text
}

/// The first two folders, or the first where there is only one.
fn room(path: &str) -> String {
    let folders: Vec<_> = path.split('/').collect();
    folders[..(folders.len() - 1).min(2)].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_two_folders_deep() {
        assert_eq!(room("crates/clock/src/lib.rs"), "crates/clock");
        assert_eq!(room("benchmark/main.ts"), "benchmark");
        assert_eq!(room("index.ts"), "");
    }

    #[test]
    fn large_files_are_named() {
        let text = "// line\n".repeat(LARGE + 1);
        let report = report(&[Source { path: "lib/api/file.ts".into(), text }]);
        assert!(report.contains("lib/api/file.ts has 401 lines"), "{report}");
    }
}
