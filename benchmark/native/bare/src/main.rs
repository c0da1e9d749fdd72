//! The bare ring: `bare reads|echo|echo-multishot|cross|cross-park|lives …` prints one line of JSON, as the runtimes do.
//!
//! The io-uring crate, one loop, no tasks: the ceiling of what a runtime can reach. With DEFER_TASKRUN, a registered file and
//! registered buffers.
mod echo;
mod reads;
mod wakes;

use io_uring::{IoUring, squeue};
use measure::{ReadRun, arguments};

/// A ring for this thread alone, which runs its completions when it enters.
fn ring(entries: u32) -> IoUring {
    let mut builder = IoUring::builder();
    builder.setup_defer_taskrun().setup_single_issuer();
    builder.build(entries).expect("io_uring is allowed here, and Linux is 6.1 or later")
}

/// Puts an entry into the queue; a full one is submitted first.
///
/// # Safety
/// All that the entry points to stays valid until its completion.
unsafe fn push(ring: &mut IoUring, entry: &squeue::Entry) {
    loop {
        // SAFETY: the caller's promise. Checked: every contender's results are verified.
        if unsafe { ring.submission().push(entry) }.is_ok() {
            return;
        }
        ring.submit().expect("the kernel takes entries");
    }
}

fn main() {
    let (what, count) = arguments(1000);
    match what.as_str() {
        "reads" => reads::reads(ReadRun::begin()),
        "echo" => echo::single_shot(measure::echo_listener()),
        "echo-multishot" => echo::multishot(measure::echo_listener()),
        "cross" => wakes::message_ring(),
        "cross-park" => wakes::park(),
        "lives" => measure::lives(count, || {
            let mut ring = ring(1024);
            // SAFETY: the entry has no pointers. Checked: it completes.
            unsafe { push(&mut ring, &io_uring::opcode::Nop::new().build()) };
            ring.submit_and_wait(1).expect("the kernel takes entries");
            assert_eq!(ring.completion().count(), 1, "it completes");
        }),
        other => {
            eprintln!("unknown benchmark {other:?}");
            std::process::exit(2);
        }
    }
}
