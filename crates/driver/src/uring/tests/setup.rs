//! Stepping down at the start: what a set-up that does not serve makes of the next one.
use super::{
    rings::{Started, Tasks, start_checked},
    *,
};
use crate::StartError;

/// A driver over the first set-up that passes `wakes`, which is asked only after the true check.
fn stepping_down(host: Host, wakes: impl Fn(Tasks) -> bool) -> Result<Uring, StartError> {
    let options = options(host);
    let started: Started = start_checked(&options, |attempt, ring, eventfd| {
        Ok(wakes(attempt.tasks) && rings::wakes_its_host(ring, eventfd)?)
    })?;
    let (arena, chunks) = (Arena::new(65_536).unwrap(), ChunkPool::new(8, 512).unwrap());
    Ok(Uring::over(started, &options, arena, chunks))
}

/// A pipe read that waits must make the eventfd readable when it completes, as libuv would see it.
fn wakes_on_a_late_completion(uring: &mut Uring) {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let file = handle(reader);
    for round in 0..20 {
        let target = Target::Vec(Vec::with_capacity(1));
        let read = file::Read { file: file.clone(), target, offset: u64::MAX };
        uring.submit(Operation::Read(read), round).unwrap();
        uring.enter(Wait::No).unwrap();
        assert!(!readable(uring.host_fd(), 0));
        rustix::io::write(&writer, b"x").unwrap();
        assert!(readable(uring.host_fd(), 5000), "round {round}: {:?}", uring.features());
        uring.acknowledge();
        uring.enter(Wait::No).unwrap();
        let mut results = Vec::new();
        uring.reap(10, |completion| results.push((completion.token, completion.result)));
        assert_eq!(results, [(round, 1)]);
    }
}

#[test]
fn without_deferred_task_running_the_cooperative_kind_wakes_the_host() {
    let mut uring = stepping_down(Host::Embedded, |tasks| tasks != Tasks::Deferred).unwrap();
    assert!(uring.features().contains(&"coop-taskrun"), "{:?}", uring.features());
    assert!(!uring.features().contains(&"defer-taskrun"));
    assert!(uring.notes()[0].starts_with("with defer-taskrun, single-issuer"), "{:?}", uring.notes());
    wakes_on_a_late_completion(&mut uring);
    assert_eq!(uring.shutdown(Duration::from_secs(5)).leaked, 0);
}

#[test]
fn without_cooperative_task_running_interrupts_wake_the_host() {
    let mut uring = stepping_down(Host::Embedded, |tasks| tasks == Tasks::Interrupting).unwrap();
    assert!(uring.features().iter().all(|name| !name.ends_with("-taskrun")), "{:?}", uring.features());
    wakes_on_a_late_completion(&mut uring);
    assert_eq!(uring.shutdown(Duration::from_secs(5)).leaked, 0);
}

#[test]
fn a_ring_that_never_wakes_its_host_is_not_used() {
    let Err(StartError::Denied(why)) = stepping_down(Host::Embedded, |_| false) else {
        panic!("it must not start");
    };
    assert!(why.contains("poll driver"), "the remedy: {why}");
}

#[test]
fn a_native_host_blocks_in_the_ring_and_needs_no_check() {
    let uring = stepping_down(Host::Native, |_| panic!("nobody asks")).unwrap();
    assert_eq!(uring.notes(), [] as [String; 0]);
}
