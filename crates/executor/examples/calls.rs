//! What calls cost here, on the pool, and on the ring where it has them: `cargo run --release --example calls`. ARCHITECTURE.md has the table.
//!
//! Two thousand names, 32 calls at a time, seven rounds in which the ways take turns; the middle one counts. CPU is the whole process's: pool threads
//! and the kernel's workers, too.
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
    use io_uring::{IoUring, opcode, types::Fd};
    use ringwheel_command::{CallNumber, call::CALL_FOLLOW};
    use std::{
        ffi::CString,
        fs,
        path::Path,
        time::{Duration, Instant},
    };

    const NAMES: usize = 2000;
    const AT_ONCE: usize = 32;
    const ROUNDS: usize = 7;

    /// Of each way: time and CPU of one operation in each round.
    type Times = Vec<(Duration, Duration)>;

    fn timed(work: impl FnOnce()) -> (Duration, Duration) {
        let (start, used) = (Instant::now(), cpu());
        work();
        (start.elapsed() / NAMES as u32, (cpu() - used) / NAMES as u32)
    }

    type Blocks = fn(&str, usize) -> Vec<u8>;
    type Entry = fn(&[CString; 3]) -> io_uring::squeue::Entry;

    /// In this order: each leaves behind what the next needs, and the last nothing.
    fn plan() -> Vec<(&'static str, Blocks, Option<Entry>)> {
        use CallNumber as N;
        fn name(root: &str, index: usize) -> [String; 3] {
            ["a", "b", "base"].map(|kind| {
                if kind == "base" { format!("{root}/base") } else { format!("{root}/{kind}{index}") }
            })
        }
        macro_rules! one {
            ($number:expr, $flags:expr, $mode:expr, $numbers:expr, $which:expr) => {
                |root, index| {
                    let names = name(root, index);
                    let picked: Vec<&str> = $which.iter().map(|at: &usize| names[*at].as_str()).collect();
                    block($number, $flags, $mode, $numbers, &picked)
                }
            };
        }
        vec![
            (
                "mkdir",
                one!(N::MakeDirectory, 0, 0o700, [0.0; 2], [0]),
                Some(|names| opcode::MkDirAt::new(Fd(libc::AT_FDCWD), names[0].as_ptr()).mode(0o700).build()),
            ),
            (
                "rmdir",
                one!(N::RemoveDirectory, 0, 0, [0.0; 2], [0]),
                Some(|names| {
                    opcode::UnlinkAt::new(Fd(libc::AT_FDCWD), names[0].as_ptr())
                        .flags(libc::AT_REMOVEDIR)
                        .build()
                }),
            ),
            (
                "link",
                one!(N::Link, 0, 0, [0.0; 2], [2, 0]),
                Some(|names| {
                    let at = Fd(libc::AT_FDCWD);
                    opcode::LinkAt::new(at, names[2].as_ptr(), at, names[0].as_ptr()).build()
                }),
            ),
            (
                "rename",
                one!(N::Rename, 0, 0, [0.0; 2], [0, 1]),
                Some(|names| {
                    let at = Fd(libc::AT_FDCWD);
                    opcode::RenameAt::new(at, names[0].as_ptr(), at, names[1].as_ptr()).build()
                }),
            ),
            (
                "unlink",
                one!(N::Unlink, 0, 0, [0.0; 2], [1]),
                Some(|names| opcode::UnlinkAt::new(Fd(libc::AT_FDCWD), names[1].as_ptr()).build()),
            ),
            (
                "symlink",
                one!(N::SymbolicLink, 0, 0, [0.0; 2], [2, 0]),
                Some(|names| {
                    opcode::SymlinkAt::new(Fd(libc::AT_FDCWD), names[2].as_ptr(), names[0].as_ptr()).build()
                }),
            ),
            ("readlink", one!(N::ReadLink, 0, 0, [0.0; 2], [0]), None),
            ("realpath", one!(N::RealPath, 0, 0, [0.0; 2], [0]), None),
            ("writeFile 4 KiB", one!(N::WriteFile, 0, WRITE, [4096.0, 384.0], [1]), None),
            (
                "stat",
                one!(N::Stat, CALL_FOLLOW, 0, [0.0; 2], [1]),
                Some(|names| {
                    let mask = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
                    let place = STATX.with(|place| place.get()).cast();
                    opcode::Statx::new(Fd(libc::AT_FDCWD), names[1].as_ptr(), place).mask(mask).build()
                }),
            ),
            ("access", one!(N::Access, 0, 4, [0.0; 2], [1]), None),
            ("chmod", one!(N::ChangeMode, 0, 0o600, [0.0; 2], [1]), None),
            ("utimes", one!(N::SetTimes, CALL_FOLLOW, 0, [1.0, 2.0], [1]), None),
            ("readFile 4 KiB", one!(N::ReadFile, 0, 0, [1e9, 0.0], [1]), None),
            ("truncate", one!(N::Truncate, 0, 0, [100.0, 0.0], [1]), None),
            ("copyFile 100 B", one!(N::Copy, 0, 0, [0.0; 2], [1, 0]), None),
            ("rm", one!(N::Remove, 0, 0, [0.0; 2], [0]), None),
            (
                "unlink again",
                one!(N::Unlink, 0, 0, [0.0; 2], [1]),
                Some(|names| opcode::UnlinkAt::new(Fd(libc::AT_FDCWD), names[1].as_ptr()).build()),
            ),
            (
                "readdir, 20 names",
                |root, _| block(N::List, 0, 0, [0.0; 2], &[&format!("{root}/small")]),
                None,
            ),
        ]
    }

    const WRITE: u32 = (libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC) as u32;

    thread_local! {
        /// Where the ring's statx writes; nobody reads it.
        static STATX: std::cell::UnsafeCell<[u64; 32]> = const { std::cell::UnsafeCell::new([0; 32]) };
    }

    fn on_ring(ring: &mut IoUring, names: &[[CString; 3]], entry: Entry) {
        for some in names.chunks(AT_ONCE) {
            for each in some {
                // SAFETY: `push` needs the pointers valid until the completion. Holds: names and the thread's place outlive this loop,
                // which waits for all of them.
                unsafe { ring.submission().push(&entry(each)) }.unwrap();
            }
            let mut left = some.len();
            while left > 0 {
                ring.submit_and_wait(left).unwrap();
                for completion in ring.completion() {
                    assert!(completion.result() >= 0, "errno {}", completion.result());
                    left -= 1;
                }
            }
        }
    }

    pub fn main() {
        let root = std::env::temp_dir().join(format!("ringwheel-calls-{}", std::process::id()));
        let small = root.join("small");
        fs::create_dir_all(&small).unwrap();
        for index in 0..20 {
            fs::write(small.join(index.to_string()), "").unwrap();
        }
        fs::write(root.join("base"), "").unwrap();
        let text = root.to_str().unwrap();
        let mut rig = Rig::new(AT_ONCE);
        let mut ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(64).ok();
        let names: Vec<[CString; 3]> = (0..NAMES)
            .map(|index| {
                [format!("a{index}"), format!("b{index}"), "base".into()]
                    .map(|name| CString::new(format!("{text}/{name}")).unwrap())
            })
            .collect();
        let plan = plan();
        let mut table: Vec<[Times; 3]> = plan.iter().map(|_| [const { Vec::new() }; 3]).collect();
        for round in 0..ROUNDS {
            for way in (0..3).map(|way| (way + round) % 3) {
                rig.bridge.call_on_pool(way == 1);
                for ((_, make, entry), times) in plan.iter().zip(&mut table) {
                    let blocks: Vec<Vec<u8>> = (0..NAMES).map(|index| make(text, index)).collect();
                    if way == 2
                        && let (Some(entry), Some(ring)) = (entry, &mut ring)
                    {
                        times[2].push(timed(|| on_ring(ring, &names, *entry)));
                    } else {
                        let took = timed(|| blocks.chunks(AT_ONCE).for_each(|some| rig.batch(some)));
                        if way < 2 {
                            times[way].push(took);
                        }
                    }
                }
            }
        }
        println!("| call | here: µs (CPU) | pool | ring |\n| --- | --- | --- | --- |");
        for ((name, ..), times) in plan.iter().zip(&mut table) {
            let cells = times.each_mut().map(|times| {
                times.sort();
                let middle = times.get(times.len() / 2);
                middle.map_or("–".into(), |(time, used)| {
                    format!("{:.1} ({:.1})", micros(*time), micros(*used))
                })
            });
            println!("| {name} | {} |", cells.join(" | "));
        }
        drop(rig);
        remove(&root);
    }

    fn micros(time: Duration) -> f64 {
        time.as_nanos() as f64 / 1000.0
    }

    fn remove(root: &Path) {
        fs::remove_dir_all(root).unwrap();
    }
}

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("calls on the ring are of Linux alone");
}
