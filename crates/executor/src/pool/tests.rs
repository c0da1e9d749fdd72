//! What only the inside can bring about: a member whose own loop panics. The rest is in tests/pool.rs.
use super::{member::Order, *};
use crate::{DriverKind, Executor};
use std::{future::pending, sync::mpsc};

fn options(kind: DriverKind, replace: bool) -> PoolOptions {
    let mut executor = Options::default();
    executor.driver.kind = Some(kind);
    executor.driver.entries = 64;
    executor.driver.memory = 1 << 16;
    PoolOptions { size: Some(2), executor, replace, ..Default::default() }
}

fn on_both_drivers(test: impl Fn(DriverKind)) {
    test(DriverKind::Poll);
    match Executor::start(options(DriverKind::Uring, false).executor) {
        Ok(_) => test(DriverKind::Uring),
        Err(error) => println!("skip: uring: {error}"),
    }
}

/// A call that hangs, once it has begun.
fn hanging(pool: &PoolHandle, member: usize) -> Call<()> {
    let (tell, began) = mpsc::channel();
    let call = pool.run(member, move || async move {
        tell.send(()).unwrap();
        pending::<()>().await
    });
    began.recv().unwrap();
    call
}

#[test]
fn a_loop_that_panics_rejects_what_is_pending_and_names_the_cause() {
    on_both_drivers(|kind| {
        let pool = ExecutorPool::start(options(kind, false)).unwrap();
        let (running, other) = (hanging(&pool, 0), hanging(&pool, 1));
        pool.pool.members[0].order(Order::Panic);
        let error = running.join().unwrap_err();
        assert!(matches!(&error, CallError::Died { member: 0, .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.starts_with("ERR_RINGWHEEL_MEMBER: member 0 of the pool died: its own loop panicked"),
            "{text}"
        );
        assert!(text.contains("expected: the loop"), "{text}");
        assert!(
            matches!(pool.run(0, || async {}).join(), Err(CallError::Died { .. })),
            "nor does it take another call"
        );
        assert!(!pool.kill(0, "twice"), "it is dead already");
        let stats = &pool.stats()[0];
        assert!(!stats.alive && stats.replaced == 0 && stats.pending == 0, "{stats:?}");
        assert_eq!(pool.run(Target::Any, || async { 7 }).join().unwrap(), 7, "the other one lives");
        assert!(!other.is_finished());
    });
}

#[test]
fn it_is_replaced_if_asked_on_the_same_seat() {
    on_both_drivers(|kind| {
        let pool = ExecutorPool::start(options(kind, true)).unwrap();
        let running = hanging(&pool, 0);
        pool.pool.members[0].order(Order::Panic);
        assert!(matches!(running.join(), Err(CallError::Died { .. })));
        let name = pool.run(0, || async { std::thread::current().name().map(str::to_owned) });
        assert_eq!(name.join().unwrap().as_deref(), Some("ringwheel-0"));
        let stats = &pool.stats()[0];
        assert!(stats.alive && stats.replaced == 1, "{stats:?}");
        assert!(stats.cause.as_ref().unwrap().contains("expected: the loop"));
    });
}
