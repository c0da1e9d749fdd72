//! The thread that writes an access log: sleeps while there are no lines, gathers for a moment when there are, writes them in one go.
use super::{AccessLog, Lines, Sink};
use crate::error::StartError;
use std::{
    io,
    sync::{Arc, PoisonError, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

/// How long the first line of a batch waits for others.
const GATHER: Duration = Duration::from_millis(200);

/// Opens the log, and starts its thread.
pub(crate) fn start(log: &Arc<AccessLog>) -> Result<thread::JoinHandle<()>, StartError> {
    let sink = Sink::open(log.options.file.as_deref())?;
    let log = Arc::clone(log);
    let writer = move || Writer { lines: Lines::default(), sink, torn: false }.run(&log);
    thread::Builder::new().name("ringwheel-log".to_owned()).spawn(writer).map_err(|error| StartError::Core {
        core: 0,
        reason: format!("no thread for the access log ({error}); raise the limit on processes (ulimit -u)"),
    })
}

struct Writer {
    /// What is being written; its memory goes to and fro.
    lines: Lines,
    sink: Sink,
    /// The last write ended within a line.
    torn: bool,
}

impl Writer {
    fn run(mut self, log: &AccessLog) {
        loop {
            let closing = wait(log);
            for core in 0..log.buffers.len() {
                self.lines.bytes.clear();
                self.lines.count = 0;
                std::mem::swap(&mut *log.lines_of(core), &mut self.lines);
                if !self.lines.bytes.is_empty() {
                    self.write(log);
                }
            }
            let mut desk = log.desk();
            if let Some(next) = desk.next.take() {
                (self.sink, self.torn) = (next, false);
                log.answer.notify_all();
            }
            if closing {
                desk.ended = true;
                log.answer.notify_all();
                return;
            }
        }
    }

    fn write(&mut self, log: &AccessLog) {
        log.in_hand.store(self.lines.count, Ordering::Relaxed);
        let is_wanted = || {
            let desk = log.desk();
            desk.next.is_none() && desk.close_by.is_none_or(|by| Instant::now() < by)
        };
        let mut result = Ok(());
        if self.torn {
            result = self.sink.write(b"\n", is_wanted).1;
            self.torn = result.is_err();
        }
        let mut written = 0;
        if result.is_ok() {
            (written, result) = self.sink.write(&self.lines.bytes, is_wanted);
            self.torn = written > 0 && self.lines.bytes[written - 1] != b'\n';
        }
        let lost = memchr::memchr_iter(b'\n', &self.lines.bytes[written..]).count() as u64;
        // A close that has given this up has counted it.
        if log.in_hand.swap(0, Ordering::Relaxed) > 0 {
            log.dropped.fetch_add(lost, Ordering::Relaxed);
        }
        log.desk().error = result.err().map(|error| told(&error));
    }
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "who reads the log does not keep up".to_owned(),
        _ => error.to_string(),
    }
}

/// Waits for lines, or for what else there is to do. True: this is the last time.
fn wait(log: &AccessLog) -> bool {
    let mut desk = log.desk();
    while !(desk.some || desk.next.is_some() || desk.close_by.is_some()) {
        desk = log.bell.wait(desk).unwrap_or_else(PoisonError::into_inner);
    }
    let end = Instant::now() + GATHER;
    while !(desk.many || desk.next.is_some() || desk.close_by.is_some()) {
        let Some(rest) = end.checked_duration_since(Instant::now()).filter(|rest| !rest.is_zero()) else {
            break;
        };
        desk = log.bell.wait_timeout(desk, rest).unwrap_or_else(PoisonError::into_inner).0;
    }
    (desk.some, desk.many) = (false, false);
    desk.close_by.is_some()
}
