//! What queues and preemption cost and give, on this machine: `cargo run --release -p ringwheel-executor --example queues`.
//!
//! Alternating rounds in one process, medians. The figures of docs/guides/queues-and-preemption.md come from here.
use ringwheel_executor::{
    DriverKind, Executor, Latency, Options, PreemptKind, QueueError, QueueOptions, Removal, TaskQueue,
    need_preempt, spawn, spawn_into, time, yield_if_needed, yield_now,
};
use std::{
    cell::Cell,
    hint::black_box,
    io::{self, Write},
    rc::Rc,
    time::{Duration, Instant},
};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "a look, ns: {:.2}", look()?)?;
    for way in [Some(PreemptKind::Ring), Some(PreemptKind::Ticker)] {
        let mut late = delays(way)?;
        let (p50, p99) = percentiles(&mut late);
        writeln!(out, "told after the quota, µs, {way:?}: p50 {p50:.1}, p99 {p99:.1}")?;
    }
    cost_when_on(&mut out)?;
    yields(&mut out)?;
    for bursts in [[200, 200], [200, 50], [20, 300]] {
        let (done, charged) = shares(bursts)?;
        writeln!(
            out,
            "shares 1 : 3, bursts of {bursts:?} µs: 1 : {done:.3} by work, 1 : {charged:.3} by time"
        )?;
    }
    for burst in [50, 1000] {
        for classes in [false, true] {
            let mut late = waits(classes, Duration::from_micros(burst))?;
            let (p50, p99) = percentiles(&mut late);
            let how = if classes { "latency class of 2 ms" } else { "plain, one queue" };
            writeln!(
                out,
                "a timer of 2 ms beside 4 hogs with bursts of {burst} µs, {how}: late by µs p50 {p50:.0}, p99 {p99:.0}"
            )?;
        }
    }
    Ok(())
}

fn executor(preempt: Option<PreemptKind>, quota: Duration) -> Result<Executor, Failure> {
    let mut options = Options { preempt, quota, ..Options::default() };
    if std::env::var("RINGWHEEL_DRIVER").as_deref() == Ok("poll") {
        options.driver.kind = Some(DriverKind::Poll);
    }
    Ok(Executor::start(options)?)
}

fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn percentiles(values: &mut [f64]) -> (f64, f64) {
    (median(values), values[values.len() * 99 / 100])
}

/// Steps of a little generator, with a question after each or without.
fn steps(count: u64, ask: bool) -> (u64, u64) {
    let (mut state, mut told) = (black_box(88_172_645_463_325_252_u64), 0);
    for _ in 0..count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if ask && need_preempt() {
            told += 1;
        }
    }
    (black_box(state), told)
}

