//! Compression on the fly: threads of the server that pack a file's bytes, once for all its cores, and a bounded store of what came out.
//!
//! ```text
//!  a core's load ── admit ──┬─▶ known: packed before, or not worth it
//!                           ├─▶ under way: wait for who does it
//!                           ├─▶ busy: too much is waiting; the file is sent as it is
//!                           └─▶ a permit ── the file is read ── run ──▶ [ queue ] ──▶ thread ──▶ store, and whoever waits
//! ```
//! No executor ever packs anything. The threads are nicer than the cores, so that they take what those leave.
use crate::{cache::Bounded, error::StartError, file::Stamp, http::coding::Coding};
use ringwheel_executor::event::Event;
use rustc_hash::FxHashMap;
use std::{
    collections::VecDeque,
    io::{self, Write},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

/// Cores for each thread, and the most of those: each file is packed once, and cores come first.
const CORES: usize = 4;
const THREADS_MAX: usize = 4;

/// Bytes of files that may be read, wait and be packed at one time: what goes beyond is sent as it is.
const WAITING_BYTES: usize = 64 << 20;

/// Bytes that are packed between two looks at whether the server ends.
const PIECE: usize = 64 << 10;

/// What a packed file must be smaller by: Content-Encoding takes a part of it.
const GAIN: usize = 64;

/// What the threads' nice value is raised by: beside a busy core such a thread has a quarter of a CPU.
#[cfg(target_os = "linux")]
const NICER: i32 = 5;

/// A file in one version, and how it is packed.
pub(crate) type Key = Box<[u8]>;

/// How bytes are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Method {
    pub(crate) coding: Coding,
    pub(crate) level: u8,
}

impl Method {
    /// The key of a file whose stamp stands for its bytes.
    pub(crate) fn key(self, stamp: &Stamp) -> Key {
        let mut key = vec![self.coding as u8, self.level];
        stamp.write(&mut key);
        key.into()
    }
}

/// A file's bytes, packed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) bytes: Vec<u8>,
    /// Of `bytes`, for their tag.
    pub(crate) hash: u128,
}

/// What packing came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Packed(Arc<Packed>),
    /// Hardly smaller, or its packing failed: to be sent as it is, whenever it is asked for.
    NoGain,
    /// Nobody knows: its reader gave up, or the server ends.
    Abandoned,
}

impl Outcome {
    fn cost(&self) -> usize {
        const BESIDE: usize = 256;
        BESIDE + if let Outcome::Packed(packed) = self { packed.bytes.capacity() } else { 0 }
    }
}

/// Packing that is under way.
#[derive(Debug, Default)]
pub(crate) struct Job {
    outcome: OnceLock<Outcome>,
    ended: Event,
}

impl Job {
    /// Waits, on any executor.
    pub(crate) async fn wait(&self) -> Outcome {
        self.ended.wait().await;
        self.outcome.get().cloned().unwrap_or(Outcome::Abandoned)
    }
}

/// The answer to [`Compressor::admit`].
#[derive(Debug)]
pub(crate) enum Admission {
    Known(Outcome),
    UnderWay(Arc<Job>),
    Permit(Permit),
    Busy,
}

#[derive(Debug)]
struct Work {
    body: Vec<u8>,
    method: Method,
    permit: Permit,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Work>,
    under_way: FxHashMap<Key, Arc<Job>>,
    store: Bounded<Outcome>,
    /// Bytes of files with a permit.
    waiting: usize,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    work_came: Condvar,
    closed: AtomicBool,
    threads: Mutex<Vec<thread::JoinHandle<()>>>,
}

impl Shared {
    /// Nothing in here panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the cores of a server have of its compressing threads.
#[derive(Clone, Debug)]
pub(crate) struct Compressor(Arc<Shared>);

impl Compressor {
    /// A store of at most `bytes`, and no threads yet.
    pub(crate) fn new(bytes: usize) -> Compressor {
        let state = State {
            queue: VecDeque::new(),
            under_way: FxHashMap::default(),
            store: Bounded::new(bytes),
            waiting: 0,
        };
        Compressor(Arc::new(Shared {
            state: Mutex::new(state),
            work_came: Condvar::new(),
            closed: AtomicBool::new(false),
            threads: Mutex::default(),
        }))
    }

