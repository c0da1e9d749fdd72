//! TypeScript imports go downwards only: cli, fs → api → ring → wire.
use super::{Complaint, source::Source};

const ROOMS: [&str; 5] = ["cli", "fs", "api", "ring", "wire"];

/// Checks every import and re-export of one room from another.
pub fn check(sources: &[Source]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for source in sources {
        let Some(room) = source.path.strip_prefix("lib/").and_then(|path| path.split('/').next()) else {
            continue;
        };
        for (number, line) in source.text.lines().enumerate() {
            let Some(target) = line.split(" from '../").nth(1).and_then(|rest| rest.split('/').next()) else {
                continue;
            };
            if !allowed(room, target) {
                let what = format!(
                    "lib/{room} may not import lib/{target}: cli, fs → api → ring → wire, and cli sees api only"
                );
                complaints.push(Complaint::at(source, number + 1, what));
            }
        }
    }
    complaints
}

/// Rooms that are not in the list (the package's manifest, `../../`) are no business of this rule.
fn allowed(from: &str, to: &str) -> bool {
    let place = |room: &str| ROOMS.iter().position(|name| *name == room);
    match (place(from), place(to)) {
        (Some(0), Some(to)) => ROOMS[to] == "api",
        (Some(from), Some(to)) => to > from,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_downwards() {
        assert!(allowed("api", "wire") && allowed("cli", "api") && allowed("ring", ".."));
        assert!(
            allowed("fs", "api") && allowed("fs", "wire") && !allowed("cli", "fs") && !allowed("api", "fs")
        );
        assert!(!allowed("ring", "api") && !allowed("cli", "wire") && !allowed("wire", "ring"));
        let text = "import { A } from '../api/a.js';\nimport { B } from './b.js';\n";
        let source = Source { path: "lib/ring/c.ts".into(), text: text.into() };
        assert_eq!(check(&[source]).len(), 1);
    }
}
