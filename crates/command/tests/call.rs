//! Any bytes are a call that keeps every rule, or are rejected by the first rule they break.
#[path = "../../../fuzz/properties/call.rs"]
mod property;

use proptest::prelude::*;
use ringwheel_command::{
    Call, CallNumber, RejectCode,
    call::{
        BLOCK_HEADER, BLOCK_MAX, CALL_ALIGNMENT, CALL_FOLLOW, CALL_FORCE, CALL_RECURSIVE, Owner, PATH_BYTES,
        Times, decode, field,
    },
};

/// A block as JavaScript writes it.
struct Block {
    number: u32,
    words: Vec<(usize, u32)>,
    doubles: Vec<(usize, f64)>,
    paths: Vec<Vec<u8>>,
}

impl Block {
    fn new(number: CallNumber, paths: &[&[u8]]) -> Block {
        let paths = paths.iter().map(|path| path.to_vec()).collect();
        Block { number: number as u32, words: vec![], doubles: vec![], paths }
    }
    fn word(mut self, at: usize, value: u32) -> Block {
        self.words.push((at, value));
        self
    }
    fn double(mut self, at: usize, value: f64) -> Block {
        self.doubles.push((at, value));
        self
    }
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; BLOCK_HEADER];
        let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        put(field::NUMBER, self.number);
        for (path, at) in self.paths.iter().zip([field::FIRST, field::SECOND]) {
            put(at, path.len() as u32);
        }
        for (at, word) in &self.words {
            put(*at, *word);
        }
        for (at, double) in &self.doubles {
            bytes[*at..at + 8].copy_from_slice(&double.to_le_bytes());
        }
        for path in &self.paths {
            bytes.extend_from_slice(path);
            bytes.push(b'?'); // Whatever was there before.
        }
        bytes
    }
}

fn rejected(block: &Block) -> RejectCode {
    decode(&mut block.bytes()).expect_err("it breaks a rule")
}

#[test]
fn calls_are_decoded_field_by_field() {
    let mut stat = Block::new(CallNumber::Stat, &[b"/etc/passwd"]).word(field::FLAGS, CALL_FOLLOW).bytes();
    assert_eq!(decode(&mut stat), Ok(Call::Stat { path: c"/etc/passwd", follow: true }));
    let mut rename = Block::new(CallNumber::Rename, &[b"from", b""]).bytes();
    assert_eq!(decode(&mut rename), Ok(Call::Rename { from: c"from", to: c"" }));
    let flags = CALL_RECURSIVE | CALL_FORCE;
    let mut remove = Block::new(CallNumber::Remove, &[b"tree"]).word(field::FLAGS, flags).bytes();
    assert_eq!(decode(&mut remove), Ok(Call::Remove { path: c"tree", recursive: true, force: true }));
    let mut chown =
        Block::new(CallNumber::ChangeOwner, &[b"x"]).word(field::UID, 7).word(field::GID, u32::MAX).bytes();
    let owner = Owner { uid: Some(7), gid: None };
    assert_eq!(decode(&mut chown), Ok(Call::ChangeOwner { path: c"x", owner, follow: false }));
    let mut times =
        Block::new(CallNumber::FileSetTimes, &[]).double(field::A, 1.5).double(field::B, -2.0).bytes();
    let expected = Times { access: 1.5, change: -2.0 };
    assert_eq!(decode(&mut times), Ok(Call::FileSetTimes { times: expected }));
    let mut read =
        Block::new(CallNumber::ReadFile, &[b"f"]).word(field::MODE, 1).double(field::A, 4096.0).bytes();
    assert_eq!(decode(&mut read), Ok(Call::ReadFile { path: c"f", flags: 1, limit: 4096 }));
    let mut allocate = range(CallNumber::FileAllocate, 3, 4096.0, 1.0).bytes();
    assert_eq!(decode(&mut allocate), Ok(Call::FileAllocate { mode: 3, position: 4096, length: 1 }));
    let mut advise = range(CallNumber::FileAdvise, 4, 7.0, 0.0).bytes();
    assert_eq!(decode(&mut advise), Ok(Call::FileAdvise { advice: 4, position: 7, length: 0 }));
}

fn range(number: CallNumber, mode: u32, position: f64, length: f64) -> Block {
    Block::new(number, &[]).word(field::MODE, mode).double(field::A, position).double(field::B, length)
}

