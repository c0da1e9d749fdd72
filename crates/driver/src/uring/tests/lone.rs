//! The read that is alone: from the page cache without the ring, and everything else as before.
use super::*;

fn started() -> Uring {
    let (arena, chunks) = (Arena::new(65_536).unwrap(), ChunkPool::new(8, 512).unwrap());
    Uring::start(&options(Host::Native), arena, chunks).unwrap()
}

fn cached_file() -> Handle {
    let mut file = temporary();
    file.write_all(&(0..=255).cycle().take(16 * 4096).collect::<Vec<u8>>()).unwrap();
    handle(file)
}

fn read(file: &Handle, offset: u64) -> Operation {
    let target = Target::Vec(Vec::with_capacity(100));
    Operation::Read(file::Read { file: file.clone(), target, offset })
}

/// Enters once without waiting; what the ring itself completed, and what was reaped.
fn turn(uring: &mut Uring) -> (usize, Vec<(u64, i32)>) {
    uring.enter(Wait::No).unwrap();
    let from_ring = uring.ring.completion().len();
    let mut results = Vec::new();
    uring.reap(usize::MAX, |completion| results.push((completion.token, completion.result)));
    (from_ring, results)
}

#[test]
fn what_is_cached_needs_no_ring() {
    let mut uring = started();
    let file = cached_file();
    for (token, offset, result) in [(1, 0, 100), (2, 16 * 4096 - 10, 10), (3, 1 << 40, 0)] {
        uring.submit(read(&file, offset), token).unwrap();
        assert!(uring.has_staged(), "the executor has to enter");
        let before = uring.stats().enters;
        assert_eq!(turn(&mut uring), (0, vec![(token, result)]));
        assert_eq!(uring.stats().enters, before + 1, "one system call");
        assert!(!uring.has_staged());
    }
}

#[test]
fn whoever_joins_it_shares_the_ring_and_its_order() {
    let mut uring = started();
    let file = cached_file();
    for token in 0..5 {
        uring.submit(read(&file, token), token).unwrap();
    }
    let (from_ring, results) = turn(&mut uring);
    assert_eq!(from_ring, 5);
    assert_eq!(results, (0..5).map(|token| (token, 100)).collect::<Vec<_>>());
    assert_eq!(uring.stats().enters, 1);
}

#[test]
fn what_is_not_cached_goes_to_the_ring_and_others_are_not_tried_for_a_while() {
    let mut uring = started();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/lone-read");
    std::fs::write(&path, [7; 4096]).unwrap();
    let file = handle(std::fs::File::open(&path).unwrap());
    rustix::fs::fsync(&file).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
    uring.submit(read(&file, 0), 1).unwrap();
    let mut results = Vec::new();
    while results.is_empty() {
        uring.enter(Wait::For(Duration::from_secs(5))).unwrap();
        uring.reap(usize::MAX, |completion| results.push((completion.token, completion.result)));
    }
    assert_eq!(results, [(1, 100)]);
    if uring.lone.resting == 0 {
        let _ =
            writeln!(std::io::stderr(), "skip: lone: this file system keeps its pages whatever it is told");
        return;
    }
    let tried = |uring: &mut Uring| {
        uring.submit(read(&file, 0), 2).unwrap();
        let (from_ring, results) = turn(uring);
        assert_eq!(results, [(2, 100)]);
        from_ring == 0
    };
    let rest = (0..100).take_while(|_| !tried(&mut uring)).count();
    assert_eq!(rest, 15);
    std::fs::remove_file(path).unwrap();
}

#[test]
fn a_pipe_an_unbuffered_file_and_a_large_read_are_the_rings() {
    let mut uring = started();
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    rustix::io::write(&writer, b"x").unwrap();
    uring.submit(read(&handle(reader), u64::MAX), 1).unwrap();
    assert!(uring.lone.key.is_none());
    assert_eq!(turn(&mut uring), (1, vec![(1, 1)]));
    let target = Target::Vec(Vec::with_capacity(65_537));
    uring.submit(Operation::Read(file::Read { file: cached_file(), target, offset: 0 }), 2).unwrap();
    assert!(uring.lone.key.is_none());
    let flags = rustix::fs::OFlags::DIRECT;
    if let Ok(direct) = rustix::fs::open("/proc/self/exe", flags, rustix::fs::Mode::empty()) {
        collect_all(&mut uring, 1);
        uring.submit(read(&handle(direct), 0), 3).unwrap();
        assert!(uring.lone.key.is_none());
    }
}

#[test]
fn it_can_be_cancelled_and_shut_down_before_the_first_enter() {
    let mut uring = started();
    let file = cached_file();
    let ticket = uring.submit(read(&file, 0), 1).unwrap();
    uring.cancel(ticket);
    let ended = collect_all(&mut uring, 1);
    assert!([100, -libc::ECANCELED].contains(&ended[0].result), "{ended:?}");
    drop(ended);
    uring.submit(read(&file, 0), 2).unwrap();
    let report = uring.shutdown(Duration::from_secs(5));
    assert_eq!((report.drained, report.leaked), (1, 0));
    assert!(file.is_unique(), "it let go of the file");
}

fn collect_all(uring: &mut Uring, count: usize) -> Vec<Completion> {
    let mut all = Vec::new();
    while all.len() < count {
        uring.enter(Wait::For(Duration::from_secs(5))).unwrap();
        uring.reap(usize::MAX, |completion| all.push(completion));
    }
    assert_eq!(uring.in_flight(), 0);
    all
}
