//! CALL: what JavaScript's side may ask, and what becomes of leases, files, jobs and answers, on both drivers.
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
mod common;
use common::both_drivers;
use ringwheel_command::{
    CallNumber, Command, Completion, Consumer, FileId, Geometry, Opcode, PendingId, Producer, Region,
    RejectCode, ScriptSide,
    call::{BLOCK_HEADER, CALL_FOLLOW, CALL_RECURSIVE, field},
    layout::{COMMAND_WORDS, COMPLETION_WORDS, OPENED_STREAM},
};
use ringwheel_counts::{Counting, allocations_here, check};
use ringwheel_driver::LeaseId;
use ringwheel_executor::{
    DriverKind, Executor, Park,
    bridge::{Bridge, plain_open},
};
use std::{
    collections::HashMap,
    ffi::CString,
    fs,
    os::unix::{ffi::OsStrExt, fs::OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const ENOENT: i32 = -2;
const ECANCELED: i32 = -125;

/// JavaScript's side, played by the test.
struct Script {
    executor: Executor,
    bridge: Bridge,
    commands: Producer<Region, COMMAND_WORDS>,
    completions: Consumer<Region, COMPLETION_WORDS>,
    answers: HashMap<u32, Completion>,
    next: u32,
}

impl Script {
    fn new(mut executor: Executor) -> Script {
        let region = Region::owned(Geometry::DEFAULT);
        let ScriptSide { commands, completions } = region.script_side();
        let arena = executor.edge(|edge| edge.driver.arena().clone()).unwrap();
        let bridge = Bridge::new(region, arena, None);
        Script { executor, bridge, commands, completions, answers: HashMap::new(), next: 0 }
    }

    fn lease(&mut self, bytes: usize) -> LeaseId {
        self.bridge.lease(bytes).unwrap().0
    }

    fn put(&mut self, lease: LeaseId, bytes: &[u8]) {
        self.bridge.with_lease(lease, |_, place| place[..bytes.len()].copy_from_slice(bytes)).unwrap();
    }

    fn got(&mut self, lease: LeaseId, length: usize) -> Vec<u8> {
        self.bridge.with_lease(lease, |_, place| place[..length].to_vec()).unwrap()
    }

    /// Writes a command; returns its pending slot.
    fn send(&mut self, mut command: Command) -> u32 {
        command.pending_slot = self.next;
        command.pending_generation = 1;
        self.next += 1;
        self.commands.push(command.to_words()).unwrap();
        self.commands.publish();
        command.pending_slot
    }

    fn call(&mut self, lease: LeaseId, file: FileId, block: &[u8]) -> u32 {
        self.put(lease, block);
        self.call_of(lease, file, block.len())
    }

    /// The same with a block that lies there already.
    fn call_again(&mut self, lease: LeaseId, length: usize) -> u32 {
        self.call_of(lease, NO_FILE, length)
    }

    fn call_of(&mut self, lease: LeaseId, file: FileId, length: usize) -> u32 {
        self.send(Command {
            opcode: Opcode::Call as u8,
            file_slot: file.slot,
            file_generation: file.generation,
            lease_slot: lease.slot,
            lease_generation: lease.generation,
            length: length as u32,
            ..Command::ZERO
        })
    }

    fn cancel(&mut self, slot: u32) {
        let opcode = Opcode::Cancel as u8;
        let cancel = Command { opcode, pending_slot: slot, pending_generation: 1, ..Command::ZERO };
        self.commands.push(cancel.to_words()).unwrap();
        self.commands.publish();
    }

    fn turn(&mut self) {
        let turn = self.executor.turn(&mut self.bridge, Park::No);
        assert!(turn.panic.is_none() && turn.driver_error.is_none());
        self.bridge.publish();
        let mut batch = self.completions.batch().unwrap();
        while let Some(words) = batch.peek() {
            let completion = Completion::from_words(words);
            assert!(self.answers.insert(completion.pending_slot, completion).is_none(), "answered once");
            batch.advance();
        }
    }

    fn answer(&mut self, slot: u32) -> Completion {
        let until = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(answer) = self.answers.remove(&slot) {
                return answer;
            }
            assert!(Instant::now() < until, "no answer in a minute");
            self.turn();
            std::thread::yield_now();
        }
    }

    fn ask(&mut self, lease: LeaseId, block: &[u8]) -> Completion {
        let slot = self.call(lease, NO_FILE, block);
        self.answer(slot)
    }

    fn open(&mut self, path: &Path, flags: i32) -> FileId {
        let pending = PendingId { slot: self.next, generation: 1 };
        self.next += 1;
        let path = CString::new(path.as_os_str().as_bytes()).unwrap();
        let Script { executor, bridge, .. } = self;
        executor.edge(|edge| bridge.open(edge, pending, plain_open(path, flags, 0))).unwrap().unwrap();
        let opened = self.answer(pending.slot);
        assert!(opened.result >= 0, "{opened:?}");
        FileId { slot: (opened.result & !OPENED_STREAM) as u32, generation: opened.flags }
    }

    fn driver(&self) -> &'static str {
        if self.executor.driver_kind() == DriverKind::Uring { "uring" } else { "poll" }
    }
}

