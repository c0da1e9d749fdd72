//! What `Options::adaptive` does on a real disk: `cargo run --release -p ringwheel-executor --example adaptive [FILE] [SECONDS]`.
//!
//! A reader of 4 KiB with a latency class beside 64 readers and 64 writers of 16 KiB, all with O_DIRECT on a file of 1 GiB: first
//! everything at once, then at most so many operations at a time, first come, first served, then adaptive. The order of the
//! rounds turns; the figures are medians of 3 rounds. FILE is made when it is not there, and stays.
use ringwheel_executor::{
    Executor, Latency, Options, QueueOptions, Source, Target, TaskQueue,
    fs::{self, File},
    spawn_into,
    sync::Semaphore,
    time,
};
use std::{
    cell::{Cell, RefCell},
    io::{self, Write},
    rc::Rc,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

const FILE_BYTES: u64 = 1 << 30;
const SMALL: u32 = 4096;
const LARGE: u32 = 16 << 10;
const TASKS: u64 = 64;
const ROUNDS: usize = 3;
/// Before a round counts: the controller settles.
const WARM: Duration = Duration::from_secs(4);

#[cfg(target_os = "linux")]
const O_DIRECT: i32 = libc::O_DIRECT;
/// Not to be had here: the figures are those of the page cache.
#[cfg(not(target_os = "linux"))]
const O_DIRECT: i32 = 0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Fixed(usize),
    Adaptive,
}

/// Megabytes a second of all, and the reader's latencies in microseconds.
struct Round {
    rate: f64,
    p50: f64,
    p99: f64,
}

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "ringwheel-adaptive.bin".to_owned());
    let seconds = Duration::from_secs(arguments.next().map_or(Ok(3), |text| text.parse())?);
    make(&path)?;
    let ways: Vec<Way> =
        [1, 2, 4, 8, 16, 32, 64, 256].map(Way::Fixed).into_iter().chain([Way::Adaptive]).collect();
    let mut rounds: Vec<Vec<Round>> = ways.iter().map(|_| Vec::new()).collect();
    for round in 0..ROUNDS {
        for turn in 0..ways.len() {
            let index = (turn + round * 4) % ways.len();
            rounds[index].push(measure(&path, ways[index], seconds)?);
        }
    }
    let mut out = io::stdout().lock();
    for (way, rounds) in ways.iter().zip(&rounds) {
        let of = |value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
        let (rate, p50, p99) = (of(|round| round.rate), of(|round| round.p50), of(|round| round.p99));
        writeln!(out, "{way:?}: {rate:.0} MB/s, reader p50 {p50:.0} µs, p99 {p99:.0} µs")?;
    }
    Ok(())
}

fn make(path: &str) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() >= FILE_BYTES) {
        return Ok(());
    }
    let mut file = std::fs::File::create(path)?;
    let piece = vec![0x5a_u8; 1 << 20];
    for _ in 0..FILE_BYTES >> 20 {
        file.write_all(&piece)?;
    }
    file.sync_all()
}

fn measure(path: &str, way: Way, seconds: Duration) -> Result<Round, Failure> {
    let mut options = Options { adaptive: way == Way::Adaptive, ..Options::default() };
    options.driver.memory = 8 << 20;
    let mut executor = Executor::start(options)?;
    executor.run(async {
        let file = Rc::new(File::open(path, libc::O_RDWR | O_DIRECT).await?);
        let limit = Rc::new(Semaphore::new(if let Way::Fixed(depth) = way { depth } else { 1 << 20 }));
        let (bytes, stop) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(false)));
        let latency = Latency::Matters(Duration::from_millis(2));
        let urgent = TaskQueue::new(QueueOptions { latency, ..QueueOptions::default() })?;
        let queues = [TaskQueue::new(QueueOptions::default())?, TaskQueue::new(QueueOptions::default())?];
        let mut tasks = Vec::new();
        for index in 0..2 * TASKS {
            let (file, limit, bytes, stop) = (file.clone(), limit.clone(), bytes.clone(), stop.clone());
            let writes = index >= TASKS;
            tasks.push(spawn_into(queues[usize::from(writes)], async move {
                let mut lease = Some(fs::lease(LARGE as usize)?);
                let mut place = index;
                while let Some(memory) = lease.take().filter(|_| !stop.get()) {
                    place = next(place);
                    let offset = place % (FILE_BYTES / u64::from(LARGE)) * u64::from(LARGE);
                    let permit = limit.acquire(1).await;
                    let count;
                    if writes {
                        let (result, source) = file.write_at(Source::Lease(memory, 0..LARGE), offset).await;
                        count = result?;
                        if let Source::Lease(memory, _) = source {
                            lease = Some(memory);
                        }
                    } else {
                        let (result, target) = file.read_at(Target::Lease(memory, 0..LARGE), offset).await;
                        count = result?;
                        if let Target::Lease(memory, _) = target {
                            lease = Some(memory);
                        }
                    }
                    drop(permit);
                    bytes.set(bytes.get() + count as u64);
                }
                io::Result::Ok(())
            }));
        }
        let times = Rc::new(RefCell::new(Vec::new()));
        let reader = {
            let (file, limit, stop, times) = (file.clone(), limit.clone(), stop.clone(), times.clone());
            spawn_into(urgent, async move {
                let mut lease = Some(fs::lease(SMALL as usize)?);
                let mut place = 999;
                while let Some(memory) = lease.take().filter(|_| !stop.get()) {
                    time::sleep(Duration::from_millis(1)).await;
                    place = next(place);
                    let offset = place % (FILE_BYTES / u64::from(SMALL)) * u64::from(SMALL);
                    let start = Instant::now();
                    let permit = limit.acquire(1).await;
                    let (result, target) = file.read_at(Target::Lease(memory, 0..SMALL), offset).await;
                    result?;
                    drop(permit);
                    times.borrow_mut().push(start.elapsed().as_secs_f64() * 1e6);
                    if let Target::Lease(memory, _) = target {
                        lease = Some(memory);
                    }
                }
                io::Result::Ok(())
            })
        };
        time::sleep(WARM).await;
        times.borrow_mut().clear();
        let (before, start) = (bytes.get(), Instant::now());
        time::sleep(seconds).await;
        let rate = (bytes.get() - before) as f64 / start.elapsed().as_secs_f64() / 1e6;
        stop.set(true);
        for task in tasks {
            task.await??;
        }
        reader.await??;
        let mut times = times.take();
        times.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
        Ok(Round { rate, p50: at(0.5), p99: at(0.99) })
    })?
}

/// Places that look random.
fn next(place: u64) -> u64 {
    place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407) >> 1
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