    /// Sees to it that there are threads that pack, as many as a server of so many cores has, until [`Compressor::close`]. Not to be called on
    /// a core: a thread inherits the CPUs that its starter is pinned to.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start_threads(&self, cores: usize) -> Result<(), StartError> {
        let mut threads = self.0.threads.lock().unwrap_or_else(PoisonError::into_inner);
        while threads.len() < (cores / CORES).clamp(1, THREADS_MAX) {
            let shared = Arc::clone(&self.0);
            let started =
                thread::Builder::new().name("ringwheel-pack".to_owned()).spawn(move || work(&shared));
            let index = threads.len();
            threads.push(started.map_err(|error| StartError::no_thread(index, &error))?);
        }
        Ok(())
    }

    /// Changes how many bytes the store may count.
    pub(crate) fn resize(&self, bytes: usize) {
        self.0.lock().store.resize(bytes);
    }

    /// Asks for a file of `size` bytes. Without a key it is packed for the asker alone, and not remembered. Never waits.
    pub(crate) fn admit(&self, key: Option<Key>, size: usize) -> Admission {
        let mut state = self.0.lock();
        if let Some(key) = &key {
            if let Some(outcome) = state.store.get(key) {
                return Admission::Known(outcome.clone());
            }
            if let Some(job) = state.under_way.get(key) {
                return Admission::UnderWay(Arc::clone(job));
            }
        }
        if state.waiting + size > WAITING_BYTES || self.0.closed.load(Ordering::Acquire) {
            return Admission::Busy;
        }
        state.waiting += size;
        let job = Arc::new(Job::default());
        if let Some(key) = &key {
            state.under_way.insert(key.clone(), Arc::clone(&job));
        }
        Admission::Permit(Permit { shared: Arc::clone(&self.0), job, key, size, ended: false })
    }

    /// Bytes that the store counts.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.lock().store.cost() as u64
    }

    /// Ends the threads, within what packing one piece takes; what waits is abandoned. Returns how many had panicked.
    pub(crate) fn close(&self) -> u32 {
        let queue = {
            let mut state = self.0.lock();
            self.0.closed.store(true, Ordering::Release);
            std::mem::take(&mut state.queue)
        };
        self.0.work_came.notify_all();
        drop(queue); // Each permit locks the state again.
        let threads = std::mem::take(&mut *self.0.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads.into_iter().map(|thread| u32::from(thread.join().is_err())).sum()
    }
}

/// The right, and the duty, to have a file packed. Dropped before its end it lets those who wait go.
#[derive(Debug)]
pub(crate) struct Permit {
    shared: Arc<Shared>,
    job: Arc<Job>,
    key: Option<Key>,
    size: usize,
    ended: bool,
}

impl Permit {
    /// Hands the file's bytes over. The job is what its reader waits for, too.
    pub(crate) fn run(self, body: Vec<u8>, method: Method) -> Arc<Job> {
        let shared = Arc::clone(&self.shared);
        let job = Arc::clone(&self.job);
        let work = Work { body, method, permit: self };
        let mut state = shared.lock();
        if shared.closed.load(Ordering::Acquire) {
            drop(state);
            drop(work);
            return job;
        }
        state.queue.push_back(work);
        drop(state);
        shared.work_came.notify_one();
        job
    }

    fn end(&mut self, outcome: Outcome) {
        self.ended = true;
        {
            let mut state = self.shared.lock();
            state.waiting -= self.size;
            if let Some(key) = &self.key {
                state.under_way.remove(key);
                if outcome != Outcome::Abandoned {
                    let cost = outcome.cost() + key.len();
                    state.store.insert(key, outcome.clone(), cost);
                }
            }
        }
        // It is set once: this is its one end.
        let _ = self.job.outcome.set(outcome);
        self.job.ended.set();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.ended {
            self.end(Outcome::Abandoned);
        }
    }
}