const NO_FILE: FileId = FileId { slot: 0, generation: 0 };

fn block(number: CallNumber, flags: u32, a: f64, paths: &[&Path]) -> Vec<u8> {
    let mut bytes = vec![0; BLOCK_HEADER];
    let mut put = |at: usize, word: u32| bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
    put(field::NUMBER, number as u32);
    put(field::FLAGS, flags);
    for (path, at) in paths.iter().zip([field::FIRST, field::SECOND]) {
        put(at, path.as_os_str().len() as u32);
    }
    bytes[field::A..field::A + 8].copy_from_slice(&a.to_le_bytes());
    for path in paths {
        bytes.extend_from_slice(path.as_os_str().as_bytes());
        bytes.push(b'?');
    }
    bytes
}

/// A directory of the test's own, gone with this value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let unique =
            format!("ringwheel-calls-{name}-{}-{:?}", std::process::id(), std::thread::current().id());
        let path = std::env::temp_dir().join(unique);
        fs::create_dir(&path).unwrap();
        Folder(path)
    }
    fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

#[test]
fn answers_come_in_the_range_or_as_a_parcel() {
    both_drivers(|executor| {
        let folder = Folder::new("answers");
        let mut script = Script::new(executor);
        let lease = script.lease(1024);
        let path = folder.file("file", &[7; 3000]);
        let stat = script.ask(lease, &block(CallNumber::Stat, CALL_FOLLOW, 0.0, &[&path]));
        assert_eq!((stat.result, stat.flags), (256 + 14 * 8, 0));
        assert_eq!(script.got(lease, 48)[40..48], 3000_u64.to_le_bytes());
        let missing = folder.0.join("missing");
        let missing = script.ask(lease, &block(CallNumber::Stat, 0, 0.0, &[&missing]));
        assert_eq!((missing.result, missing.flags), (ENOENT, 0));
        let made = script.ask(lease, &block(CallNumber::MakeTemporary, 0, 0.0, &[&folder.0.join("made-")]));
        let made = script.got(lease, made.result as usize);
        assert!(fs::metadata(std::ffi::OsStr::from_bytes(&made)).unwrap().is_dir());
        let read = script.ask(lease, &block(CallNumber::ReadFile, 0, 1e6, &[&path]));
        assert_eq!(read.result, 3000);
        assert_ne!(read.flags, 0, "longer than the range");
        let mut parcel = script.bridge.take_parcel(read.flags).unwrap();
        assert_eq!(parcel.bytes_mut(), [7; 3000]);
        assert!(script.bridge.take_parcel(read.flags).is_none());
        let large = script.lease(8192);
        let read = script.ask(large, &block(CallNumber::ReadFile, 0, 1e6, &[&path]));
        assert_eq!((read.result, read.flags), (3000, 0));
        assert_eq!(script.got(large, 3000), [7; 3000]);
    });
}

