//! A reader with a latency class beside a saturating reader and writer on a real file with O_DIRECT: with a fixed depth and batch, first come,
//! first served, or with the adaptive scheduler. `ours disk FILE WAY SECONDS direct|cached`; WAY is `adaptive` or `DEPTHxBATCH`.
use crate::options;
use measure::{Report, argument, percentile, process_cpu_ns, set_driver};
use ringwheel_executor::{
    DriverKind, Executor, JoinHandle, Latency, QueueOptions, Source, Target, TaskQueue,
    fs::{self, File},
    io::Adaptive,
    spawn_into,
    sync::Semaphore,
    time,
};
use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
    time::{Duration, Instant},
};

/// Bytes of a read of the latency class, and of an operation of the others.
const SMALL: u32 = 4096;
const LARGE: u32 = 16 << 10;
/// Readers in the background, and as many writers.
const TASKS: usize = 128;
/// The reader pauses so long after each read.
const PAUSE: Duration = Duration::from_millis(1);
const O_RDWR: i32 = 2;

/// At most `depth` at once, let in `batch` at a time, or as many as there are when nothing is in flight.
struct Door {
    permits: Semaphore,
    batch: usize,
    away: Cell<usize>,
    freed: Cell<usize>,
}

impl Door {
    async fn enter(&self) {
        self.permits.acquire(1).await.expect("it stays open").forget();
        self.away.set(self.away.get() + 1);
    }

    fn leave(&self) {
        self.away.set(self.away.get() - 1);
        self.freed.set(self.freed.get() + 1);
        if self.freed.get() >= self.batch || self.away.get() == 0 {
            self.permits.add(self.freed.take());
        }
    }
}

/// One kind of work.
struct Work {
    file: Rc<File>,
    door: Option<Rc<Door>>,
    blocks: u64,
    stop: Rc<Cell<bool>>,
}

impl Work {
    /// One read or write after the other until it is to stop; `done` hears of each how long it took, its wait at the door included.
    async fn run(
        self,
        bytes: u32,
        writes: bool,
        pause: Option<Duration>,
        mut place: u64,
        done: impl Fn(Duration),
    ) -> io::Result<()> {
        let mut lease = Some(fs::lease(bytes as usize)?);
        while let Some(memory) = lease.take().filter(|_| !self.stop.get()) {
            if let Some(pause) = pause {
                time::sleep(pause).await;
            }
            place = place.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let offset = (place >> 16) % (self.blocks * u64::from(LARGE / bytes)) * u64::from(bytes);
            let start = Instant::now();
            if let Some(door) = &self.door {
                door.enter().await;
            }
            let count;
            (count, lease) = if writes {
                let (result, back) = self.file.write_at(Source::Lease(memory, 0..bytes), offset).await;
                (result?, if let Source::Lease(memory, _) = back { Some(memory) } else { None })
            } else {
                let (result, back) = self.file.read_at(Target::Lease(memory, 0..bytes), offset).await;
                (result?, if let Target::Lease(memory, _) = back { Some(memory) } else { None })
            };
            if let Some(door) = &self.door {
                door.leave();
            }
            assert_eq!(count as usize, bytes as usize, "a whole block");
            done(start.elapsed());
        }
        Ok(())
    }
}

fn enters() -> u64 {
    ringwheel_executor::stats().map_or(0, |stats| stats.driver.enters)
}

/// Runs and reports: megabytes a second of all, the reader's latencies, CPU an operation, system calls an operation.
pub fn measure() {
    let (path, way) = (&argument(2).expect("a file"), argument(3).expect("a way"));
    let seconds: f64 = argument(4).and_then(|text| text.parse().ok()).expect("seconds");
    let direct = argument(5).is_none_or(|how| how == "direct");
    let mut options = options();
    options.driver.memory = 8 << 20;
    let fixed = way.split_once('x').map(|(depth, batch)| {
        let number = |text: &str| text.parse::<usize>().expect("DEPTHxBATCH");
        Rc::new(Door {
            permits: Semaphore::new(number(depth)),
            batch: number(batch),
            away: Cell::new(0),
            freed: Cell::new(0),
        })
    });
    options.adaptive = fixed.is_none().then(Adaptive::default);
    let mut executor = Executor::start(options).expect("an executor starts");
    let kind = if executor.driver_kind() == DriverKind::Poll { "poll" } else { "uring" };
    set_driver(format!("{kind} ({})", executor.features().join(" ")));
    let bytes = std::fs::metadata(path).expect("the file is there").len();
    let flags = O_RDWR | if direct { measure::direct_flag() } else { 0 };
    let (moved, times) = (Rc::new(Cell::new((0_u64, 0_u64))), Rc::new(RefCell::new(Vec::<u32>::new())));
    let found = executor.run({
        let (moved, times) = (moved.clone(), times.clone());
        async move {
            let file = Rc::new(File::open(path, flags).await?);
            let stop = Rc::new(Cell::new(false));
            let work = || Work {
                file: file.clone(),
                door: fixed.clone(),
                blocks: bytes / u64::from(LARGE),
                stop: stop.clone(),
            };
            let queue = |latency| {
                TaskQueue::new(QueueOptions { latency, ..QueueOptions::default() }).expect("a queue")
            };
            let urgent = queue(Latency::Matters(Duration::from_millis(2)));
            let queues = [queue(Latency::NotImportant), queue(Latency::NotImportant)];
            let mut tasks: Vec<JoinHandle<io::Result<()>>> = Vec::new();
            for index in 0..2 * TASKS {
                let (writes, moved) = (index >= TASKS, moved.clone());
                let count = move |_| {
                    let (operations, bytes) = moved.get();
                    moved.set((operations + 1, bytes + u64::from(LARGE)));
                };
                let task = work().run(LARGE, writes, None, index as u64, count);
                tasks.push(spawn_into(queues[usize::from(writes)], task));
            }
            let heard = times.clone();
            let note = move |took: Duration| heard.borrow_mut().push(took.as_nanos() as u32);
            tasks.push(spawn_into(urgent, work().run(SMALL, false, Some(PAUSE), 999, note)));
            // Before it counts: the controller settles.
            time::sleep(Duration::from_secs_f64(seconds)).await;
            times.borrow_mut().clear();
            let (before, cpu, entered) = (moved.get(), process_cpu_ns(), enters());
            let start = Instant::now();
            time::sleep(Duration::from_secs_f64(seconds)).await;
            let (elapsed, after, cpu) = (start.elapsed().as_secs_f64(), moved.get(), process_cpu_ns() - cpu);
            let enters = enters() - entered;
            stop.set(true);
            for task in tasks {
                task.await.expect("not cancelled")?;
            }
            let (operations, bytes) = (after.0 - before.0, after.1 - before.1);
            io::Result::Ok((operations as f64, bytes as f64, elapsed, cpu as f64, enters as f64))
        }
    });
    let (operations, bytes, elapsed, cpu, enters) =
        found.expect("it runs to its end").expect("the disk does it");
    let mut times = times.take();
    assert!(!times.is_empty() && operations > 0.0, "nothing was measured");
    let p50 = percentile(&mut times, 0.5) / 1000.0;
    Report::default()
        .with("throughput", bytes / elapsed / 1e6)
        .with("p50", p50)
        .with("p99", percentile(&mut times, 0.99) / 1000.0)
        .with("CPU", cpu / operations / 1000.0)
        .with("system calls", enters / operations)
        .print();
}
