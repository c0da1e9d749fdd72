//! Cases: transfers that the kernel itself cuts short, fails or interrupts. Every byte that a result counts is where it belongs, and
//! whoever goes on from there loses none.
use super::{
    Case, Rig, Skip,
    raw::{FileSizeLimit, TornPages, under_signals},
    rig::{Drive, Scratch, bytes_of, open, pattern, room, source},
};
use crate::{
    Handle, Operation,
    memory::{Source, Target},
    op::file::{Close, Read, Sync, Truncate, Write},
};

pub(super) const CASES: &[Case] = &[
    Case { name: "a device that ends in the middle cuts a read short, then fails it", run: torn_read },
    Case { name: "a device that ends in the middle cuts a write short, then fails it", run: torn_write },
    Case {
        name: "a write that reaches the limit of file sizes is short, and goes on when that is raised",
        run: limited,
    },
    Case { name: "a full device fails what it must, and nothing else", run: full },
    Case { name: "signals cut no transfer of files or pipes", run: signals },
];

/// Bytes of one page: 4096, or 16 or 64 KiB on some ARM systems.
fn page() -> usize {
    rustix::param::page_size()
}

/// The process's own memory as a file: one page that is there, and one whose device fails with EIO.
fn torn(drive: &mut Drive, scratch: &Scratch, content: &[u8]) -> Result<(Handle, TornPages), Skip> {
    let pages = TornPages::new(&scratch.file("torn", content));
    let opened = drive.run(open("/proc/self/mem".as_ref(), libc::O_RDWR));
    match opened.handle {
        Some(memory) => Ok((memory, pages)),
        None => Err(Skip("there is no /proc/self/mem to open")),
    }
}

fn torn_read(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let content = pattern(page());
    let (memory, pages) = torn(&mut drive, &scratch, &content)?;
    let start = pages.address();
    let read = |target, offset| Read { file: memory.clone(), target, offset };
    let lease = drive.lease(2 * page());
    for target in [Target::Lease(lease, 0..2 * page() as u32), room(2 * page())] {
        let short = drive.run(read(target, start));
        assert_eq!(short.result, page() as i32, "what was there was read");
        assert!(bytes_of(short)[..page()] == content);
    }
    for _ in 0..3 {
        let failed = drive.run(read(room(page()), start + page() as u64));
        assert_eq!(failed.result, -libc::EIO);
        assert!(matches!(failed.operation, Some(Operation::Read(_))), "its memory comes back");
    }
    let again = drive.run(read(room(page()), start));
    assert!(bytes_of(again) == content, "the errors of others stay theirs");
    assert_eq!(drive.driver.stats().unexpected, 0);
    Ok(())
}

fn torn_write(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let (memory, pages) = torn(&mut drive, &scratch, &vec![0; page()])?;
    let bytes = pattern(2 * page());
    let write = |bytes: &[u8], offset| Write { file: memory.clone(), source: source(bytes), offset };
    let short = drive.run(write(&bytes, pages.address()));
    assert_eq!(short.result, page() as i32, "what had room was written");
    let rest = drive.run(write(&bytes[page()..], pages.address() + page() as u64));
    assert_eq!(rest.result, -libc::EIO);
    let Some(Operation::Write(Write { source: Source::Shared(rest, _), .. })) = rest.operation else {
        panic!("its memory comes back");
    };
    assert!(rest[..] == bytes[page()..]);
    let written = drive.run(Read { file: memory, target: room(page()), offset: pages.address() });
    assert!(bytes_of(written) == bytes[..page()]);
    assert_eq!(drive.driver.stats().unexpected, 0);
    Ok(())
}

fn limited(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.path("file");
    let file = drive.open(&path, libc::O_RDWR | libc::O_CREAT);
    let bytes = pattern(10_000);
    let write =
        |from: usize| Write { file: file.clone(), source: source(&bytes[from..]), offset: from as u64 };
    let limit = FileSizeLimit::set(6000);
    assert_eq!(drive.result(write(0)), 6000, "as far as the limit");
    assert_eq!(drive.result(write(6000)), -libc::EFBIG);
    assert_eq!(drive.result(Truncate { file: file.clone(), length: 7000 }), -libc::EFBIG);
    drop(limit);
    assert_eq!(drive.result(write(6000)), 4000, "the rest");
    assert!(std::fs::read(&path).expect("read") == bytes);
    assert_eq!(drive.driver.stats().unexpected, 0);
    Ok(())
}

fn full(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let full = drive.run(open("/dev/full".as_ref(), libc::O_RDWR)).handle;
    let full = full.ok_or(Skip("there is no /dev/full"))?;
    let file = drive.open(&scratch.path("file"), libc::O_RDWR | libc::O_CREAT);
    let bytes = pattern(rig.limit().min(64) / 2);
    let mut tokens = Vec::new();
    for (index, byte) in bytes.iter().enumerate() {
        let one =
            |file: &Handle| Write { file: file.clone(), source: source(&[*byte]), offset: index as u64 };
        tokens.push((drive.submit(one(&full)).1, -libc::ENOSPC));
        tokens.push((drive.submit(one(&file)).1, 1));
    }
    for (token, result) in tokens {
        assert_eq!(drive.next(token).result, result);
    }
    let read = drive.run(Read { file: file.clone(), target: room(bytes.len()), offset: 0 });
    assert!(bytes_of(read) == bytes, "its neighbours' errors do not reach a file that has room");
    assert_eq!(drive.result(Close { file: full }), 0);
    assert_eq!(drive.result(Sync { file, data_only: true }), 0);
    assert_eq!(drive.driver.stats().unexpected, 0);
    Ok(())
}

fn signals(rig: &Rig) -> Result<(), Skip> {
    let (mut drive, scratch) = (rig.start(), Scratch::new());
    let path = scratch.path("file");
    let file = drive.open(&path, libc::O_RDWR | libc::O_CREAT);
    let (reader, writer) = drive.pipe();
    let writer = drive.driver.adopt(writer);
    let bytes = pattern(64 * 1024);
    let piece = 1024;
    under_signals(|| {
        let mut through = Vec::new();
        for start in (0..bytes.len()).step_by(piece) {
            let part = &bytes[start..start + piece];
            // A reader that waits, beside one for which there is something at once.
            let (_, reading) =
                drive.submit(Read { file: reader.clone(), target: room(piece), offset: u64::MAX });
            let write = Write { file: file.clone(), source: source(part), offset: start as u64 };
            assert_eq!(drive.result(write), piece as i32);
            let pass = Write { file: writer.clone(), source: source(part), offset: u64::MAX };
            assert_eq!(drive.result(pass), piece as i32);
            through.extend(bytes_of(drive.next(reading)));
            let back = drive.run(Read { file: file.clone(), target: room(piece), offset: start as u64 });
            assert!(bytes_of(back) == *part);
        }
        assert!(through == bytes, "every byte, in order");
    });
    assert!(std::fs::read(&path).expect("read") == bytes);
    assert_eq!(drive.driver.stats().unexpected, 0);
    Ok(())
}