fn timed(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// What a look adds to a loop whose step takes about 1.6 ns.
fn look() -> Result<f64, Failure> {
    const COUNT: u64 = 10_000_000;
    let mut executor = executor(Some(PreemptKind::Auto), Duration::from_secs(1))?;
    let mut rounds: Vec<_> = (0..9)
        .map(|_| {
            executor.run(async {
                let without = timed(|| _ = black_box(steps(COUNT, false)));
                let with = timed(|| _ = black_box(steps(COUNT, true)));
                yield_if_needed().await;
                (with - without) * 1e9 / COUNT as f64
            })
        })
        .collect::<Result<_, _>>()?;
    Ok(median(&mut rounds))
}

/// How long after its quota of 1 ms a task is told.
fn delays(way: Option<PreemptKind>) -> Result<Vec<f64>, Failure> {
    let quota = Duration::from_millis(1);
    let mut executor = executor(way, quota)?;
    Ok(executor.run(async move {
        let mut late = Vec::new();
        for _ in 0..400 {
            let start = Instant::now();
            while !need_preempt() {
                std::hint::spin_loop();
            }
            late.push((start.elapsed().saturating_sub(quota)).as_secs_f64() * 1e6);
            yield_now().await;
        }
        late
    })?)
}

/// A task alone that asks all the time, with preemption and without: what the timers cost.
fn cost_when_on(out: &mut impl Write) -> Result<(), Failure> {
    const COUNT: u64 = 60_000_000;
    let mut ways = Vec::new();
    for (name, preempt) in
        [("off", None), ("ring", Some(PreemptKind::Ring)), ("ticker", Some(PreemptKind::Ticker))]
    {
        ways.push((name, executor(preempt, Duration::from_millis(1))?, Vec::new()));
    }
    for _ in 0..9 {
        for (_, executor, times) in &mut ways {
            times.push(executor.run(async {
                let start = Instant::now();
                for _ in 0..COUNT / 1000 {
                    black_box(steps(1000, false));
                    yield_if_needed().await;
                }
                start.elapsed().as_secs_f64()
            })?);
        }
    }
    let base = median(&mut ways[0].2.clone());
    for (name, executor, times) in &mut ways {
        let least = times.iter().copied().fold(f64::MAX, f64::min);
        let armed = executor.preempt().map_or(0, |preempt| preempt.stats().armed);
        let quotas = base * 9.0 * 1e3;
        writeln!(
            out,
            "a task alone, quota 1 ms, {name}: {:+.2} % (median), least {:.1} ms; {armed} timers in {quotas:.0} ms",
            (median(times) / base - 1.0) * 100.0,
            least * 1e3
        )?;
    }
    Ok(())
}

/// A yield with one queue, with two of which one is idle, and with two busy ones.
fn yields(out: &mut impl Write) -> Result<(), Failure> {
    const COUNT: u32 = 20_000;
    async fn tasks(queues: &[TaskQueue]) -> f64 {
        let start = Instant::now();
        let tasks: Vec<_> = (0..100)
            .map(|number| {
                spawn_into(queues[number % queues.len()], async {
                    for _ in 0..COUNT {
                        yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            drop(task.await);
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(COUNT * 100)
    }
    let mut rounds = [const { Vec::new() }; 3];
    for _ in 0..7 {
        let mut executor = executor(Some(PreemptKind::Auto), Duration::from_millis(1))?;
        let figures = executor.run(async {
            let default = TaskQueue::current()?;
            let alone = tasks(&[default]).await;
            let others = [TaskQueue::new(QueueOptions::default())?, TaskQueue::new(QueueOptions::default())?];
            let idle = tasks(&[default]).await;
            Ok::<_, QueueError>([alone, idle, tasks(&others).await])
        })??;
        for (round, figure) in rounds.iter_mut().zip(figures) {
            round.push(figure);
        }
    }
    let [alone, idle, busy] = rounds.map(|mut round| median(&mut round));
    writeln!(out, "a yield, ns: one queue {alone:.2}, the others idle {idle:.2}, two busy {busy:.2}")?;
    Ok(())
}

/// What the queue with three times the shares had, for each the other had: by what the tasks did, and by the time that the queues ran. A busy
/// machine, which takes the thread off its core within bursts, makes them differ.
fn shares(bursts: [u64; 2]) -> Result<(f64, f64), Failure> {
    let mut executor = executor(Some(PreemptKind::Auto), Duration::from_millis(1))?;
    let ratio = executor.run(async move {
        let mut queues = Vec::new();
        for (shares, burst) in [100, 300].into_iter().zip(bursts) {
            let queue = TaskQueue::new(QueueOptions { shares, ..Default::default() })?;
            let done = Rc::new(Cell::new(0_u64));
            for _ in 0..4 {
                let done = done.clone();
                drop(spawn_into(queue, async move {
                    loop {
                        burn(Duration::from_micros(burst));
                        done.set(done.get() + burst);
                        yield_now().await;
                    }
                }));
            }
            queues.push((queue, done));
        }
        time::sleep(Duration::from_secs(2)).await;
        let done = queues[1].1.get() as f64 / queues[0].1.get() as f64;
        let runtime = |index: usize| Ok::<_, QueueError>(queues[index].0.stats()?.runtime.as_secs_f64());
        let ratio = (done, runtime(1)? / runtime(0)?);
        for (queue, _) in queues {
            drop(queue.remove(Removal::Drop)?);
        }
        Ok::<_, QueueError>(ratio)
    })??;
    Ok(ratio)
}

/// How late timers of 2 ms are while four tasks compute: in one queue, where each burst ends with a yield, and with a latency class, where
/// it ends with a question.
fn waits(classes: bool, burst: Duration) -> Result<Vec<f64>, Failure> {
    let mut executor = executor(Some(PreemptKind::Auto), Duration::from_millis(1))?;
    let late = executor.run(async move {
        let default = TaskQueue::current()?;
        let (hogs, urgent) = if classes {
            let latency = Latency::Matters(Duration::from_millis(2));
            (
                TaskQueue::new(QueueOptions { name: "background".to_owned(), ..Default::default() })?,
                TaskQueue::new(QueueOptions { latency, ..Default::default() })?,
            )
        } else {
            (default, default)
        };
        let stop = Rc::new(Cell::new(false));
        for _ in 0..4 {
            let stop = stop.clone();
            drop(spawn_into(hogs, async move {
                while !stop.get() {
                    burn(burst);
                    if classes { yield_if_needed().await } else { yield_now().await }
                }
            }));
        }
        let timers = spawn_into(urgent, async move {
            let mut late = Vec::new();
            for _ in 0..200 {
                let deadline = Instant::now() + Duration::from_millis(2);
                time::sleep_until(deadline).await;
                late.push(deadline.elapsed().as_secs_f64() * 1e6);
            }
            late
        });
        let late = timers.await;
        stop.set(true);
        spawn(yield_now()).await.ok();
        Ok::<_, QueueError>(late)
    })??;
    Ok(late?)
}
