//! 4 KiB random reads: which offsets, when to stop, what is checked. A contender only reads and says what it got.
use crate::{Random, Report, Ticks, argument, percentile, process_cpu_ns};
use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// Bytes of one block, and of one read.
pub const BLOCK: usize = 4096;
/// Reads between two looks at the clock.
const LOOK: u32 = 16;
/// One read in so many has its time taken, in the last phase.
const SAMPLE: u32 = 8;
/// Reads that a phase has at least, on a machine that is busy with something else.
const READS_MIN: u64 = 200;
/// One block in so many is compared whole, in the first phase.
const WHOLE: u32 = 64;

/// Memory for one block, aligned as O_DIRECT wants it.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Block(pub [u8; BLOCK]);

impl Block {
    /// On the heap, zeroed.
    pub fn boxed() -> Box<Block> {
        Box::new(Block([0; BLOCK]))
    }
}

/// O_DIRECT.
pub fn direct_flag() -> i32 {
    rustix::fs::OFlags::DIRECT.bits().cast_signed()
}

/// First everything warms up, then reads and CPU are counted, then latencies are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Warm,
    Count,
    Time,
    Over,
}

/// One run: `reads FILE DEPTH SECONDS cached|direct`.
#[derive(Clone, Debug)]
pub struct ReadRun {
    /// The file of blocks that `benchmark/reads/blocks.mjs` makes.
    pub file: PathBuf,
    /// Readers at once.
    pub depth: usize,
    /// Past the page cache.
    pub direct: bool,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    blocks: u64,
    seconds: f64,
    begun: Instant,
    ticks: Ticks,
    phase: AtomicU32,
    complete: AtomicU64,
    /// `complete` when the phase began.
    before: AtomicU64,
    /// Time, CPU and reads at the beginning and end of the counting phase.
    marks: Mutex<Vec<(Instant, u64, u64)>>,
    samples: Mutex<Vec<u32>>,
    broken: AtomicBool,
}

impl ReadRun {
    /// Takes it from the command line.
    ///
    /// # Panics
    /// When an argument is missing, or the file is too short to have a block.
    pub fn begin() -> ReadRun {
        let file = PathBuf::from(argument(2).expect("a file to read"));
        let depth = argument(3).and_then(|text| text.parse().ok()).expect("how many reads at once");
        let seconds = argument(4).and_then(|text| text.parse().ok()).expect("how many seconds");
        let direct = argument(5).as_deref() == Some("direct");
        let blocks = std::fs::metadata(&file).expect("the file is there").len() / BLOCK as u64;
        assert!(blocks > 0, "the file has a block");
        let shared = Shared {
            blocks,
            seconds,
            ticks: Ticks::calibrated(),
            begun: Instant::now(),
            phase: AtomicU32::new(0),
            complete: AtomicU64::new(0),
            before: AtomicU64::new(0),
            marks: Mutex::new(Vec::new()),
            samples: Mutex::new(Vec::new()),
            broken: AtomicBool::new(false),
        };
        ReadRun { file, depth, direct, shared: Arc::new(shared) }
    }

    /// O_DIRECT, or nothing: to be added to the flags of open(2).
    pub fn flags(&self) -> i32 {
        if self.direct { direct_flag() } else { 0 }
    }

    /// Opens the file as std has it, for runtimes that take one.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub fn open(&self) -> std::fs::File {
        use std::os::unix::fs::OpenOptionsExt;
        let mut options = std::fs::OpenOptions::new();
        options.read(true).custom_flags(self.flags()).open(&self.file).expect("the file opens")
    }

    /// The reader `number`, below `depth`.
    pub fn reader(&self, number: usize) -> Reader {
        Reader {
            shared: self.shared.clone(),
            random: Random::new(number as u64 + 1),
            reads: 0,
            block: 0,
            start: 0,
            phase: Phase::Warm,
            samples: Vec::new(),
        }
    }

    /// Prints reads a second, CPU per read and latencies, once all readers have ended.
    ///
    /// # Panics
    /// When a reader ended early or got wrong bytes.
    pub fn finish(self) {
        assert!(!self.shared.broken.load(Relaxed), "every reader read to the end");
        let marks = self.shared.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let [(start, cpu_before, before), (end, cpu_after, after)] = marks[..] else {
            panic!("the time was too short to measure anything")
        };
        let reads = (after - before) as f64;
        let mut samples = self.shared.samples.lock().unwrap_or_else(PoisonError::into_inner);
        Report::default()
            .with("reads", reads / (end - start).as_secs_f64())
            .with("CPU", (cpu_after - cpu_before) as f64 / reads / 1e3)
            .with("p50", percentile(&mut samples, 0.5) / 1e3)
            .with("p99", percentile(&mut samples, 0.99) / 1e3)
            .print();
    }
}

