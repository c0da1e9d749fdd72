//! Starting a ring by trial: the best set-up first, then what older kernels and tighter limits allow; each step down is said.
use crate::{
    Host, Options, Sqpoll, StartError,
    error::{Errno, remedy},
    limits::{COMPLETION_ENTRIES, ENTRIES_FLOOR, SQPOLL_CPUS},
};
use io_uring::{IoUring, opcode, types};
use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno as E,
    pipe::{PipeFlags, pipe_with},
};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// How completions come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tasks {
    /// DEFER_TASKRUN (6.1): only when we enter. The cheapest.
    Deferred,
    /// COOP_TASKRUN (5.19): at any system call of ours.
    Cooperative,
    /// By interrupting the thread (before 5.19).
    Interrupting,
}

/// One set-up to try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    pub(super) tasks: Tasks,
    single_issuer: bool,
    no_sqarray: bool,
    submit_all: bool,
}

/// Best first. EINVAL means this kernel does not know one of the flags: the next is tried.
const ATTEMPTS: [Attempt; 6] = [
    Attempt { tasks: Tasks::Deferred, single_issuer: true, no_sqarray: true, submit_all: true },
    Attempt { tasks: Tasks::Deferred, single_issuer: true, no_sqarray: false, submit_all: true },
    Attempt { tasks: Tasks::Cooperative, single_issuer: true, no_sqarray: false, submit_all: true },
    Attempt { tasks: Tasks::Cooperative, single_issuer: false, no_sqarray: false, submit_all: true },
    Attempt { tasks: Tasks::Interrupting, single_issuer: false, no_sqarray: false, submit_all: true },
    Attempt { tasks: Tasks::Interrupting, single_issuer: false, no_sqarray: false, submit_all: false },
];

/// A ring that works, with the eventfd that wakes it.
pub(super) struct Started {
    pub(super) ring: IoUring,
    pub(super) eventfd: OwnedFd,
    pub(super) features: Vec<&'static str>,
    pub(super) notes: Vec<String>,
}

/// Starts a ring for this thread.
pub(super) fn start(options: &Options) -> Result<Started, StartError> {
    start_checked(options, |_, ring, eventfd| wakes_its_host(ring, eventfd))
}

/// `wakes` says of a set-up whether its completions wake an embedded host; tests let it say no.
pub(super) fn start_checked(
    options: &Options,
    mut wakes: impl FnMut(Attempt, &IoUring, &OwnedFd) -> Result<bool, E>,
) -> Result<Started, StartError> {
    if let Some(sqpoll) = &options.sqpoll {
        check_cpus(sqpoll)?;
    }
    let mut notes = Vec::new();
    let mut refusal = E::INVAL;
    for attempt in ATTEMPTS {
        if options.sqpoll.is_some() && attempt.tasks != Tasks::Interrupting {
            continue; // SQPOLL with either kind of task running is EINVAL.
        }
        let ring = match build(options, attempt, &mut notes) {
            Ok(ring) => ring,
            Err(E::INVAL) => continue,
            Err(errno) => {
                refusal = errno;
                break;
            }
        };
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let eventfd =
            eventfd(0, flags).map_err(|e| StartError::System { what: "eventfd", errno: e.into() })?;
        let features = features(attempt, options);
        let wakes = match options.host {
            Host::Native => Ok(true),
            Host::Embedded => wakes(attempt, &ring, &eventfd),
        };
        if let Err(errno @ (E::MFILE | E::NFILE)) = wakes {
            return Err(refused(errno)); // The check itself needs a pipe.
        }
        if wakes != Ok(true) {
            notes.push(format!(
                "with {} a completion does not wake an event loop here, so the next set-up was tried",
                features.join(", ")
            ));
            continue;
        }
        if !ring.params().is_feature_nodrop() || !ring.params().is_feature_ext_arg() {
            break; // Before 5.11: completions could be lost.
        }
        return Ok(Started { features, ring, eventfd, notes });
    }
    Err(refused(refusal))
}

