//! Writes `lib/wire/layout.generated.ts` and `errno.generated.ts` from the Rust constants, so that the two languages cannot disagree.
use crate::errno;
use ringwheel_command::{
    CallNumber, Command, Completion, Geometry, Opcode, RejectCode, call,
    layout::{
        self, COMMAND_BYTES, COMMAND_CAPACITY, COMPLETION_BYTES, COMPLETION_CAPACITY, Header, LAYOUT_VERSION,
        LENGTH_MAX, MAGIC, PENDING_CAPACITY, STAT_BYTES,
    },
    parts::{PART_BYTES, PARTS_HEAD_BYTES, PARTS_MAX},
    ranges::{RANGE_BYTES, RANGES_HEAD_BYTES, RANGES_MAX},
    reply::REJECT_CEILING,
};
use std::{fmt::Write, fs, mem::offset_of, path::Path};

/// Writes every generated file.
pub fn write(root: &Path) -> Result<String, String> {
    for (name, text) in generated() {
        let path = root.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        fs::write(&path, text).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok("layout: lib/wire/layout.generated.ts and lib/wire/errno.generated.ts are written".into())
}

/// Fails when a generated file is not what would be written now.
pub fn check(root: &Path) -> Result<String, String> {
    let mut stale = Vec::new();
    for (name, text) in generated() {
        if fs::read_to_string(root.join(name)).ok().as_ref() != Some(&text) {
            stale.push(name);
        }
    }
    if stale.is_empty() {
        return Ok("layout: the generated files are current".into());
    }
    Err(format!(
        "{} differ from crates/command; run `cargo xtask layout` and commit them",
        stale.join(" and ")
    ))
}

/// Names and texts of the generated files.
fn generated() -> [(&'static str, String); 2] {
    [("lib/wire/layout.generated.ts", layout_text()), ("lib/wire/errno.generated.ts", errno_text())]
}

/// Collects `export const` lines.
struct Script {
    text: String,
}

impl Script {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
    fn constant(&mut self, about: &str, name: &str, value: impl std::fmt::Display) {
        self.line(&format!("/** {about} */\nexport const {name} = {value};"));
    }
    /// The index of a field in a Uint32Array over the region, or over an entry.
    fn word(&mut self, about: &str, name: &str, offset: usize) {
        assert!(offset.is_multiple_of(4), "{name} is not on a word");
        self.constant(about, name, offset / 4);
    }
}

fn layout_text() -> String {
    let mut script = Script { text: String::new() };
    script.line(
        "// The layout of the memory shared with Rust. Generated from crates/command by `cargo xtask layout`; do not edit.",
    );
    script.line("//");
    script
        .line("// `…_WORD` is an index in a Uint32Array (Int32Array for results), `…_DOUBLE` one in a Float64Array.");
    script.line(
        "// Names with an entry in front (`COMMAND_LENGTH_WORD`) count from the start of that entry.\n",
    );

    script.constant(
        "Raised with every change that the other side can see.",
        "LAYOUT_VERSION",
        LAYOUT_VERSION,
    );
    script.constant("First word of a region that Rust has attached.", "LAYOUT_MAGIC", MAGIC);
    script.constant("Bytes of the whole SharedArrayBuffer.", "REGION_BYTES", Geometry::DEFAULT.bytes());
    script.constant("Entries of the command ring, a power of two.", "COMMAND_CAPACITY", COMMAND_CAPACITY);
    script.constant(
        "Entries of the completion ring, a power of two.",
        "COMPLETION_CAPACITY",
        COMPLETION_CAPACITY,
    );
    script.constant(
        "Pending slots must be below this; Rust rejects others unanswered.",
        "PENDING_CAPACITY",
        PENDING_CAPACITY,
    );
    script.constant("The most bytes of one read or write.", "LENGTH_MAX", LENGTH_MAX);
    script.constant(
        "Bytes that STAT writes; the numbers in a call's answer begin behind as many.",
        "STAT_BYTES",
        STAT_BYTES,
    );
    script.constant(
        "Position that means: at the file position, and move it.",
        "POSITION_CURRENT",
        layout::POSITION_CURRENT,
    );

    script.constant("Ranges of one READ_MANY at most.", "RANGES_MAX", RANGES_MAX);
    script.constant("Bytes of its table before the ranges.", "RANGES_HEAD_BYTES", RANGES_HEAD_BYTES);
    script.constant("Bytes of one range of its table.", "RANGE_BYTES", RANGE_BYTES);
    script.constant("Parts of one READV or WRITEV at most.", "PARTS_MAX", PARTS_MAX);
    script.constant("Bytes of its table before the parts.", "PARTS_HEAD_BYTES", PARTS_HEAD_BYTES);
    script.constant("Bytes of one part of its table.", "PART_BYTES", PART_BYTES);

    script.line("\n// Header.");
    script.word("Holds LAYOUT_MAGIC once Rust has attached.", "MAGIC_WORD", offset_of!(Header, magic));
    script.word("Holds LAYOUT_VERSION once Rust has attached.", "VERSION_WORD", offset_of!(Header, version));
    script.word(
        "Next command that JavaScript will write. Ours.",
        "COMMAND_TAIL_WORD",
        offset_of!(Header, command_tail),
    );
    script.word(
        "Next command that Rust will read. Rust's.",
        "COMMAND_HEAD_WORD",
        offset_of!(Header, command_head),
    );
    script.word(
        "Next completion that Rust will write. Rust's.",
        "COMPLETION_TAIL_WORD",
        offset_of!(Header, completion_tail),
    );
    script.word(
        "Next completion that JavaScript will read. Ours.",
        "COMPLETION_HEAD_WORD",
        offset_of!(Header, completion_head),
    );
    script.word(
        "1 while pending work is to keep the process alive. Ours.",
        "KEEP_WORD",
        offset_of!(Header, keep),
    );
    script.word("1 while the event loop is held. Rust's.", "HELD_WORD", offset_of!(Header, held));
    script.word(
        "1 while a task queue has work that is ready. Ours.",
        "QUEUE_READY_WORD",
        offset_of!(Header, queue_ready),
    );
    script.word(
        "1 + the task queue whose slice runs, 0 outside of slices. Ours as it begins, Rust's as it ends.",
        "QUEUE_CURRENT_WORD",
        offset_of!(Header, queue_current),
    );
    script.word(
        "Microseconds for which task queues may hold the loop in one turn. Ours.",
        "QUEUE_TURN_WORD",
        offset_of!(Header, queue_turn),
    );
    let about = "When the slice began, nanoseconds of CLOCK_MONOTONIC. Rust's.";
    script.constant(about, "SLICE_START_DOUBLE", offset_of!(Header, slice_start) / 8);
    let about = "Nanoseconds that the last slice took. Rust's.";
    script.constant(about, "SLICE_ELAPSED_DOUBLE", offset_of!(Header, slice_elapsed) / 8);
    script.constant(
        "When to call for timers, in milliseconds since the executor's start; 0 for never. Ours.",
        "ALARM_DOUBLE",
        offset_of!(Header, alarm) / 8,
    );

    script.line("\n// Commands.");
    script.word("First word of command 0.", "COMMANDS_WORD", Geometry::DEFAULT.commands().first_word * 8);
    script.word("Words of one command.", "COMMAND_WORDS", COMMAND_BYTES);
    script.word(
        "Opcode in bits 0–7, flags (0) in 8–15, queue (0) in 16–31.",
        "COMMAND_OPCODE_WORD",
        offset_of!(Command, opcode),
    );
    let words = [
        ("Slot in the pending table.", "PENDING_SLOT", offset_of!(Command, pending_slot)),
        ("Generation of that slot.", "PENDING_GENERATION", offset_of!(Command, pending_generation)),
        ("Slot of the file.", "FILE_SLOT", offset_of!(Command, file_slot)),
        ("Generation of that slot.", "FILE_GENERATION", offset_of!(Command, file_generation)),
        ("Slot of the lease.", "LEASE_SLOT", offset_of!(Command, lease_slot)),
        ("Generation of that slot.", "LEASE_GENERATION", offset_of!(Command, lease_generation)),
        ("First byte of the lease to use.", "LEASE_OFFSET", offset_of!(Command, lease_offset)),
        ("Bytes to use.", "LENGTH", offset_of!(Command, length)),
        ("Must stay 0.", "ZERO", offset_of!(Command, zero)),
    ];
    for (about, name, offset) in words {
        script.word(about, &format!("COMMAND_{name}_WORD"), offset);
    }
    script.constant(
        "Byte position, new length or milliseconds, by opcode. The 16 bytes behind it must stay 0.",
        "COMMAND_OPERAND_DOUBLE",
        offset_of!(Command, operand) / 8,
    );

    script.line("\n// Completions.");
    script.word(
        "First word of completion 0.",
        "COMPLETIONS_WORD",
        Geometry::DEFAULT.completions().first_word * 8,
    );
    script.word("Words of one completion.", "COMPLETION_WORDS", COMPLETION_BYTES);
    let words = [
        ("As in the command.", "PENDING_SLOT", offset_of!(Completion, pending_slot)),
        ("As in the command.", "PENDING_GENERATION", offset_of!(Completion, pending_generation)),
        ("Signed. ≥ 0 the result, −1…−4095 minus an errno.", "RESULT", offset_of!(Completion, result)),
        ("0 until results are multishot.", "FLAGS", offset_of!(Completion, flags)),
    ];
    for (about, name, offset) in words {
        script.word(about, &format!("COMPLETION_{name}_WORD"), offset);
    }

    script.line("\n// What a write at once says beside bytes and errnos.");
    for (about, name, value) in [
        ("A command must do it.", "WRITE_ELSEWHERE", layout::WRITE_ELSEWHERE),
        ("A command must do it, and all others of this file.", "WRITE_NEVER", layout::WRITE_NEVER),
        ("There is time for it in the next turn.", "WRITE_NEXT_TURN", layout::WRITE_NEXT_TURN),
        ("The array has no such bytes any more.", "WRITE_GONE", layout::WRITE_GONE),
    ] {
        script.line(&format!("/** {about} */\nexport const {name} = {value};"));
    }

    script.line("\n// Opcodes. crates/command/src/opcode.rs says what each takes and gives.");
    for (opcode, name) in Opcode::ALL {
        script.line(&format!("export const OPCODE_{name} = {};", opcode as u8));
    }
    let last = Opcode::ALL.iter().map(|(opcode, _)| *opcode as u8).max().unwrap_or(0);
    let name = |number| {
        let found = Opcode::ALL.iter().find(|(opcode, _)| *opcode as u8 == number);
        format!("'{}'", found.map_or(String::new(), |(_, name)| name.to_lowercase()))
    };
    let names: Vec<_> = (0..=last).map(name).collect();
    script.constant(
        "Opcode number → name; empty where no opcode has the number.",
        "OPCODE_NAMES",
        format!("[{}] as const", names.join(", ")),
    );

    script
        .line("\n// Calls. crates/command/src/call.rs says what each takes and gives, and draws the block.");
    for (number, name) in CallNumber::ALL {
        script.line(&format!("export const CALL_{name} = {};", *number as u32));
    }
    script.line(&format!("export const CALL_FLAG_FOLLOW = {};", call::CALL_FOLLOW));
    script.line(&format!("export const CALL_FLAG_RECURSIVE = {};", call::CALL_RECURSIVE));
    script.line(&format!("export const CALL_FLAG_FORCE = {};", call::CALL_FORCE));
    script.line(&format!("export const CALL_FLAG_SYNC = {};", call::CALL_SYNC));
    script.line(&format!("export const CALL_FLAG_ALIGNMENT = {};", call::CALL_ALIGNMENT));
    script.line(&format!("export const ALLOCATE_AHEAD = {};", call::ALLOCATE_AHEAD));
    script.line(&format!("export const ALLOCATE_BACK = {};", call::ALLOCATE_BACK));
    script.constant(
        "In an open's result, beside the slot: reads and writes may wait for another process.",
        "OPENED_STREAM",
        ringwheel_command::layout::OPENED_STREAM,
    );
    script.constant("Bytes of a block before its paths.", "BLOCK_HEADER", call::BLOCK_HEADER);
    script.constant("The most bytes of a path.", "PATH_BYTES", call::PATH_BYTES);
    let words = [
        ("A CALL_ number.", "NUMBER", call::field::NUMBER),
        ("CALL_FLAG_ bits.", "FLAGS", call::field::FLAGS),
        ("Permission bits, or what else the call says.", "MODE", call::field::MODE),
        ("User id.", "UID", call::field::UID),
        ("Group id.", "GID", call::field::GID),
        ("Bytes of the first path.", "FIRST", call::field::FIRST),
        ("Bytes of the second path.", "SECOND", call::field::SECOND),
        ("Must be 0.", "ZERO", call::field::ZERO),
        ("Four words that must be 0.", "ZEROS", call::field::ZEROS),
    ];
    for (about, name, offset) in words {
        script.word(about, &format!("BLOCK_{name}_WORD"), offset);
    }
    script.constant("A time in seconds, or bytes.", "BLOCK_A_DOUBLE", call::field::A / 8);
    script.constant("A time in seconds, or permission bits.", "BLOCK_B_DOUBLE", call::field::B / 8);

    script.line("\n// Rejects: results of commands that were never run.");
    script.constant("Results at or below this are rejects.", "REJECT_CEILING", REJECT_CEILING);
    for (code, name, _) in RejectCode::ALL {
        script.line(&format!("export const REJECT_{name} = {};", code.result()));
    }
    script.line("/** Reject code → name and sentence. */");
    script.line(
        "export const REJECTS: ReadonlyMap<number, readonly [name: string, message: string]> = new Map([",
    );
    for (code, name, message) in RejectCode::ALL {
        script.line(&format!("  [{}, ['{name}', '{message}']],", code.result()));
    }
    script.line("]);");
    script.text
}

fn errno_text() -> String {
    let mut text = String::from(
        "// Linux errno numbers, names and messages. Generated from crates/xtask/src/errno.rs by `cargo xtask layout`; do not edit.\n\
         //\n\
         // Ask `util.getSystemErrorMap()` first: it knows the platform. This one is for what Node has no entry for, such as\n\
         // EDQUOT or ESTALE, and has the same shape: keys are negative.\n\n\
         /** Minus errno → name and message, on Linux. */\n\
         export const LINUX_ERRORS: ReadonlyMap<number, readonly [name: string, message: string]> = new Map([\n",
    );
    for (number, name, message) in errno::LINUX {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  [-{number}, ['{name}', '{message}']],");
    }
    text.push_str("]);\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_files_are_current() {
        check(&crate::root()).unwrap();
    }

    #[test]
    fn every_errno_is_there_once_in_order_and_quotable() {
        for pair in errno::LINUX.windows(2) {
            assert!(pair[0].0 < pair[1].0, "{} follows {}", pair[1].1, pair[0].1);
        }
        for (number, name, message) in errno::LINUX {
            assert!((1..=133).contains(&number));
            assert!(name.starts_with('E'));
            assert!(!message.is_empty() && !message.contains('\''));
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_errno_names_are_this_systems() {
        // The standard library knows some by kind: enough to see a shift in the numbers.
        for (name, kind) in [
            ("ENOENT", std::io::ErrorKind::NotFound),
            ("EACCES", std::io::ErrorKind::PermissionDenied),
            ("ENOTEMPTY", std::io::ErrorKind::DirectoryNotEmpty),
            ("EADDRINUSE", std::io::ErrorKind::AddrInUse),
            ("ESTALE", std::io::ErrorKind::StaleNetworkFileHandle),
            ("EDQUOT", std::io::ErrorKind::QuotaExceeded),
        ] {
            let (number, ..) = errno::LINUX.into_iter().find(|row| row.1 == name).unwrap();
            assert_eq!(std::io::Error::from_raw_os_error(number).kind(), kind, "{name}");
        }
    }
}
