//! One run: streams of operations, a policy that holds back or gives, a disk.
use crate::{Disk, Model, Random};
use ringwheel_executor::io::{Adaptive, AdaptiveStats, Class, Costs, Grant, Scheduler};
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// So many tasks that each do one operation after the other.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// Its class in the adaptive policy; the fixed one knows none.
    pub class: Class,
    /// Tasks.
    pub tasks: u32,
    /// Bytes of an operation.
    pub bytes: u64,
    /// Whether they write.
    pub is_write: bool,
    /// Mean nanoseconds between the end of an operation and the next of its task. 0: none.
    pub pause: f64,
}

/// Who decides what the disk has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// First come, first served; at most `depth` operations with the disk, given to it `batch` at a time.
    Fixed {
        /// Operations with the disk.
        depth: usize,
        /// Operations that are given together, or as many as there are when the disk has nothing.
        batch: usize,
    },
    /// The executor's scheduler, and its controllers of depth and flush.
    Adaptive(Adaptive),
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Bytes a second, of all streams.
    pub throughput: f64,
    /// Operations a second, of all streams.
    pub operations: f64,
    /// Of each stream, latencies from asking to the end: 50th and 99th percentile, nanoseconds.
    pub latency: Vec<(f64, f64)>,
    /// Of each stream, bytes a second.
    pub rates: Vec<f64>,
    /// The scheduler's figures at the end; zeros for the fixed policy.
    pub adaptive: AdaptiveStats,
}

/// One operation: its stream, and when it was asked for.
type Asked = (usize, f64);

enum Gate {
    Fixed { depth: usize, batch: usize, waiting: VecDeque<Asked>, away: usize },
    Adaptive(Scheduler<Asked>, Costs),
}

impl Gate {
    fn ask(&mut self, stream: &Stream, asked: Asked) -> Option<Option<Grant>> {
        match self {
            Gate::Fixed { waiting, .. } => {
                waiting.push_back(asked);
                None
            }
            Gate::Adaptive(scheduler, costs) => {
                let work = if stream.is_write { costs.write(stream.bytes) } else { costs.read(stream.bytes) };
                scheduler.ask(stream.class, work, asked.1 as u64, || asked).map(Some)
            }
        }
    }

    /// What goes to the disk now.
    fn give(&mut self, now: f64, give: &mut Vec<(Asked, Option<Grant>)>) {
        match self {
            Gate::Fixed { depth, batch, waiting, away } => {
                while !waiting.is_empty()
                    && (*away == 0 || (waiting.len() >= *batch && *depth - *away >= *batch))
                {
                    for asked in waiting.drain(..waiting.len().min(*batch)) {
                        *away += 1;
                        give.push((asked, None));
                    }
                }
            }
            Gate::Adaptive(scheduler, _) => {
                while let Some((asked, grant)) = scheduler.pick(now as u64) {
                    give.push((asked, Some(grant)));
                }
            }
        }
    }

    fn ended(&mut self, grant: Option<Grant>, now: f64) {
        match self {
            Gate::Fixed { away, .. } => *away -= 1,
            Gate::Adaptive(scheduler, _) => {
                if let Some(grant) = grant {
                    scheduler.completed(grant, now as u64);
                }
            }
        }
    }
}

enum Event {
    Asks(usize),
    Ends(Asked, Option<Grant>),
}

/// What happens, by time; of two things at once the older.
#[derive(Default)]
struct Agenda {
    times: BinaryHeap<Reverse<(u64, usize)>>,
    events: Vec<Option<Event>>,
}

impl Agenda {
    fn push(&mut self, at: f64, event: Event) {
        self.times.push(Reverse((at as u64, self.events.len())));
        self.events.push(Some(event));
    }

    fn pop(&mut self) -> Option<(f64, Event)> {
        let Reverse((at, number)) = self.times.pop()?;
        Some((at as f64, self.events[number].take()?))
    }
}

/// Runs until `operations` have ended; the first half of them only warms up.
pub fn run(model: Model, streams: &[Stream], policy: Policy, operations: usize, seed: u64) -> Outcome {
    let mut random = Random::new(seed);
    let mut disk = Disk::new(model);
    let mut gate = match policy {
        Policy::Fixed { depth, batch } => {
            Gate::Fixed { depth, batch: batch.clamp(1, depth), waiting: VecDeque::new(), away: 0 }
        }
        Policy::Adaptive(adaptive) => Gate::Adaptive(Scheduler::new(adaptive.depth()), adaptive.costs()),
    };
    let mut agenda = Agenda::default();
    for (index, stream) in streams.iter().enumerate() {
        for _ in 0..stream.tasks {
            agenda.push(random.unit() * 1000.0, Event::Asks(index));
        }
    }
    let mut latencies = vec![Vec::new(); streams.len()];
    let mut given = Vec::new();
    let (mut ended, mut half_at, mut last) = (0, 0.0, 0.0);
    while ended < operations {
        let Some((now, event)) = agenda.pop() else { break };
        match event {
            Event::Asks(index) => {
                if let Some(grant) = gate.ask(&streams[index], (index, now)) {
                    given.push(((index, now), grant));
                }
            }
            Event::Ends((index, asked), grant) => {
                ended += 1;
                last = now;
                if ended == operations / 2 {
                    half_at = now;
                }
                if ended > operations / 2 {
                    latencies[index].push(now - asked);
                }
                gate.ended(grant, now);
                let pause = streams[index].pause;
                let next = if pause > 0.0 { now + random.exponential(pause) } else { now };
                agenda.push(next, Event::Asks(index));
            }
        }
        gate.give(now, &mut given);
        for (asked, grant) in given.drain(..) {
            let stream = &streams[asked.0];
            let done = disk.accept(stream.bytes, stream.is_write, now, &mut random);
            agenda.push(done, Event::Ends(asked, grant));
        }
    }
    let seconds = ((last - half_at) / 1e9).max(f64::MIN_POSITIVE);
    let rates: Vec<f64> = latencies
        .iter()
        .zip(streams)
        .map(|(times, stream)| times.len() as f64 * stream.bytes as f64 / seconds)
        .collect();
    Outcome {
        throughput: rates.iter().sum(),
        operations: latencies.iter().map(Vec::len).sum::<usize>() as f64 / seconds,
        latency: latencies.into_iter().map(percentiles).collect(),
        rates,
        adaptive: match &gate {
            Gate::Adaptive(scheduler, _) => scheduler.stats(),
            Gate::Fixed { .. } => AdaptiveStats::default(),
        },
    }
}

fn percentiles(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    (at(0.5), at(0.99))
}
