//! Whole files as one call beside a chain of linked entries on a bare ring: `cargo run --release --example chains`. ARCHITECTURE.md has the table.
//!
//! The chain is given every advantage: it knows the size, has memory for small files ready, and nothing decodes a command or looks
//! after an answer. Seven rounds in
//! which the two take turns; the middle one counts. CPU is the whole process's: pool threads and the kernel's workers, too.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made says so by a panic"
)]
#[cfg(target_os = "linux")]
mod rig;

#[cfg(target_os = "linux")]
mod linux {
    use crate::rig::{Rig, block, cpu};
    use io_uring::{IoUring, opcode, squeue, types};
    use ringwheel_command::{CallNumber as N, call::CALL_SYNC};
    use std::{
        ffi::CString,
        fs,
        time::{Duration, Instant},
    };

    const ROUNDS: usize = 7;
    const AT_ONCE_MAX: usize = 32;
    const PAGE: usize = 4096;
    const MIB: usize = 1 << 20;
    static CONTENT: [u8; PAGE] = [7; PAGE];
    const WRITE: i32 = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
    const CWD: types::Fd = types::Fd(libc::AT_FDCWD);

    /// What is measured: how many in a round, and of which files.
    struct Row {
        name: &'static str,
        count: usize,
        /// Bytes that are read; 0: 4 KiB are written, synced and renamed.
        bytes: usize,
        names: Vec<[CString; 2]>,
    }

    fn entries(
        row: &Row,
        slot: u32,
        [name, other]: &[CString; 2],
        buffer: &mut Vec<u8>,
    ) -> Vec<squeue::Entry> {
        let file = types::Fixed(slot);
        let place = types::DestinationSlot::try_from_slot_target(slot).unwrap();
        let (link, always) = (squeue::Flags::IO_LINK, squeue::Flags::IO_HARDLINK);
        let close = opcode::Close::new(file).build();
        if row.bytes > 0 {
            let open = opcode::OpenAt::new(CWD, name.as_ptr()).file_index(Some(place)).build();
            let read = opcode::Read::new(file, buffer.as_mut_ptr(), row.bytes as u32).build();
            return vec![open.flags(link), read.flags(always), close];
        }
        let open =
            opcode::OpenAt::new(CWD, name.as_ptr()).flags(WRITE).mode(0o600).file_index(Some(place)).build();
        let write = opcode::Write::new(file, CONTENT.as_ptr(), PAGE as u32).build();
        let sync = opcode::Fsync::new(file).flags(types::FsyncFlags::DATASYNC).build();
        let rename = opcode::RenameAt::new(CWD, name.as_ptr(), CWD, other.as_ptr()).build();
        vec![open.flags(link), write.flags(link), sync.flags(link), rename.flags(always), close]
    }

    fn as_chains(ring: &mut IoUring, row: &Row, at_once: usize, buffers: &mut [Vec<u8>]) {
        for some in row.names.chunks(at_once) {
            let mut left = 0;
            // What a long file is read into is its reader's own, so it is new each time, as a call's is.
            if row.bytes == MIB {
                buffers[..some.len()].fill_with(|| Vec::with_capacity(MIB));
            }
            for (slot, (names, buffer)) in some.iter().zip(&mut *buffers).enumerate() {
                for entry in entries(row, slot as u32, names, buffer) {
                    // SAFETY: `push` needs the pointers valid until the completion. Holds: names and buffers outlive this loop,
                    // which waits for all of them.
                    unsafe { ring.submission().push(&entry) }.unwrap();
                    left += 1;
                }
            }
            while left > 0 {
                ring.submit_and_wait(left).unwrap();
                for completion in ring.completion() {
                    assert!(completion.result() >= 0, "errno {}", completion.result());
                    left -= 1;
                }
            }
        }
    }

    /// What ringwheel does: one call, or two where a name is changed, too.
    fn as_calls(rig: &mut Rig, row: &Row, at_once: usize) {
        for some in row.names.chunks(at_once) {
            let each = |make: &dyn Fn(&str, &str) -> Vec<u8>| -> Vec<Vec<u8>> {
                some.iter()
                    .map(|[name, other]| make(name.to_str().unwrap(), other.to_str().unwrap()))
                    .collect()
            };
            if row.bytes > 0 {
                rig.batch(&each(&|name, _| block(N::ReadFile, 0, 0, [1e9, 0.0], &[name])));
                continue;
            }
            let numbers = [PAGE as f64, f64::from(0o600)];
            rig.batch(&each(&|name, _| block(N::WriteFile, CALL_SYNC, WRITE as u32, numbers, &[name])));
            rig.batch(&each(&|name, other| block(N::Rename, 0, 0, [0.0; 2], &[name, other])));
        }
    }

    fn timed(count: usize, work: impl FnOnce()) -> (Duration, Duration) {
        let (start, used) = (Instant::now(), cpu());
        work();
        (start.elapsed() / count as u32, (cpu() - used) / count as u32)
    }

    fn middle(times: &mut [(Duration, Duration)]) -> String {
        let micros = |time: Duration| time.as_nanos() as f64 / 1000.0;
        times.sort();
        let (time, used) = times[times.len() / 2];
        format!("{:.1} ({:.1})", micros(time), micros(used))
    }

    pub fn main() {
        let root = std::env::temp_dir().join(format!("ringwheel-chains-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let row = |name, count, bytes| {
            let names = (0..count).map(|index| {
                [format!("{bytes}-{index}"), format!("{bytes}-{index}.new")]
                    .map(|name| CString::new(format!("{}/{name}", root.display())).unwrap())
            });
            Row { name, count, bytes, names: names.collect() }
        };
        let rows =
            [row("read 4 KiB", 1000, PAGE), row("read 1 MiB", 64, MIB), row("write, sync, rename", 128, 0)];
        for Row { bytes, names, .. } in &rows[..2] {
            for [name, _] in names {
                fs::write(name.to_str().unwrap(), vec![7; *bytes]).unwrap();
            }
        }
        let mut rig = Rig::new(AT_ONCE_MAX);
        let mut ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(256).unwrap();
        ring.submitter().register_files_sparse(AT_ONCE_MAX as u32).unwrap();
        let mut buffers: Vec<_> = (0..AT_ONCE_MAX).map(|_| Vec::with_capacity(MIB)).collect();
        println!("| what | at once | call: µs (CPU) | chain on the ring |\n| --- | --- | --- | --- |");
        for row in &rows {
            for at_once in [1, AT_ONCE_MAX] {
                let mut times = [const { Vec::new() }; 2];
                for round in 0..ROUNDS {
                    for way in [round % 2, (round + 1) % 2] {
                        times[way].push(timed(row.count, || match way {
                            0 => as_calls(&mut rig, row, at_once),
                            _ => as_chains(&mut ring, row, at_once, &mut buffers),
                        }));
                    }
                }
                let [calls, chains] = times.each_mut().map(|times| middle(times));
                println!("| {} | {at_once} | {calls} | {chains} |", row.name);
            }
        }
        drop(rig);
        fs::remove_dir_all(&root).unwrap();
    }
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("chains on the ring are of Linux alone");
}