#[test]
fn what_makes_no_sense_is_refused_and_its_lease_comes_back() {
    both_drivers(|executor| {
        let folder = Folder::new("refused");
        let mut script = Script::new(executor);
        let lease = script.lease(1024);
        let path = folder.file("file", b"");
        let stat = block(CallNumber::Stat, 0, 0.0, &[&path]);
        let nul = block(CallNumber::Unlink, 0, 0.0, &[Path::new("a\0b")]);
        let mut flags = stat.clone();
        flags[field::FLAGS] = 0x80;
        for (bytes, code) in [
            (vec![0; 64], RejectCode::Call),
            (stat[..stat.len() - 1].to_vec(), RejectCode::Block),
            ([stat.as_slice(), b"x"].concat(), RejectCode::Block),
            (flags, RejectCode::Flags),
            (nul, RejectCode::Path),
            (block(CallNumber::FileStat, 0, 0.0, &[]), RejectCode::StaleFile),
            (block(CallNumber::Truncate, 0, f64::NAN, &[&path]), RejectCode::Position),
            (block(CallNumber::WriteFile, 0, 1e6, &[&path]), RejectCode::LeaseRange),
        ] {
            let answer = script.ask(lease, &bytes);
            assert_eq!(answer.result, code.result(), "{}", bytes.escape_ascii());
            script.got(lease, 1); // It is in JavaScript's hand.
        }
        let command = |length, offset, generation| Command {
            opcode: Opcode::Call as u8,
            lease_slot: lease.slot,
            lease_generation: generation,
            lease_offset: offset,
            length,
            ..Command::ZERO
        };
        for (command, code) in [
            (command(63, 0, lease.generation), RejectCode::Block),
            (command(100_000, 0, lease.generation), RejectCode::Block),
            (command(1024, 1, lease.generation), RejectCode::LeaseRange),
            (command(2048, 0, lease.generation), RejectCode::LeaseRange),
            (command(64, 0, lease.generation + 1), RejectCode::StaleLease),
        ] {
            let slot = script.send(command);
            assert_eq!(script.answer(slot).result, code.result(), "{command:?}");
        }
        script.bridge.release(lease).unwrap();
        let slot = script.send(command(64, 0, lease.generation));
        assert_eq!(script.answer(slot).result, RejectCode::StaleLease.result());
        assert_eq!(script.bridge.call_stats().here, 0, "nothing of this was run");
    });
}

#[test]
fn an_open_file_is_asked_by_its_name_and_a_closed_one_is_not() {
    both_drivers(|executor| {
        let folder = Folder::new("file");
        let mut script = Script::new(executor);
        let lease = script.lease(4096);
        let path = folder.file("file", b"content");
        let file = script.open(&path, 0);
        let slot = script.call(lease, file, &block(CallNumber::FileReadRest, 0, 1e12, &[]));
        assert_eq!(script.answer(slot).result, 7);
        assert_eq!(script.got(lease, 7), b"content");
        let slot = script.call(lease, file, &block(CallNumber::FileEntries, 0, 0.0, &[]));
        assert_eq!(script.answer(slot).result, -20, "no directory");
        let close = Command {
            opcode: Opcode::Close as u8,
            file_slot: file.slot,
            file_generation: file.generation,
            ..Command::ZERO
        };
        let slot = script.send(close);
        assert_eq!(script.answer(slot).result, 0);
        let slot = script.call(lease, file, &block(CallNumber::FileStat, 0, 0.0, &[]));
        assert_eq!(script.answer(slot).result, RejectCode::StaleFile.result());
    });
}

/// FALLOC_FL_KEEP_SIZE, and with FALLOC_FL_PUNCH_HOLE.
const KEEP_SIZE: u32 = 1;
const PUNCH_HOLE: u32 = 3;
const ESPIPE: i32 = -29;
const EBADF: i32 = -9;

