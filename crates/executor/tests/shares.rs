//! Shares of the disk and a depth that follows it, with `Options::adaptive`, on both drivers.
mod common;
use ringwheel_executor::{
    Executor, Latency, QueueOptions, Source, Target, TaskQueue, fs::File, io::Adaptive, spawn, spawn_into,
    time,
};
use std::{cell::Cell, io, rc::Rc, time::Duration};

const PIECE: usize = 128 << 10;
const PIECES: usize = 16;

fn adaptive(test: impl Fn(Executor)) {
    common::both_drivers(|executor| {
        let kind = executor.driver_kind();
        drop(executor);
        test(common::start(kind, |options| options.adaptive = Some(Adaptive::default())));
    });
}

/// A file of pieces that each begin with their number; it is gone from the directory at once.
async fn file() -> io::Result<Rc<File>> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("ringwheel-shares-{}-{number}", std::process::id()));
    let file = File::open(&path, libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC).await?;
    std::fs::remove_file(&path)?;
    for piece in 0..PIECES {
        let (result, _) =
            file.write_at(Source::Vec(vec![piece as u8; PIECE], 0..PIECE), (piece * PIECE) as u64).await;
        assert_eq!(result?, PIECE);
    }
    Ok(Rc::new(file))
}

async fn read(file: &File, index: usize) -> io::Result<()> {
    let piece = index % PIECES;
    let (result, target) = file.read_at(Target::Vec(Vec::with_capacity(PIECE)), (piece * PIECE) as u64).await;
    assert_eq!(result?, PIECE);
    assert!(target.bytes().iter().all(|byte| usize::from(*byte) == piece));
    Ok(())
}

#[test]
fn a_latency_class_overtakes_what_waits_for_the_disk() {
    adaptive(|mut executor| {
        executor
            .run(async {
                let file = file().await.unwrap();
                let background = TaskQueue::new(QueueOptions::default()).unwrap();
                let latency = Latency::Matters(Duration::from_millis(5));
                let urgent = TaskQueue::new(QueueOptions { latency, ..Default::default() }).unwrap();
                let done = Rc::new(Cell::new(0));
                let tasks: Vec<_> = (0..400)
                    .map(|index| {
                        let (file, done) = (file.clone(), done.clone());
                        spawn_into(background, async move {
                            read(&file, index).await.unwrap();
                            done.set(done.get() + 1);
                        })
                    })
                    .collect();
                // All have asked, 8 of them are with the driver: 1 MiB of work.
                time::sleep(Duration::from_millis(1)).await;
                let begun = done.get();
                let reader = file.clone();
                spawn_into(urgent, async move { read(&reader, 3).await.unwrap() }).await.unwrap();
                let overtaken = 400 - done.get();
                for task in tasks {
                    task.await.unwrap();
                }
                assert_eq!(done.get(), 400);
                assert!(begun == 400 || overtaken > (400 - begun) / 3, "{overtaken} of {}", 400 - begun);
            })
            .unwrap();
    });
}

#[test]
fn whoever_gives_up_while_waiting_leaves_the_room_to_others() {
    adaptive(|mut executor| {
        executor
            .run(async {
                let file = file().await.unwrap();
                for round in 0..20 {
                    let tasks: Vec<_> = (0..100)
                        .map(|index| {
                            let file = file.clone();
                            spawn(async move { read(&file, index).await })
                        })
                        .collect();
                    time::sleep(Duration::from_micros(200 * (round % 4))).await;
                    // Every other one is cancelled wherever it is: waiting, granted, with the kernel, done.
                    let mut kept = Vec::new();
                    for (index, task) in tasks.into_iter().enumerate() {
                        if index % 2 == 0 {
                            task.cancel();
                        } else {
                            kept.push(task);
                        }
                    }
                    for task in kept {
                        task.await.unwrap().unwrap();
                    }
                }
                read(&file, 1).await.unwrap();
            })
            .unwrap();
    });
}

#[test]
fn those_who_wait_when_the_executor_ends_see_that() {
    adaptive(|mut executor| {
        let mut outside = executor
            .run(async {
                let file = file().await.unwrap();
                let mut reads = Vec::new();
                for index in 0..100 {
                    let file = file.clone();
                    let mut read = Box::pin(async move { read(&file, index).await });
                    std::future::poll_fn(|context| {
                        let _ = read.as_mut().poll(context);
                        std::task::Poll::Ready(())
                    })
                    .await;
                    reads.push(read);
                }
                reads
            })
            .unwrap();
        drop(executor);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut cancelled = 0;
        for read in &mut outside {
            match read.as_mut().poll(&mut context) {
                std::task::Poll::Ready(Err(error)) => {
                    assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
                    cancelled += 1;
                }
                std::task::Poll::Ready(Ok(())) => {}
                std::task::Poll::Pending => panic!("it would wait for ever"),
            }
        }
        assert!(cancelled >= 80, "{cancelled}");
    });
}
