//! compio: `peer-compio timers|sleeps|spawn|yield COUNT` prints one line of JSON.
use measure::{TaskRun, arguments, insert_and_cancel_futures, sleep_plan, spawn_batches, yield_once, yields};
use std::{future::poll_fn, task::Poll, time::Instant};

fn on<F: Future>(future: F) -> F::Output {
    let mut driver = compio::driver::ProactorBuilder::new();
    driver.capacity(1024);
    let mut builder = compio::runtime::RuntimeBuilder::new();
    builder.with_proactor(driver);
    let runtime = builder.build().expect("the runtime starts");
    assert!(runtime.driver_type().is_iouring(), "io_uring is allowed here");
    runtime.block_on(future)
}

fn main() {
    let (what, count) = arguments(100_000);
    match what.as_str() {
        "timers" => on(poll_fn(move |context| {
            insert_and_cancel_futures(count, compio::time::sleep, context);
            Poll::Ready(())
        })),
        "sleeps" => on(async move {
            let plan = sleep_plan(count);
            let sleep = |delay| async move {
                let begun = Instant::now();
                compio::time::sleep(delay).await;
                begun.elapsed()
            };
            let tasks: Vec<_> =
                plan.delays.iter().map(|delay| compio::runtime::spawn(sleep(*delay))).collect();
            let mut took = Vec::with_capacity(count);
            for task in tasks {
                took.push(task.await.expect("not cancelled"));
            }
            plan.finish(&took);
        }),
        "spawn" => on(async move {
            let (batches, run, mut sum) = (spawn_batches(count), TaskRun::begin(), 0);
            for _ in 0..batches {
                let tasks: Vec<_> =
                    (0..measure::BATCH).map(|number| compio::runtime::spawn(async move { number })).collect();
                for task in tasks {
                    sum += task.await.expect("not cancelled");
                }
            }
            run.spawned(batches, sum);
        }),
        "yield" => on(async move {
            let (tasks, times) = yields(count);
            let turns = move || async move {
                for _ in 0..times {
                    yield_once().await;
                }
                times
            };
            let (run, mut sum) = (TaskRun::begin(), 0);
            let tasks: Vec<_> = (0..tasks).map(|_| compio::runtime::spawn(turns())).collect();
            let all = tasks.len() as u64 * times;
            for task in tasks {
                sum += task.await.expect("not cancelled");
            }
            run.yielded(all, sum);
        }),
        other => {
            eprintln!("unknown benchmark {other:?}: timers, sleeps, spawn or yield");
            std::process::exit(2);
        }
    }
}