#[test]
fn blocks_are_allocated_and_punched_and_advice_reaches_the_kernel() {
    use std::os::unix::fs::MetadataExt;
    both_drivers(|executor| {
        let folder = Folder::new("blocks");
        let mut script = Script::new(executor);
        let lease = script.lease(4096);
        let path = folder.file("file", &[7; 1 << 20]);
        let file = script.open(&path, 2);
        let mut ask = |file, number, mode: u32, position: f64, length: f64| {
            let mut bytes = block(number, 0, position, &[]);
            bytes[field::MODE..field::MODE + 4].copy_from_slice(&mode.to_le_bytes());
            bytes[field::B..field::B + 8].copy_from_slice(&length.to_le_bytes());
            let slot = script.call(lease, file, &bytes);
            script.answer(slot).result
        };
        let seen = || fs::metadata(&path).map(|stat| (stat.len(), stat.blocks() * 512)).unwrap();
        let size = seen().0;
        assert_eq!(ask(file, CallNumber::FileAllocate, KEEP_SIZE, 1e6, 1e7), 0);
        let (kept, more) = seen();
        assert_eq!(kept, size, "the length stays");
        assert!(more >= 11_000_000, "blocks are there: {more}");
        assert_eq!(ask(file, CallNumber::FileAllocate, 0, 0.0, 2e6), 0);
        assert_eq!(seen().0, 2_000_000, "the length grows");
        // Behind the end of a file ext4 punches nothing.
        assert_eq!(ask(file, CallNumber::FileAllocate, PUNCH_HOLE, 0.0, 2e6), 0);
        let (kept, fewer) = seen();
        assert_eq!(kept, 2_000_000);
        assert!(fewer + 1_500_000 < more, "blocks are gone: {fewer} of {more}");
        assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == 0), "a hole is zeros");
        for advice in 0..6 {
            for length in [0.0, 4096.0, 1e9] {
                assert_eq!(ask(file, CallNumber::FileAdvise, advice, 4096.0, length), 0, "{advice}");
            }
        }
        let pipe = fifo(&folder);
        let pipe = script.open(&pipe, 2);
        let mut bytes = block(CallNumber::FileAdvise, 0, 0.0, &[]);
        let slot = script.call(lease, pipe, &bytes);
        assert_eq!(script.answer(slot).result, ESPIPE);
        bytes = block(CallNumber::FileAllocate, 0, 0.0, &[]);
        bytes[field::B..field::B + 8].copy_from_slice(&1.0_f64.to_le_bytes());
        let readable = script.open(&path, 0);
        let slot = script.call(lease, readable, &bytes);
        assert_eq!(script.answer(slot).result, EBADF, "not open for writing");
    });
}

#[test]
fn calls_of_one_turn_stay_within_a_budget_and_all_are_answered() {
    both_drivers(|executor| {
        let mut script = Script::new(executor);
        let lease = script.lease(4096);
        // Each walks a long path: thousands take longer than a turn's budget. Their answers leave the block alone.
        let path = "/usr/..".repeat(500);
        let asked = block(CallNumber::Access, 0, 0.0, &[Path::new(&path)]);
        let before = script.executor.stats().turns;
        script.put(lease, &asked);
        // While a slow one of a busy machine has the lease on the pool, the others are refused and cost nothing: so more than one round.
        for _ in 0..200 {
            if script.bridge.call_stats().postponed > 0 {
                break;
            }
            let slots: Vec<_> = (0..1000).map(|_| script.call_again(lease, asked.len())).collect();
            for slot in slots {
                // One lease for all: while the pool has it, others find it gone.
                let result = script.answer(slot).result;
                assert!(result == 0 || result == RejectCode::StaleLease.result(), "{result}");
            }
        }
        let stats = script.bridge.call_stats();
        assert!(stats.postponed > 0, "{stats:?}");
        assert!(script.executor.stats().turns - before > stats.postponed, "each ends its turn");
    });
}

/// A FIFO, of which nobody reads or writes the other end.
fn fifo(folder: &Folder) -> PathBuf {
    let path = folder.0.join("fifo");
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: needs a NUL-terminated string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    path
}