#[test]
fn each_rule_has_its_code() {
    use RejectCode as Code;
    let stat = || Block::new(CallNumber::Stat, &[b"path"]);
    let utimes = |value| Block::new(CallNumber::SetTimes, &[b"path"]).double(field::B, value);
    let truncate = |value| Block::new(CallNumber::Truncate, &[b"path"]).double(field::A, value);
    let cases = [
        (stat().word(field::NUMBER, 0), Code::Call),
        (stat().word(field::NUMBER, 10_000), Code::Call),
        (stat().word(field::FLAGS, 2), Code::Flags),
        (stat().word(field::FLAGS, 1 << 31), Code::Flags),
        (stat().word(field::ZERO, 1), Code::Reserved),
        (stat().word(field::ZEROS, 1), Code::Reserved),
        (stat().word(field::ZEROS + 12, 1), Code::Reserved),
        (stat().word(field::FIRST, 3), Code::Block),
        (stat().word(field::FIRST, 5), Code::Block),
        (stat().word(field::FIRST, u32::MAX), Code::Path),
        (stat().word(field::SECOND, 1), Code::Block),
        (Block::new(CallNumber::FileStat, &[b"path"]), Code::Block),
        (Block::new(CallNumber::FileStat, &[]).word(field::FLAGS, 1), Code::Flags),
        (stat().word(field::FLAGS, CALL_ALIGNMENT), Code::Flags),
        (Block::new(CallNumber::Unlink, &[b"a\0b"]), Code::Path),
        (Block::new(CallNumber::Unlink, &[b"\0"]), Code::Path),
        (Block::new(CallNumber::Rename, &[b"a", b"b\0"]), Code::Path),
        (Block::new(CallNumber::Unlink, &[&[b'a'; PATH_BYTES + 1]]), Code::Path),
        (utimes(f64::NAN), Code::Block),
        (utimes(f64::INFINITY), Code::Block),
        (truncate(-1.0), Code::Position),
        (truncate(0.5), Code::Position),
        (truncate(9_007_199_254_740_992.0), Code::Position),
        (range(CallNumber::FileAllocate, 2, 0.0, 1.0), Code::Block),
        (range(CallNumber::FileAllocate, 0, 0.0, 0.0), Code::Position),
        (range(CallNumber::FileAllocate, 0, -1.0, 1.0), Code::Position),
        (range(CallNumber::FileAdvise, 6, 0.0, 0.0), Code::Block),
        (range(CallNumber::FileAdvise, 0, 0.5, 0.0), Code::Position),
        (range(CallNumber::FileAdvise, 0, 0.0, -1.0), Code::Position),
    ];
    for (block, code) in cases {
        assert_eq!(rejected(&block), code, "{}", block.bytes().escape_ascii());
    }
    assert_eq!(decode(&mut []), Err(Code::Block));
    assert_eq!(decode(&mut [0; BLOCK_HEADER - 1]), Err(Code::Block));
    assert_eq!(decode(&mut [2; BLOCK_MAX + 1]), Err(Code::Block));
    let longest = [b'a'; PATH_BYTES];
    assert!(decode(&mut Block::new(CallNumber::Rename, &[&longest, &longest]).bytes()).is_ok());
}

#[test]
fn numbers_and_calls_are_one_to_one() {
    let known = (0..=1000).filter_map(|number| Some((number, CallNumber::from_number(number)?)));
    let known: Vec<_> = known.collect();
    assert!(known.iter().all(|(number, call)| *call as u32 == *number));
    assert_eq!(known.len(), CallNumber::ALL.len());
    assert!(known.iter().all(|(_, call)| call.paths() == 0 || !call.takes_file()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]
    #[test]
    fn any_bytes_are_a_call_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        property::check(&bytes);
    }

    #[test]
    fn plausible_blocks_keep_every_rule(
        number in 0u32..32,
        paths in prop::collection::vec(prop::collection::vec(1u8.., 0..20), 0..3),
        words in prop::collection::vec((0usize..16, any::<u32>()), 0..3),
        doubles in [any::<f64>(), any::<f64>()],
        sane in any::<bool>(),
    ) {
        let mut block = Block { number, words: vec![], doubles: vec![(field::A, doubles[0]), (field::B, doubles[1])], paths };
        if !sane {
            block.words.extend(words.into_iter().map(|(at, word)| (at * 4, word)));
        }
        property::check(&block.bytes());
    }
}
