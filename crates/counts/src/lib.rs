//! For tests only: counts, and the gates they must stay under. Tests gate counts, never times: a count is the same on a
//! busy machine.
//!
//! The gates of all tests, Rust and TypeScript, are in `benchmark/counts.json`: for each count what was measured, and the
//! gate, which is that plus a small margin.
mod allocator;

pub use allocator::{Counting, allocations_elsewhere, allocations_here};

use std::io::Write;

/// The file, as it was when the test was compiled; cargo compiles again when it changes.
const FILE: &str = include_str!("../../../benchmark/counts.json");

/// A count that fell below this part of what it was, and by at least so much, deserves a lower gate.
const WORTH_LOWERING: (f64, f64) = (0.8, 5.0);

/// What `benchmark/counts.json` says about one count on one driver.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gate {
    /// What was measured when the gate was set.
    pub measured: f64,
    /// The most that passes.
    pub gate: f64,
}

/// The gate of a count. `driver` is `uring`, `poll`, or `any` for counts in which the driver has no part.
///
/// # Panics
/// When the file has no such gate, or one below its own measurement.
pub fn gate_of(count: &str, driver: &str) -> Gate {
    let file: serde_json::Value = serde_json::from_str(FILE).expect("benchmark/counts.json is JSON");
    let numbers = &file["counts"][count][driver];
    let number = |field: &str| {
        numbers[field].as_f64().unwrap_or_else(|| {
            panic!("benchmark/counts.json: counts[{count:?}].{driver}.{field} must be a number; measure it, then add it")
        })
    };
    let gate = Gate { measured: number("measured"), gate: number("gate") };
    assert!(
        gate.measured <= gate.gate,
        "benchmark/counts.json: {count}, {driver}: the gate is below what was measured"
    );
    gate
}

/// Fails when a count is above its gate; prints a hint when it is so far below that the gate should follow.
///
/// # Panics
/// When the count is above its gate: that is the test.
#[track_caller]
pub fn check(count: &str, driver: &str, measured: f64) {
    say(&format!("count: {count}, {driver}: {measured}"));
    let Gate { measured: before, gate } = gate_of(count, driver);
    assert!(
        measured <= gate,
        "{count}, {driver}: {measured}, the gate in benchmark/counts.json is {gate} (measured then: {before}). Find out what \
         made it dearer; raise the gate only when that is worth it, and say why in the commit",
    );
    if measured < before * WORTH_LOWERING.0 && before - measured >= WORTH_LOWERING.1 {
        say(&format!(
            "hint: {count}, {driver}: {measured} is well below the {before} it was: lower it, and its gate {gate}, in benchmark/counts.json"
        ));
    }
}

/// Not `eprintln!`: libtest swallows that.
fn say(line: &str) {
    let _unread = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gate_in_the_file_is_whole() {
        let file: serde_json::Value = serde_json::from_str(FILE).expect("JSON");
        let counts = file["counts"].as_object().expect("an object");
        assert!(!counts.is_empty());
        for (count, drivers) in counts {
            for driver in drivers.as_object().expect("an object").keys() {
                assert!(matches!(driver.as_str(), "uring" | "poll" | "any"), "{count}: {driver}");
                gate_of(count, driver);
            }
        }
    }

    #[test]
    #[should_panic(expected = "measure it, then add it")]
    fn a_count_without_a_gate_fails() {
        check("no such count", "uring", 0.0);
    }
}
