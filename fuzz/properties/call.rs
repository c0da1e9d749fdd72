//! Any bytes are a call that keeps every rule, or break a rule that has a name.
use ringwheel_command::{
    Call,
    call::{BLOCK_HEADER, BLOCK_MAX, PATH_BYTES, Times, decode, number},
    layout::SAFE_INTEGER_MAX,
    reply::REJECT_CEILING,
};
use std::ffi::CStr;

/// Checks everything that `decode` promises about its answer.
pub fn check(bytes: &[u8]) {
    let mut block = bytes.to_vec();
    let asked = number(&block);
    match decode(&mut block) {
        Err(code) => assert!(code.result() < REJECT_CEILING),
        Ok(call) => {
            let asked = asked.expect("what has no number is no call");
            let paths = paths(&call);
            assert_eq!(paths.len(), asked.paths());
            let whole = BLOCK_HEADER + paths.iter().map(|path| path.count_bytes() + 1).sum::<usize>();
            assert!(bytes.len() == whole && whole <= BLOCK_MAX);
            let mut rest = &bytes[BLOCK_HEADER..];
            for path in paths {
                assert!(path.count_bytes() <= PATH_BYTES);
                assert!(rest.starts_with(path.to_bytes()), "the path is the one that was written");
                rest = &rest[path.count_bytes() + 1..];
            }
            match call {
                Call::SetTimes { times: Times { access, change }, .. }
                | Call::FileSetTimes { times: Times { access, change } } => {
                    assert!(access.is_finite() && change.is_finite());
                }
                Call::Truncate { length, .. }
                | Call::ReadFile { limit: length, .. }
                | Call::WriteFile { bytes: length, .. }
                | Call::FileReadRest { limit: length } => assert!(length <= SAFE_INTEGER_MAX),
                Call::FileAllocate { mode, position, length } => {
                    assert!(matches!(mode, 0 | 1 | 3) && length > 0);
                    assert!(position.max(length) <= SAFE_INTEGER_MAX);
                }
                Call::FileAdvise { advice, position, length } => {
                    assert!(advice <= 5 && position.max(length) <= SAFE_INTEGER_MAX);
                }
                _ => {}
            }
            let again = format!("{call:?}");
            assert_eq!(
                format!("{:?}", decode(&mut block)),
                format!("Ok({again})"),
                "decoding twice is the same"
            );
        }
    }
}

fn paths<'a>(call: &Call<'a>) -> Vec<&'a CStr> {
    match *call {
        Call::Access { path, .. }
        | Call::Stat { path, .. }
        | Call::StatFs { path }
        | Call::MakeDirectory { path, .. }
        | Call::MakeDirectories { path, .. }
        | Call::Unlink { path }
        | Call::RemoveDirectory { path }
        | Call::Remove { path, .. }
        | Call::ReadLink { path }
        | Call::RealPath { path }
        | Call::MakeTemporary { prefix: path }
        | Call::ChangeMode { path, .. }
        | Call::ChangeOwner { path, .. }
        | Call::SetTimes { path, .. }
        | Call::Truncate { path, .. }
        | Call::List { path, .. }
        | Call::ReadFile { path, .. }
        | Call::WriteFile { path, .. } => vec![path],
        Call::Rename { from, to }
        | Call::Link { from, to }
        | Call::SymbolicLink { target: from, path: to }
        | Call::Copy { from, to, .. } => vec![from, to],
        Call::FileStat { .. }
        | Call::FileChangeMode { .. }
        | Call::FileChangeOwner { .. }
        | Call::FileSetTimes { .. }
        | Call::FileEntries
        | Call::FileReadRest { .. }
        | Call::FileAllocate { .. }
        | Call::FileAdvise { .. } => vec![],
    }
}
