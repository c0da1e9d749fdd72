//! tokio: `peer-tokio timers|sleeps|spawn|yield COUNT` prints one line of JSON.
use measure::{TaskRun, arguments, insert_and_cancel_futures, sleep_plan, spawn_batches, yield_once, yields};
use std::{future::poll_fn, task::Poll, time::Instant};

// The current-thread runtime: one core of tokio. Unconstrained, so that its budget does not interrupt a loop that is measured.
fn on<F: Future>(future: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().build().expect("the runtime starts");
    runtime.block_on(tokio::task::unconstrained(future))
}

fn main() {
    let (what, count) = arguments(100_000);
    match what.as_str() {
        "timers" => on(poll_fn(move |context| {
            insert_and_cancel_futures(count, tokio::time::sleep, context);
            Poll::Ready(())
        })),
        "sleeps" => on(async move {
            let plan = sleep_plan(count);
            let sleep = |delay| async move {
                let begun = Instant::now();
                tokio::time::sleep(delay).await;
                begun.elapsed()
            };
            let tasks: Vec<_> = plan.delays.iter().map(|delay| tokio::spawn(sleep(*delay))).collect();
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
                    (0..measure::BATCH).map(|number| tokio::spawn(async move { number })).collect();
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
            let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(turns())).collect();
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
