//! Cases: jobs on the blocking pool.
use super::{Case, Rig, Skip};
use crate::{Operation, op::job::Job};
use std::sync::{
    Arc, Barrier,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};

pub(super) const CASES: &[Case] = &[
    Case { name: "a job's result is its closure's", run: results },
    Case { name: "a job that panics is EIO, and the pool lives", run: panics },
    Case { name: "more jobs than the pool takes at once all run", run: many },
    Case { name: "jobs run beside each other, within the bound", run: parallel },
    Case { name: "a job that ran before is refused or ends at once", run: spent },
];

pub(super) fn job(run: impl FnOnce() -> i32 + Send + 'static) -> Job {
    Job { run: Some(Box::new(run)), file: None, waits: false }
}

fn results(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    let (sender, receiver) = mpsc::channel();
    let run = move || {
        sender.send(std::thread::current().id()).expect("send");
        42
    };
    assert_eq!(drive.result(job(run)), 42);
    assert_ne!(receiver.recv().expect("receive"), std::thread::current().id(), "on another thread");
    assert_eq!(drive.result(job(|| -libc::ENOENT)), -libc::ENOENT);
    Ok(())
}

fn panics(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start_with(|options| options.pool_threads = 1);
    for _ in 0..3 {
        // `resume_unwind` panics without the hook's message on standard error.
        assert_eq!(drive.result(job(|| std::panic::resume_unwind(Box::new("on purpose")))), -libc::EIO);
        assert_eq!(drive.result(job(|| 1)), 1);
    }
    Ok(())
}

fn many(rig: &Rig) -> Result<(), Skip> {
    const JOBS: usize = 2000;
    let mut drive = rig.start();
    let ran = Arc::new(AtomicUsize::new(0));
    let mut sum = 0;
    let (mut submitted, mut ended) = (0, 0);
    while ended < JOBS {
        while submitted < JOBS && drive.driver.in_flight() < rig.limit().min(1000) {
            let ran = Arc::clone(&ran);
            let number = submitted as i32;
            drive.submit(job(move || {
                ran.fetch_add(1, Ordering::Relaxed);
                number
            }));
            submitted += 1;
        }
        drive.until("a job", |drive| !drive.seen.is_empty());
        for completion in drive.seen.drain(..) {
            sum += completion.result as usize;
            ended += 1;
        }
    }
    assert_eq!(ran.load(Ordering::Relaxed), JOBS);
    assert_eq!(sum, JOBS * (JOBS - 1) / 2, "each result once");
    Ok(())
}

fn parallel(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start_with(|options| options.pool_threads = 2);
    let barrier = Arc::new(Barrier::new(2));
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let tokens: Vec<_> = (0..6)
        .map(|_| {
            let (running, most, barrier) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&barrier));
            let run = move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                barrier.wait(); // Each ends only beside another.
                running.fetch_sub(1, Ordering::SeqCst);
                0
            };
            drive.submit(job(run)).1
        })
        .collect();
    for token in tokens {
        assert_eq!(drive.next(token).result, 0);
    }
    assert_eq!(most.load(Ordering::SeqCst), 2);
    Ok(())
}

fn spent(rig: &Rig) -> Result<(), Skip> {
    let mut drive = rig.start();
    match drive.driver.submit(Operation::Job(Job { run: None, file: None, waits: false }), 77) {
        Ok(_) => assert!(drive.next(77).result < 0),
        Err(refused) => assert!(matches!(refused.operation, Operation::Job(_))),
    }
    assert_eq!(drive.result(job(|| 3)), 3);
    Ok(())
}
