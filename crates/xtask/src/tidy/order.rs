//! The alphabet is the dependency order: a crate uses only crates above it in `ls crates/`.
use super::{Complaint, output};
use serde_json::Value;
use std::path::Path;

/// Asks cargo which crate uses which.
pub fn check(root: &Path) -> Result<Vec<Complaint>, String> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--offline"];
    let metadata: Value = serde_json::from_str(&output(root, "cargo", &arguments)?)
        .map_err(|error| format!("`cargo metadata` is not JSON: {error}"))?;
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let Some(user) =
            folder(package["manifest_path"].as_str().and_then(|path| path.strip_suffix("/Cargo.toml")))
        else {
            continue;
        };
        let uses = package["dependencies"].as_array().into_iter().flatten();
        let uses = uses.filter_map(|dependency| folder(dependency["path"].as_str()));
        complaints.extend(uses.filter_map(|used| wrong_way(user, used)));
    }
    Ok(complaints)
}

/// The folder's name when it is one of `crates/`.
fn folder(path: Option<&str>) -> Option<&str> {
    let (before, name) = path?.rsplit_once('/')?;
    before.ends_with("/crates").then_some(name)
}

fn wrong_way(user: &str, used: &str) -> Option<Complaint> {
    let what =
        format!("uses crates/{used}, which is not above it in the alphabet; move the code or the seam");
    // A crate may depend on itself: that is how its tests get its own `testing` feature.
    (used > user).then(|| Complaint::of(format!("crates/{user}"), what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_upwards() {
        assert!(wrong_way("executor", "driver").is_none());
        assert!(wrong_way("driver", "executor").is_some());
        assert!(wrong_way("driver", "driver").is_none());
        assert_eq!(folder(Some("/somewhere/crates/clock")), Some("clock"));
        assert_eq!(folder(Some("/somewhere/benchmark/clock")), None);
    }
}
