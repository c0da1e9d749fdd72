//! Completions with an error that the kernel did not mean: what came from the ring is replaced before the driver sees it.
use super::*;
use crate::inflight::Key;

/// Turns until `count` operations have ended; `fault` says what a completion of the kernel's is replaced with.
fn collect_faulty(
    uring: &mut Uring,
    count: usize,
    mut fault: impl FnMut(Key, i32) -> i32,
) -> Vec<Completion> {
    let mut ended = Vec::new();
    let end = Instant::now() + Duration::from_secs(10);
    while ended.len() < count {
        assert!(Instant::now() < end, "{ended:#?}\n{uring:#?}");
        uring.enter(Wait::For(Duration::from_millis(100))).unwrap();
        let taken: Vec<_> = uring.ring.completion().collect();
        for entry in taken {
            let key = entry.user_data();
            let result = if key as u32 == INTERNAL { entry.result() } else { fault(key, entry.result()) };
            ended.extend(uring.completed(key, result, entry.flags()));
        }
        uring.reap(usize::MAX, |completion| ended.push(completion));
    }
    ended
}

fn started() -> Uring {
    let (arena, chunks) = (Arena::new(65_536).unwrap(), ChunkPool::new(8, 512).unwrap());
    let mut uring = Uring::start(&options(Host::Native), arena, chunks).unwrap();
    uring.lone.resting = u8::MAX; // Also a read that is alone goes through the ring here.
    uring
}

fn read_of(file: &Handle, offset: u64) -> Operation {
    Operation::Read(file::Read { file: file.clone(), target: Target::Vec(Vec::with_capacity(100)), offset })
}

#[test]
fn passing_errors_are_tried_again_and_lose_nothing() {
    let mut uring = started();
    let mut file = temporary();
    let bytes: Vec<u8> = (0..3200_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    file.write_all(&bytes).unwrap();
    let file = handle(file);
    for index in 0..32 {
        uring.submit(read_of(&file, index * 100), index).unwrap();
    }
    // Two of three completions were interrupted, as far as the driver knows.
    let mut seen = 0;
    let all = collect_faulty(&mut uring, 32, |_, result| {
        seen += 1;
        if seen % 3 == 0 { result } else { -libc::EINTR }
    });
    assert!(seen >= 90, "{seen} completions for 32 operations");
    let mut tokens: Vec<_> = all
        .into_iter()
        .map(|completion| {
            assert_eq!(completion.result, 100);
            let Some(Operation::Read(read)) = completion.operation else { panic!() };
            let start = completion.token as usize * 100;
            assert_eq!(read.target.bytes(), &bytes[start..start + 100]);
            completion.token
        })
        .collect();
    tokens.sort_unstable();
    assert!(tokens.into_iter().eq(0..32), "one completion each");
    assert_eq!((uring.in_flight(), uring.stats().unexpected), (0, 0));
}

#[test]
fn an_error_that_never_passes_ends_the_operation_with_it() {
    let mut uring = started();
    let file = handle(temporary());
    uring.submit(read_of(&file, 0), 1).unwrap();
    let mut tries = 0;
    let all = collect_faulty(&mut uring, 1, |_, _| {
        tries += 1;
        -libc::EINTR
    });
    assert_eq!(all[0].result, -libc::EINTR);
    assert!((2..=100).contains(&tries), "bounded: {tries}");
    assert!(all[0].operation.is_some(), "its memory comes back");
    assert_eq!(uring.in_flight(), 0);
}

#[test]
fn an_interrupted_operation_that_was_cancelled_ends_as_cancelled_and_once() {
    // What a worker's interrupted system call shows instead of ECANCELED; the second is ERESTARTSYS.
    for shown in [-libc::EINTR, -512] {
        let mut uring = started();
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let ticket = uring.submit(read_of(&handle(reader), u64::MAX), 1).unwrap();
        uring.enter(Wait::No).unwrap();
        uring.cancel(ticket);
        let all = collect_faulty(&mut uring, 1, |_, result| {
            assert_eq!(result, -libc::ECANCELED);
            shown
        });
        assert_eq!((all.len(), all[0].result), (1, -libc::ECANCELED));
        assert_eq!((uring.in_flight(), uring.stats().unexpected), (0, 0));
    }
}

#[test]
fn no_number_of_the_kernels_own_is_an_error() {
    let mut uring = started();
    let mut file = temporary();
    file.write_all(&[7; 100]).unwrap();
    let file = handle(file);
    let mut seen = [-512, -513, -514, -516].into_iter();
    uring.submit(read_of(&file, 0), 1).unwrap();
    let all = collect_faulty(&mut uring, 1, |_, result| seen.next().unwrap_or(result));
    assert_eq!(all[0].result, 100, "tried again, as after EINTR");
    assert_eq!(seen.next(), None);
}

#[test]
fn errors_of_the_device_reach_their_own_operation_with_its_memory() {
    let mut uring = started();
    let file = handle(temporary());
    for (token, byte) in (0..60).zip(0..) {
        let source = Source::Vec(vec![byte; 10], 0..10);
        let write = file::Write { file: file.clone(), source, offset: token * 10 };
        uring.submit(Operation::Write(write), token).unwrap();
    }
    let errors = [-libc::EIO, -libc::ENOSPC, 3, 10, 0, -libc::EDQUOT];
    let mut next = 0..60_usize;
    let all = collect_faulty(&mut uring, 60, |_, result| {
        assert_eq!(result, 10);
        errors[next.next().unwrap() % errors.len()]
    });
    for error in errors {
        assert_eq!(all.iter().filter(|completion| completion.result == error).count(), 10, "{error}");
    }
    for completion in all {
        let Some(Operation::Write(write)) = completion.operation else { panic!("the memory comes back") };
        assert_eq!(write.source.bytes(), [completion.token as u8; 10], "its own");
    }
    assert_eq!((uring.in_flight(), uring.stats().unexpected), (0, 0));
    uring.submit(read_of(&file, 0), 99).unwrap();
    assert_eq!(collect_faulty(&mut uring, 1, |_, _| -libc::EBADMSG)[0].result, -libc::EBADMSG);
    assert_eq!(uring.stats().unexpected, 1, "an errno that is not in the table is reported, and counted");
}
