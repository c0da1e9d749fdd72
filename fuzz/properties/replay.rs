//! Fuzzing without a fuzzer, for the stable toolchain: the corpus as it is, then mutated at random for a bounded time.
use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Hands every input of `fuzz/corpus/NAME` to `check`, then mutations of them, for RINGWHEEL_FUZZ_SECONDS (default 1).
/// Prints the seed and the input when `check` panics.
pub fn replay(name: &str, check: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut corpus: Vec<Vec<u8>> = Vec::new();
    for entry in entries.flatten() {
        corpus.extend(fs::read(entry.path()));
    }
    assert!(corpus.len() >= 3, "{} has too little to start from", folder.display());
    corpus.sort();

    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64);
    let seed = number("RINGWHEEL_FUZZ_SEED").unwrap_or_else(fresh);
    let until = Instant::now() + Duration::from_secs(number("RINGWHEEL_FUZZ_SECONDS").unwrap_or(1));
    let run = |input: &[u8]| {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| check(input))) {
            eprintln!(
                "{name} broke with RINGWHEEL_FUZZ_SEED={seed} on {} bytes: {}",
                input.len(),
                input.escape_ascii()
            );
            resume_unwind(payload);
        }
    };
    for input in &corpus {
        run(input);
    }
    let mut random = Random(seed | 1);
    while Instant::now() < until {
        // Many inputs between two looks at the clock.
        for _ in 0..64 {
            let mut input = corpus[random.below(corpus.len())].clone();
            for _ in 0..=random.below(8) {
                mutate(&mut input, &corpus, &mut random);
            }
            run(&input);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a whole number, not {text:?}")))
}

/// One change: a bit, a byte, a number that is likely to be wrong, a piece cut, repeated, or spliced in from another input.
fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.below(input.len() + 1);
    match random.below(8) {
        0 if at < input.len() => input[at] ^= 1 << random.below(8),
        1 if at < input.len() => input[at] = random.below(256) as u8,
        2 => {
            let value = [0, u64::MAX, 1 << 31, 1 << 32, 1 << 53, (-1.0f64).to_bits(), f64::NAN.to_bits()];
            let bytes = value[random.below(value.len())].to_le_bytes();
            for (place, byte) in input[at..].iter_mut().zip(bytes) {
                *place = byte;
            }
        }
        3 => input.truncate(at),
        4 => {
            let end = at + random.below(input.len() - at + 1);
            input.drain(at..end);
        }
        5 if input.len() < 8192 => {
            let piece = input[at..at + random.below(input.len() - at + 1)].to_vec();
            input.splice(at..at, piece);
        }
        6 if input.len() < 8192 => {
            let other = &corpus[random.below(corpus.len())];
            let start = random.below(other.len() + 1);
            let end = start + random.below(other.len() - start + 1);
            input.splice(at..at, other[start..end].iter().copied());
        }
        _ => {
            const TOKENS: [&[u8]; 12] =
                [b"\r\n", b"\r\n\r\n", b"\n", b"%2e", b"%00", b"/../", b"//", b",", b"-", b"\"", b":", b" "];
            input.splice(at..at, TOKENS[random.below(TOKENS.len())].iter().copied());
        }
    }
}

/// A small generator, so that a seed repeats a run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}
