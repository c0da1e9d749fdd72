//! The thread that finds names and tells: reading a binary's symbols can take a second, in which others may stall.
use super::{Frame, Stall, StallOptions, signal::named};
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, OnceLock,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

/// A stall as it was found.
pub(super) struct Found {
    queue: String,
    addresses: Vec<usize>,
    frames: OnceLock<Arc<[Frame]>>,
}

impl Found {
    pub(super) fn new(queue: String, addresses: Vec<usize>) -> Found {
        Found { queue, addresses, frames: OnceLock::new() }
    }
}

/// What is to be told.
pub(super) struct Report {
    pub(super) options: StallOptions,
    pub(super) thread: String,
    pub(super) found: Arc<Found>,
    pub(super) duration: Duration,
    pub(super) over: bool,
    pub(super) at: Instant,
    pub(super) suppressed: u64,
}

/// Starts its thread with the first report; it ends when this is dropped, after the last.
#[derive(Default)]
pub(super) struct Reporter(Option<Sender<Report>>);

impl Reporter {
    pub(super) fn send(&mut self, report: Report) {
        if self.0.is_none() {
            let (sender, receiver) = channel();
            let builder = std::thread::Builder::new().name("ringwheel-report".to_owned());
            if builder.spawn(move || tell_all(&receiver)).is_err() {
                return; // No thread to be had: the stall is counted all the same.
            }
            self.0 = Some(sender);
        }
        if let Some(sender) = &self.0 {
            let _ = sender.send(report); // It receives as long as we are there.
        }
    }
}

fn tell_all(reports: &Receiver<Report>) {
    for Report { options, thread, found, duration, over, at, suppressed } in reports {
        let stack = Arc::clone(found.frames.get_or_init(|| named(&found.addresses).into()));
        let stall = Stall { thread, queue: found.queue.clone(), duration, over, at, stack, suppressed };
        // Whatever a report throws, the next one is told.
        let _ = catch_unwind(AssertUnwindSafe(|| match &options.report {
            Some(report) => report(&stall),
            None => eprintln!("ringwheel: {stall}"),
        }));
    }
}