/// One of the readers. Ask for an offset, read there, tell what came; until there is no offset any more.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    random: Random,
    reads: u32,
    block: u64,
    start: u64,
    phase: Phase,
    samples: Vec<u32>,
}

impl std::fmt::Debug for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "phase {}", *self as u32)
    }
}

impl Reader {
    /// Where to read next. `None`: it is over.
    #[inline]
    pub fn next_offset(&mut self) -> Option<u64> {
        if self.reads.is_multiple_of(LOOK) {
            self.shared.look();
            self.phase = self.shared.phase();
        }
        match self.phase {
            Phase::Over => return None,
            Phase::Time if self.reads.is_multiple_of(SAMPLE) => self.start = self.shared.ticks.now(),
            Phase::Warm | Phase::Count | Phase::Time => {}
        }
        self.block = self.random.below(self.shared.blocks);
        Some(self.block * BLOCK as u64)
    }

    /// What the read brought: its length and first word are checked, now and then every byte.
    ///
    /// # Panics
    /// When they are not the block's.
    #[inline]
    pub fn got(&mut self, bytes: &[u8]) {
        if self.phase == Phase::Time && self.reads.is_multiple_of(SAMPLE) {
            self.samples.push(self.shared.ticks.nanoseconds_since(self.start) as u32);
        }
        let first = bytes.first_chunk().map(|word| u32::from_le_bytes(*word));
        assert!(bytes.len() == BLOCK && first == Some(first_word(self.block)), "block {} came", self.block);
        if self.phase == Phase::Warm && self.reads.is_multiple_of(WHOLE) {
            check_whole(bytes, self.block);
        }
        self.reads = self.reads.wrapping_add(1);
        // All readers run on one thread: no read-modify-write is needed.
        let complete = self.shared.complete.load(Relaxed);
        self.shared.complete.store(complete + 1, Relaxed);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if self.phase != Phase::Over {
            self.shared.broken.store(true, Relaxed);
        }
        self.shared.samples.lock().unwrap_or_else(PoisonError::into_inner).append(&mut self.samples);
    }
}

impl Shared {
    fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Warm,
            1 => Phase::Count,
            2 => Phase::Time,
            _ => Phase::Over,
        }
    }

    /// Goes on to the next phase when it is time.
    fn look(&self) {
        let warm = self.seconds.min(0.2);
        let end = match self.phase() {
            Phase::Warm => warm,
            Phase::Count => warm + self.seconds,
            Phase::Time => warm + self.seconds * 1.5,
            Phase::Over => return,
        };
        let complete = self.complete.load(Relaxed);
        if self.begun.elapsed() < Duration::from_secs_f64(end)
            || complete - self.before.load(Relaxed) < READS_MIN
        {
            return;
        }
        self.before.store(complete, Relaxed);
        let phase = self.phase.load(Relaxed);
        if phase < 2 {
            let mark = (Instant::now(), process_cpu_ns(), complete);
            self.marks.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
        }
        self.phase.store(phase + 1, Relaxed);
    }
}

/// The first word of a block, as `blocks.mjs` writes it.
#[inline]
fn first_word(block: u64) -> u32 {
    (block as u32).wrapping_add(1).wrapping_mul(0x9E37_79B1)
}

#[cold]
fn check_whole(bytes: &[u8], block: u64) {
    let mut word = first_word(block).max(1);
    for (at, found) in bytes.chunks_exact(4).enumerate().skip(1) {
        word ^= word << 13;
        word ^= word >> 17;
        word ^= word << 5;
        assert!(found == word.to_le_bytes(), "word {at} of block {block} came");
    }
}