#[test]
fn jobs_are_cancelled_while_they_wait_and_between_their_steps() {
    both_drivers(|executor| {
        let folder = Folder::new("cancel");
        let mut script = Script::new(executor);
        let path = fifo(&folder);
        // Each waits for the FIFO's other end, on a thread of its own.
        let leases: Vec<_> = (0..5).map(|_| script.lease(512)).collect();
        let copies: Vec<_> = (0..5).map(|index| folder.0.join(format!("copy{index}"))).collect();
        let copy = |copy: &PathBuf| block(CallNumber::Copy, 0, 0.0, &[&path, copy]);
        let slots: Vec<_> =
            leases.iter().zip(&copies).map(|(lease, to)| script.call(*lease, NO_FILE, &copy(to))).collect();
        for _ in 0..100 {
            script.turn();
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(script.answers.is_empty());
        assert!(script.bridge.release(leases[0]).is_err(), "the lease is in the operation's hand (INV-3)");
        for slot in &slots {
            script.cancel(*slot);
        }
        for slot in &slots {
            assert_eq!(script.answer(*slot).result, ECANCELED);
        }
        let writer = fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(&path);
        assert!(writer.is_err(), "nobody has it open any more (INV-7)");
        assert!(copies.iter().all(|copy| !copy.exists()));
        leases.into_iter().for_each(|lease| script.bridge.release(lease).unwrap());
    });
}

#[test]
fn a_long_job_ends_at_its_next_step() {
    both_drivers(|executor| {
        let folder = Folder::new("steps");
        for index in 0..400 {
            fs::create_dir_all(folder.0.join(format!("tree/{index}/a/b"))).unwrap();
        }
        let mut script = Script::new(executor);
        let lease = script.lease(4096);
        let tree = folder.0.join("tree");
        let list = block(CallNumber::List, CALL_RECURSIVE, 0.0, &[&tree]);
        let slot = script.call(lease, NO_FILE, &list);
        script.turn();
        script.cancel(slot);
        let answer = script.answer(slot);
        // It may have been faster.
        assert!(answer.result == ECANCELED || answer.result > 0, "{answer:?}");
        if answer.flags != 0 {
            assert!(script.bridge.take_parcel(answer.flags).is_some());
        }
        let remove = script.ask(lease, &block(CallNumber::Remove, CALL_RECURSIVE, 0.0, &[&tree]));
        assert_eq!(remove.result, 0);
        assert!(!tree.exists());
    });
}

#[test]
fn a_job_that_outlives_its_executor_keeps_its_file() {
    for kind in common::kinds() {
        // On a busy machine the job may not have begun yet: then it is cancelled, and this is tried again.
        let outlived = (0..50).any(|_| outlives(common::start(kind, |_| {})));
        assert!(outlived, "a job that reads a long file begins at some time, and looks up only now and then");
    }
}

/// False when the job had not begun as its executor ended.
fn outlives(executor: Executor) -> bool {
    let folder = Folder::new("outlives");
    let mut script = Script::new(executor);
    // Zeros that take seconds to read.
    let path = folder.0.join("long");
    fs::File::create(&path).unwrap().set_len(16 << 30).unwrap();
    let file = script.open(&path, 0);
    let descriptor = script.bridge.file_descriptor(file).unwrap();
    let lease = script.lease(512);
    let slot = script.call(lease, file, &block(CallNumber::FileReadRest, 0, 1e12, &[]));
    for _ in 0..20 {
        script.turn();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!script.answers.contains_key(&slot), "it is a long file");
    let Script { executor, bridge, .. } = script;
    bridge.cancel_calls();
    let report = executor.shutdown(Duration::ZERO); // Sooner than the job looks whether it is still wanted.
    drop(bridge);
    if report.driver.leaked == 0 {
        return false;
    }
    let link = format!("/proc/self/fd/{descriptor}");
    let still_open = || fs::read_link(&link).is_ok_and(|target| target == path);
    assert!(still_open(), "what the job reads from stays open (INV-1)");
    std::thread::sleep(Duration::from_millis(60)); // The job looks up, finds nobody to tell, and is gone.
    assert!(still_open());
    true
}

#[test]
fn what_is_never_taken_goes_with_the_bridge() {
    both_drivers(|executor| {
        let folder = Folder::new("untaken");
        let mut script = Script::new(executor);
        let lease = script.lease(512);
        let path = folder.file("file", &vec![1; 5 << 20]);
        for _ in 0..3 {
            let read = script.ask(lease, &block(CallNumber::ReadFile, 0, 1e9, &[&path]));
            assert_eq!(read.result, 5 << 20);
        }
        let stats = script.bridge.call_stats();
        assert_eq!((stats.parcels, stats.parcels_waiting), (3, 3));
        let Script { executor, bridge, .. } = script;
        let report = executor.shutdown(Duration::from_secs(5));
        assert_eq!(report.driver.leaked, 0);
        drop(bridge);
    });
}

#[test]
fn memory_that_is_given_back_is_read_into_again() {
    both_drivers(|executor| {
        let folder = Folder::new("spare");
        let mut script = Script::new(executor);
        let lease = script.lease(512);
        let (long, short) = (folder.file("long", &vec![1; 1 << 20]), folder.file("short", &vec![2; 600_000]));
        let mut read = |path: &_, byte: u8, size: usize| {
            let read = script.ask(lease, &block(CallNumber::ReadFile, 0, 1e9, &[path]));
            let mut parcel = script.bridge.take_parcel(read.flags).unwrap();
            assert!(parcel.length() == size && parcel.bytes_mut().iter().all(|each| *each == byte));
            (parcel, script.bridge.call_stats())
        };
        let (held, before) = read(&long, 1, 1 << 20);
        assert_eq!((before.parcels_reused, before.spare_bytes), (0, 0), "what is held is nobody else's");
        drop(held);
        let (again, after) = read(&short, 2, 600_000);
        assert_eq!((after.parcels_reused, after.spare_bytes), (1, 0));
        drop(again);
        let stats = script.bridge.call_stats();
        assert_eq!((stats.spare_bytes, stats.spare_bytes_max), (1 << 20, 32 << 20));
        script.bridge.keep_spare(0);
        assert_eq!(script.bridge.call_stats().spare_bytes, 0);
    });
}

#[test]
fn stats_and_small_files_allocate_nothing_and_enter_nothing() {
    both_drivers(|executor| {
        let folder = Folder::new("allocations");
        let mut script = Script::new(executor);
        let path = folder.file("file", &[1; 4096]);
        count_calls(&mut script, "stat", 512, 50, &block(CallNumber::Stat, 0, 0.0, &[&path]));
        count_calls(&mut script, "readFile", 8192, 2, &block(CallNumber::ReadFile, 0, 1e9, &[&path]));
    });
}

/// Gates what 1,000 calls cost in the steady state, `together` at a time, each with a lease of so many bytes.
fn count_calls(script: &mut Script, name: &str, bytes: usize, together: usize, asked: &[u8]) {
    let driver = script.driver();
    let leases: Vec<_> = (0..together).map(|_| script.lease(bytes)).collect();
    script.answers.reserve(100);
    let mut counts = (0, 0);
    for _ in 0..3 {
        let mut allocations = 0;
        let enters = script.executor.stats().driver.enters;
        let pooled = script.bridge.call_stats().pooled;
        for _ in 0..1_000 / together {
            for lease in &leases {
                script.call(*lease, NO_FILE, asked);
            }
            let before = allocations_here();
            while script.answers.len() < leases.len() {
                script.turn();
            }
            allocations += allocations_here() - before;
            script.answers.clear();
        }
        // On a busy machine some are held up, and then the next of their kind go to the pool, which allocates: count another round.
        counts = (allocations, script.executor.stats().driver.enters - enters);
        if script.bridge.call_stats().pooled == pooled {
            check(&format!("bridge: allocations per 1,000 {name} calls"), driver, counts.0 as f64);
            check(&format!("bridge: enters per 1,000 {name} calls"), driver, counts.1 as f64);
            return;
        }
    }
    eprintln!("the machine was too busy to count: {counts:?}");
}