/// One attempt, with ever fewer entries while the system says ENOMEM.
fn build(options: &Options, attempt: Attempt, notes: &mut Vec<String>) -> Result<IoUring, E> {
    let mut entries = options.entries;
    loop {
        let completions = options
            .completion_entries
            .unwrap_or(entries * 4)
            .next_power_of_two()
            .min(*COMPLETION_ENTRIES.end());
        let mut builder = IoUring::builder();
        builder.dontfork();
        if let Some(sqpoll) = &options.sqpoll {
            builder.setup_sqpoll(sqpoll.idle_ms);
            if let Some(cpu) = sqpoll.cpu {
                builder.setup_sqpoll_cpu(cpu);
            }
        }
        match attempt.tasks {
            Tasks::Deferred => drop(builder.setup_defer_taskrun().setup_taskrun_flag()),
            Tasks::Cooperative => drop(builder.setup_coop_taskrun().setup_taskrun_flag()),
            Tasks::Interrupting => {}
        }
        if attempt.single_issuer {
            builder.setup_single_issuer();
        }
        if attempt.no_sqarray {
            builder.setup_no_sqarray();
        }
        if attempt.submit_all {
            builder.setup_submit_all();
        }
        // The kernel wants at least as many completion as submission entries.
        builder.setup_cqsize(completions);
        match builder.build(entries.min(completions)) {
            Ok(ring) => {
                if entries < options.entries {
                    notes.push(format!(
                        "no memory for {} submission entries, so there are {entries}; raise the limit of locked memory (ulimit -l)",
                        options.entries
                    ));
                }
                return Ok(ring);
            }
            Err(error) => match E::from_io_error(&error).unwrap_or(E::IO) {
                E::NOMEM if entries > ENTRIES_FLOOR => entries /= 2,
                errno => return Err(errno),
            },
        }
    }
}

/// Posts a completion asynchronously and asks poll(2) whether the registered eventfd shows it: some combinations of kernel
/// and set-up never wake a foreign event loop (a ring's own descriptor with DEFER_TASKRUN, for one).
pub(super) fn wakes_its_host(ring: &IoUring, host: &OwnedFd) -> Result<bool, E> {
    let io = |error: std::io::Error| E::from_io_error(&error).unwrap_or(E::IO);
    ring.submitter().register_eventfd(host.as_raw_fd()).map_err(io)?;
    // Not an eventfd: signalling one eventfd from another's wake-up waits for an RCU grace period, some 20 ms.
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let entry = opcode::PollAdd::new(types::Fd(reader.as_raw_fd()), libc::POLLIN as u32).build();
    // SAFETY: `submission_shared` needs that no other view of the queue exists: the ring is not shared yet.
    let mut queue = unsafe { ring.submission_shared() };
    // SAFETY: `push` needs every pointer in the entry valid until its final completion: it has none, and the kernel
    // holds the file. Checked: every embedded driver of the contract suite starts through here.
    unsafe { queue.push(&entry) }.map_err(|_| E::BUSY)?;
    drop(queue);
    ring.submitter().submit().map_err(io)?;
    rustix::io::write(&writer, b"x")?;
    let mut watched = [PollFd::from_borrowed_fd(host.as_fd(), PollFlags::IN)];
    let patience = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let woken = poll(&mut watched, Some(&patience))? == 1;
    // Collected or not, the poll must be over: its completion must not reach the driver.
    ring.submitter().submit_and_wait(1).map_err(io)?;
    // SAFETY: `completion_shared` needs that no other view of the queue exists: the ring is not shared yet.
    let collected = unsafe { ring.completion_shared() }.next().is_some();
    // Start from a clean slate: the check itself made the eventfd readable.
    let _ = rustix::io::read(host, &mut [0; 8]);
    Ok(woken && collected)
}

fn features(attempt: Attempt, options: &Options) -> Vec<&'static str> {
    let mut features = Vec::new();
    match attempt.tasks {
        Tasks::Deferred => features.push("defer-taskrun"),
        Tasks::Cooperative => features.push("coop-taskrun"),
        Tasks::Interrupting => {}
    }
    let flags = [
        (attempt.single_issuer, "single-issuer"),
        (attempt.no_sqarray, "no-sqarray"),
        (options.sqpoll.is_some(), "sqpoll"),
        (options.host == Host::Embedded, "eventfd"),
    ];
    features.extend(flags.into_iter().filter_map(|(on, name)| on.then_some(name)));
    features
}

fn check_cpus(sqpoll: &Sqpoll) -> Result<(), StartError> {
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    if usable >= SQPOLL_CPUS || sqpoll.force {
        return Ok(());
    }
    Err(StartError::Option(format!(
        "sqpoll needs a core of its own, and only {usable} CPUs are usable (at least {SQPOLL_CPUS}); leave it off, or force it"
    )))
}

fn refused(errno: E) -> StartError {
    let ours = Errno::from(errno);
    match errno {
        E::MFILE | E::NFILE => StartError::System { what: "io_uring_setup", errno: ours },
        E::INVAL => StartError::Denied(
            "io_uring_setup knows no set-up that works here; use the poll driver, or Linux 5.15 or later"
                .to_owned(),
        ),
        _ => StartError::Denied(format!("io_uring_setup failed: {ours}; {}", remedy(ours))),
    }
}
