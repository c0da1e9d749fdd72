//! The project's own tooling, one command each: `cargo xtask layout [--check]`, `cargo xtask tidy`.
#![forbid(unsafe_code)]

mod errno;
mod layout;
mod tidy;

use std::{path::PathBuf, process::ExitCode};

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  layout            write lib/wire/*.generated.ts from crates/command
  layout --check    fail when writing them would change them
  tidy              fail when a rule is broken that no compiler checks; print sizes";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["layout"] => layout::write(&root()),
        ["layout", "--check"] => layout::check(&root()),
        ["tidy"] => tidy::run(&root()),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => Err(format!("xtask does not know `{}`.\n{USAGE}", arguments.join(" "))),
    };
    match result {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(complaint) => {
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    }
}

/// The root of the repository: xtask is always built inside it, two folders down.
fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or(here.clone(), PathBuf::from)
}
