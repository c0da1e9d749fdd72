//! A thread of the server that does not come back to its turn is counted: here a signal handler holds it in the middle of one.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]
mod common;
use common::{Client, Site, on_each_driver, serve};
use std::{
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

const CLIENTS: usize = 8;
const HELD: Duration = Duration::from_millis(300);

extern "C" fn hold(_: libc::c_int) {
    let time = libc::timespec { tv_sec: 0, tv_nsec: HELD.as_nanos() as libc::c_long };
    // SAFETY: `nanosleep` needs a readable time and may be called in a handler (signal-safety(7)). Holds: it is a local.
    // Checked: the test below, which such a sleep makes pass.
    unsafe { libc::nanosleep(&time, std::ptr::null_mut()) };
}

/// The threads of servers, whose names begin so.
fn server_threads() -> Vec<i32> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let named = tasks.filter(|task| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == "ringwheel-0")
    });
    named.map(|task| task.file_name().to_str().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_stalled_core_is_counted_with_how_long_it_was() {
    // SAFETY: an all-zero sigaction is a valid one. Holds: its fields are numbers and an optional function. Checked: as above.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = hold as *const () as usize;
    // SAFETY: `sigaction` needs a handler that is safe in a signal. Holds: `hold` calls nanosleep alone. Checked: as above.
    assert_eq!(unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) }, 0);
    on_each_driver(|site: Site, driver| {
        site.write("file", "hello");
        let server = serve(&site, driver, |_| {});
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            // Keep the thread busy, so that the signal finds it in a turn; a parked one is not stalled. One alone would leave it idle for most
            // of the time.
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    let mut client = Client::connect(server.local_address());
                    while !done.load(Ordering::Relaxed) {
                        assert_eq!(client.get("/file", "").status, 200);
                    }
                });
            }
            let end = Instant::now() + Duration::from_secs(60);
            // The counters are up to a second old.
            while server.stats().total.longest_stall < HELD * 2 / 3 && Instant::now() < end {
                for thread in server_threads() {
                    // SAFETY: `tgkill` needs ids; of a thread that is gone it gives ESRCH. Checked: as above.
                    unsafe { libc::syscall(libc::SYS_tgkill, std::process::id(), thread, libc::SIGUSR1) };
                }
                thread::sleep(HELD * 3 / 2);
            }
            done.store(true, Ordering::Relaxed);
        });
        let total = server.stats().total;
        assert!(total.stalls >= 1 && total.longest_stall >= HELD * 2 / 3, "{driver:?}: {total:?}");
    });
}
