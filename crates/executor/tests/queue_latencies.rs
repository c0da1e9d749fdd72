//! Latencies of task queues: from ready to a slice, and how long that is; whose they are, and how many are timed.
#![expect(clippy::unwrap_used, reason = "in a test a broken promise is a failed test")]
mod common;
use common::both_drivers;
use ringwheel_executor::{
    Distribution, QueueLatencies, QueueOptions, Removal, TaskQueue, queue_latencies, spawn_into, time,
    yield_now,
};
use std::time::{Duration, Instant};

/// What the longest poll here takes, and what a histogram may make of it.
const LONG: Duration = Duration::from_millis(5);
const NEARLY: Duration = Duration::from_micros(4_900);

fn queue(name: &str) -> TaskQueue {
    TaskQueue::new(QueueOptions { name: name.to_owned(), ..Default::default() }).unwrap()
}

fn burn(time: Duration) {
    let start = Instant::now();
    while start.elapsed() < time {
        std::hint::spin_loop();
    }
}

fn default_wait() -> Distribution {
    queue_latencies()[0].wait.clone()
}

#[test]
fn a_queue_waits_for_the_slice_of_another() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let (slow, late) = (queue("slow"), queue("late"));
                let work = spawn_into(slow, async move {
                    let woken = spawn_into(late, async {});
                    burn(LONG);
                    woken.await.unwrap();
                });
                work.await.unwrap();
                let QueueLatencies { name, wait, .. } = late.latencies().unwrap();
                assert_eq!((name.as_str(), wait.samples), ("late", 1));
                assert!(wait.min >= NEARLY, "it was ready as the slow poll began: {wait:?}");
                let slice = slow.latencies().unwrap().slice;
                assert_eq!(slice.samples, 1);
                assert!(slice.min >= NEARLY, "{slice:?}");
                let below = slice.buckets.iter().zip(ringwheel_executor::BUCKETS);
                assert!(below.filter(|(_, bound)| *bound < NEARLY).all(|(count, _)| *count == 0));
            })
            .unwrap();
    });
}

#[test]
fn what_a_slice_leaves_over_waits_too() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let (slow, rest) = (queue("slow"), queue("rest"));
                let burns = spawn_into(slow, async {
                    for _ in 0..40 {
                        burn(Duration::from_millis(2));
                        yield_now().await;
                    }
                });
                // Its own slices are as long: two of them never run in one.
                let yields = spawn_into(rest, async {
                    for _ in 0..40 {
                        burn(Duration::from_millis(2));
                        yield_now().await;
                    }
                });
                burns.await.unwrap();
                yields.await.unwrap();
                let wait = rest.latencies().unwrap().wait;
                assert!(wait.samples >= 40 / 12, "{wait:?}");
                assert!(wait.max >= Duration::from_micros(1_900), "{wait:?}");
            })
            .unwrap();
    });
}

#[test]
fn one_in_eight_is_timed_and_the_default_queue_too() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                assert_eq!(default_wait().samples, 0, "with one queue no clock is read");
                let other = queue("other");
                for _ in 0..800 {
                    spawn_into(other, async {}).await.unwrap();
                }
                let samples = other.latencies().unwrap().wait.samples;
                assert!((66..=201).contains(&samples), "{samples} of 800");
                // Woken by timers, outside of step 4.
                let before = default_wait().samples;
                for _ in 0..48 {
                    time::sleep(Duration::from_micros(50)).await;
                }
                let timed = default_wait().samples - before;
                assert!((3..=48).contains(&timed), "{timed} of 48");
            })
            .unwrap();
    });
}

#[test]
fn a_queue_that_is_gone_has_none_and_the_next_in_its_place_begins_anew() {
    both_drivers(|mut executor| {
        executor
            .run(async {
                let first = queue("first");
                spawn_into(first, async {}).await.unwrap();
                first.remove(Removal::Drain).unwrap().await;
                assert!(first.latencies().is_err());
                assert_eq!(queue_latencies().len(), 1);
                let second = queue("second");
                assert_eq!(second.latencies().unwrap().wait, Distribution::default());
                second.remove(Removal::Drop).unwrap().await;
                // Alone again: nothing is timed, and tasks go the short way, which the counts gate.
                let before = default_wait().samples;
                for _ in 0..200 {
                    yield_now().await;
                }
                assert_eq!(default_wait().samples, before);
            })
            .unwrap();
        assert_eq!(executor.queue_latencies()[0].name, "default");
    });
    assert!(queue_latencies().is_empty(), "outside of an executor");
}
