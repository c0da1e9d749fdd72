//! The program of a contender: the arms that all have in common, written once, over what differs between runtimes.

/// Makes `main`. What a runtime must say:
///
/// ```ignore
/// measure::contender! {
///     on: on,                                      // fn(impl Future) -> its output, on a new executor
///     spawn: |future| monoio::spawn(future),       // an expression that makes a task
///     join: |task| task.await,                     // an expression that waits for its result
///     sleep: monoio::time::sleep,                  // fn(Duration) -> impl Future
///     reads: reads,                                // fn(ReadRun)
///     echo: echo,                                  // fn(TcpListener), serves until it is ended
/// }
/// ```
///
/// `NAME timers|sleeps|spawn|yield|wake|cross|lives COUNT …`, `NAME reads FILE DEPTH SECONDS cached|direct` and `NAME echo` then
/// print one line of JSON. `more: |count| { "what" => expression, … }` adds arms, or puts one in the place of a common one.
#[macro_export]
macro_rules! contender {
    (
        on: $on:path,
        spawn: |$future:ident| $spawn:expr,
        join: |$task:ident| $join:expr,
        sleep: $sleep:path,
        reads: $reads:path,
        echo: $echo:path
        $(, more: |$count:ident| { $($what:literal => $arm:expr),+ $(,)? })?
        $(,)?
    ) => {
        fn main() {
            let (what, count) = $crate::arguments(100_000);
            $(match what.as_str() {
                $($what => { let $count = count; return $arm })+
                _ => {}
            })?
            match what.as_str() {
                "timers" => $on(std::future::poll_fn(move |context| {
                    $crate::insert_and_cancel_futures(count, $sleep, context);
                    std::task::Poll::Ready(())
                })),
                "sleeps" => $on(async move {
                    let plan = $crate::sleep_plan(count);
                    let mut tasks = Vec::with_capacity(count);
                    for delay in plan.delays.iter().copied() {
                        let $future = async move {
                            let begun = std::time::Instant::now();
                            $sleep(delay).await;
                            begun.elapsed()
                        };
                        tasks.push($spawn);
                    }
                    let mut took = Vec::with_capacity(count);
                    for $task in tasks {
                        took.push($join);
                    }
                    plan.finish(&took);
                }),
                "spawn" => $on(async move {
                    let mut run = $crate::TaskRun::begin($crate::spawn_batches(count));
                    let (mut sum, mut tasks) = (0_u64, Vec::with_capacity($crate::BATCH as usize));
                    for _ in 0..$crate::spawn_batches(count) {
                        for number in 0..$crate::BATCH {
                            let $future = async move { number };
                            tasks.push($spawn);
                        }
                        for $task in tasks.drain(..) {
                            sum += $join;
                        }
                        run.lap();
                    }
                    run.spawned(sum);
                }),
                "yield" => $on(async move {
                    let (many, times) = $crate::yields(count);
                    $crate::begin_yields(times);
                    let (mut sum, mut tasks) = (0, Vec::new());
                    for _ in 0..many {
                        let $future = $crate::yield_times(many, times);
                        tasks.push($spawn);
                    }
                    for $task in tasks {
                        sum += $join;
                    }
                    $crate::end_yields(many, times, sum);
                }),
                "wake" => $on(async move {
                    let $future = $crate::local_side(1, count as u64);
                    let other = $spawn;
                    let $future = $crate::local_side(0, count as u64);
                    let first = $spawn;
                    let $task = first;
                    assert_eq!($join, count as u64, "every round trip ends");
                    let $task = other;
                    assert_eq!($join, count as u64, "every round trip ends");
                }),
                "cross" => $crate::cross_threads(
                    |shared, count| $on(shared.ask(count)),
                    |shared, count| $on(shared.answer(count)),
                ),
                "lives" => $crate::lives(count, || {
                    $on(async {
                        let $future = async {
                            $crate::yield_once().await;
                            1
                        };
                        let $task = $spawn;
                        assert_eq!($join, 1, "the task ends");
                    })
                }),
                "reads" => $reads($crate::ReadRun::begin()),
                "echo" => $echo($crate::echo_listener()),
                other => {
                    eprintln!("unknown benchmark {other:?}");
                    std::process::exit(2);
                }
            }
        }
    };
}
