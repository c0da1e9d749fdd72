//! ringwheel: `ours wheel|cascade|timers|sleeps|spawn|yield COUNT` prints one line of JSON.
mod wheel;

use measure::{TaskRun, arguments, insert_and_cancel_futures, sleep_plan, spawn_batches, yield_once, yields};
use ringwheel_executor::{DriverKind, Executor, Options, spawn, time};
use std::{future::poll_fn, task::Poll, time::Instant};

fn on<F: Future>(future: F) -> F::Output {
    let mut options = Options::default();
    // The executor leaves the environment to its hosts, and this is one.
    options.driver.kind = match std::env::var("RINGWHEEL_DRIVER").as_deref() {
        Ok("poll") => Some(DriverKind::Poll),
        Ok("uring") => Some(DriverKind::Uring),
        _ => None,
    };
    let mut executor = Executor::start(options).expect("an executor starts");
    let kind = match executor.driver_kind() {
        DriverKind::Uring => "uring",
        DriverKind::Poll => "poll",
    };
    measure::set_driver(format!("{kind} ({})", executor.features().join(" ")));
    executor.run(future).expect("the future ends")
}

fn main() {
    let (what, count) = arguments(100_000);
    match what.as_str() {
        "wheel" => wheel::insert_and_cancel(count),
        "cascade" => wheel::cascade(count),
        "timers" => on(poll_fn(move |context| {
            insert_and_cancel_futures(count, time::sleep, context);
            Poll::Ready(())
        })),
        "sleeps" => on(async move {
            let plan = sleep_plan(count);
            let sleep = |delay| async move {
                let begun = Instant::now();
                time::sleep(delay).await;
                begun.elapsed()
            };
            let tasks: Vec<_> = plan.delays.iter().map(|delay| spawn(sleep(*delay))).collect();
            let mut took = Vec::with_capacity(count);
            for task in tasks {
                took.push(task.await.expect("not cancelled"));
            }
            plan.finish(&took);
        }),
        "spawn" => on(async move {
            let (batches, run, mut sum) = (spawn_batches(count), TaskRun::begin(), 0);
            for _ in 0..batches {
                let tasks: Vec<_> = (0..measure::BATCH).map(|number| spawn(async move { number })).collect();
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
            let tasks: Vec<_> = (0..tasks).map(|_| spawn(turns())).collect();
            let all = tasks.len() as u64 * times;
            for task in tasks {
                sum += task.await.expect("not cancelled");
            }
            run.yielded(all, sum);
        }),
        other => {
            eprintln!("unknown benchmark {other:?}: wheel, cascade, timers, sleeps, spawn or yield");
            std::process::exit(2);
        }
    }
}
