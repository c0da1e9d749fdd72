//! glommio: `peer-glommio timers|sleeps|spawn|yield COUNT` prints one line of JSON.
use measure::{TaskRun, arguments, insert_and_cancel_futures, sleep_plan, spawn_batches, yield_once, yields};
use std::{future::poll_fn, task::Poll, time::Instant};

fn on<T: 'static>(future: impl Future<Output = T>) -> T {
    let builder = glommio::LocalExecutorBuilder::new(glommio::Placement::Unbound).ring_depth(1024);
    builder.make().expect("io_uring and locked memory are allowed here").run(future)
}

fn main() {
    let (what, count) = arguments(100_000);
    match what.as_str() {
        "timers" => on(poll_fn(move |context| {
            insert_and_cancel_futures(count, glommio::timer::Timer::new, context);
            Poll::Ready(())
        })),
        "sleeps" => on(async move {
            let plan = sleep_plan(count);
            let sleep = |delay| async move {
                let begun = Instant::now();
                glommio::timer::Timer::new(delay).await;
                begun.elapsed()
            };
            let tasks: Vec<_> =
                plan.delays.iter().map(|delay| glommio::spawn_local(sleep(*delay)).detach()).collect();
            let mut took = Vec::with_capacity(count);
            for task in tasks {
                took.push(task.await.expect("not cancelled"));
            }
            plan.finish(&took);
        }),
        "spawn" => on(async move {
            let (batches, run, mut sum) = (spawn_batches(count), TaskRun::begin(), 0);
            for _ in 0..batches {
                let tasks: Vec<_> = (0..measure::BATCH)
                    .map(|number| glommio::spawn_local(async move { number }).detach())
                    .collect();
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
            let tasks: Vec<_> = (0..tasks).map(|_| glommio::spawn_local(turns()).detach()).collect();
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