/// One thread's life.
fn work(shared: &Shared) {
    #[cfg(target_os = "linux")]
    {
        // A wish: where it is refused the threads share the CPU evenly.
        let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICER);
    }
    while let Some(Work { body, method, mut permit }) = next(shared) {
        let packed = catch_unwind(AssertUnwindSafe(|| pack(&body, method, &shared.closed)));
        permit.end(packed.unwrap_or(Outcome::NoGain));
    }
}

fn next(shared: &Shared) -> Option<Work> {
    let mut state = shared.lock();
    loop {
        if shared.closed.load(Ordering::Acquire) {
            return None;
        }
        if let Some(work) = state.queue.pop_front() {
            return Some(work);
        }
        state = shared.work_came.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Packs, unless the server ends meanwhile.
fn pack(body: &[u8], Method { coding, level }: Method, closed: &AtomicBool) -> Outcome {
    let out = Vec::with_capacity(body.len() / 3);
    let packed = match coding {
        Coding::Gzip => {
            let mut gzip = flate2::write::GzEncoder::new(out, flate2::Compression::new(u32::from(level)));
            feed(&mut gzip, body, closed).and_then(|()| gzip.finish())
        }
        Coding::Brotli => {
            let parameters = brotli::enc::BrotliEncoderParams {
                quality: i32::from(level),
                size_hint: body.len(),
                ..Default::default()
            };
            let mut brotli = brotli::CompressorWriter::with_params(out, PIECE, &parameters);
            feed(&mut brotli, body, closed).map(|()| brotli.into_inner())
        }
        Coding::Identity | Coding::Zstd => return Outcome::NoGain,
    };
    match packed {
        Ok(mut bytes) if bytes.len() + GAIN < body.len() => {
            bytes.shrink_to_fit();
            let hash = xxhash_rust::xxh3::xxh3_128(&bytes);
            Outcome::Packed(Arc::new(Packed { bytes, hash }))
        }
        // Writing into a vector fails only when we stop it.
        Err(_) if closed.load(Ordering::Acquire) => Outcome::Abandoned,
        _ => Outcome::NoGain,
    }
}

fn feed(encoder: &mut impl Write, body: &[u8], closed: &AtomicBool) -> io::Result<()> {
    for piece in body.chunks(PIECE) {
        if closed.load(Ordering::Acquire) {
            return Err(io::ErrorKind::Other.into());
        }
        encoder.write_all(piece)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    const BROTLI: Method = Method { coding: Coding::Brotli, level: 5 };
    const GZIP: Method = Method { coding: Coding::Gzip, level: 6 };

    fn text(length: usize) -> Vec<u8> {
        b"a line that repeats, but for a number\n".iter().copied().cycle().take(length).collect()
    }

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u64;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .take(length)
        .collect()
    }

    fn unpack(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
            _ => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        }
        .unwrap();
        out
    }

    fn key(name: u8) -> Option<Key> {
        Some(Box::from([name]))
    }

    fn permit(compressor: &Compressor, name: u8, size: usize) -> Permit {
        match compressor.admit(key(name), size) {
            Admission::Permit(permit) => permit,
            other => panic!("{other:?}"),
        }
    }

    /// What a job has come to.
    fn ended(job: &Job) -> Outcome {
        for _ in 0..10_000 {
            if let Some(outcome) = job.outcome.get() {
                return outcome.clone();
            }
            thread::sleep(std::time::Duration::from_millis(2));
        }
        panic!("not within 20 s");
    }

    #[test]
    fn what_is_packed_unpacks_to_the_same_and_is_the_same_each_time() {
        let open = AtomicBool::new(false);
        for size in [1000, PIECE, PIECE + 1, 300_000] {
            for method in [BROTLI, GZIP] {
                let body = text(size);
                let Outcome::Packed(packed) = pack(&body, method, &open) else { panic!("{size}") };
                assert!(packed.bytes.len() < size / 3);
                assert_eq!(unpack(method.coding, &packed.bytes), body);
                assert_eq!(pack(&body, method, &open), Outcome::Packed(packed));
            }
        }
    }

    #[test]
    fn noise_has_no_gain_and_an_end_abandons() {
        for method in [BROTLI, GZIP] {
            assert_eq!(pack(&noise(100_000), method, &AtomicBool::new(false)), Outcome::NoGain);
            assert_eq!(pack(&text(100), method, &AtomicBool::new(false)), Outcome::NoGain);
            assert_eq!(pack(&text(100_000), method, &AtomicBool::new(true)), Outcome::Abandoned);
        }
        let zstd = Method { coding: Coding::Zstd, level: 1 };
        assert_eq!(pack(&text(100_000), zstd, &AtomicBool::new(false)), Outcome::NoGain);
    }

    #[test]
    fn a_file_is_packed_once_and_known_from_then_on() {
        let compressor = Compressor::new(1 << 20);
        compressor.start_threads(1).unwrap();
        let first = permit(&compressor, 1, 5000);
        assert!(matches!(compressor.admit(key(1), 5000), Admission::UnderWay(_)));
        let job = first.run(text(5000), GZIP);
        let outcome = ended(&job);
        assert!(matches!(&outcome, Outcome::Packed(_)));
        assert!(matches!(compressor.admit(key(1), 5000), Admission::Known(known) if known == outcome));
        let hardly = ended(&permit(&compressor, 2, 5000).run(noise(5000), GZIP));
        assert_eq!(hardly, Outcome::NoGain);
        assert!(matches!(compressor.admit(key(2), 5000), Admission::Known(Outcome::NoGain)));
        // Without a key nothing is shared nor kept.
        for _ in 0..2 {
            let Admission::Permit(permit) = compressor.admit(None, 5000) else { panic!() };
            assert!(matches!(ended(&permit.run(text(5000), BROTLI)), Outcome::Packed(_)));
        }
        assert_eq!(compressor.0.lock().store.len(), 2);
        assert!((500..5000).contains(&compressor.bytes()));
        assert_eq!(compressor.close(), 0);
        assert_eq!(compressor.0.lock().waiting, 0);
    }

    #[test]
    fn what_is_dropped_lets_those_who_wait_go_and_gives_its_room_back() {
        let compressor = Compressor::new(1 << 20);
        let whole = permit(&compressor, 1, WAITING_BYTES);
        assert!(matches!(compressor.admit(key(2), 1), Admission::Busy));
        let Admission::UnderWay(job) = compressor.admit(key(1), WAITING_BYTES) else { panic!() };
        drop(whole);
        assert_eq!(ended(&job), Outcome::Abandoned);
        // In the queue of no thread, and given after the end.
        let queued = permit(&compressor, 1, 10).run(text(10), GZIP);
        let late = permit(&compressor, 3, 10);
        assert_eq!(compressor.close(), 0);
        assert_eq!(ended(&queued), Outcome::Abandoned);
        assert_eq!(ended(&late.run(text(10), GZIP)), Outcome::Abandoned);
        assert!(matches!(compressor.admit(key(4), 1), Admission::Busy));
        let state = compressor.0.lock();
        assert!(state.waiting == 0 && state.under_way.is_empty() && state.store.is_empty());
    }

    #[test]
    fn the_store_never_holds_more_than_its_bytes() {
        let compressor = Compressor::new(2000);
        for name in 0..50 {
            permit(&compressor, name, 1)
                .end(Outcome::Packed(Arc::new(Packed { bytes: vec![0; 500], hash: 0 })));
            assert!(compressor.bytes() <= 2000);
        }
        assert_eq!(compressor.0.lock().store.len(), 2);
    }
}
