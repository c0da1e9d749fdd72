//! Every file operation of the poll driver under a kernel that interrupts it twice and then does half of it: a child process
//! traps its own system calls with seccomp, and a handler answers EINTR or makes a shorter call instead.
//!
//! On a ring the kernel itself runs these; `src/uring/tests/faults.rs` has the same for its completions.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
use ringwheel_driver::{
    Completion, Driver, DriverKind, Handle, Host, Operation, Options, Wait,
    memory::{Source, Target},
    op::file::{Close, Open, Read, Stat, Sync, Truncate, Write},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter_all_threads,
};
use std::{
    ffi::CString,
    os::unix::ffi::OsStrExt as _,
    process::Command,
    rc::Rc,
    sync::atomic::{AtomicU64, Ordering},
};

/// Says to the child that it is one, and names its file.
const ROLE: &str = "RINGWHEEL_INTERRUPTED";
/// In an argument that the call does not use: lets the handler's own calls through the filter.
const PASS: u64 = 0x7269_6e67_7768_6565;
/// Calls answered with EINTR between two that are made.
const INTERRUPTIONS: u64 = 2;

/// Trapped calls so far, and how many of them were cut short.
static TRAPPED: AtomicU64 = AtomicU64::new(0);
static SHORTENED: AtomicU64 = AtomicU64::new(0);

/// The calls, and the argument (from 0) that carries [`PASS`]; preadv2's sixth are its flags, its fifth is ignored on 64 bits.
const CALLS: [(i64, u8); 8] = [
    (libc::SYS_pread64, 5),
    (libc::SYS_pwrite64, 5),
    (libc::SYS_preadv2, 4),
    (libc::SYS_fsync, 5),
    (libc::SYS_fdatasync, 5),
    (libc::SYS_ftruncate, 5),
    (libc::SYS_statx, 5),
    (libc::SYS_openat, 5),
];

extern "C" fn trapped(_: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: a handler with SA_SIGINFO gets a valid ucontext, which is its own until it returns.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    let call = registers[libc::REG_RAX as usize];
    // After a failed statx rustix asks once, with null pointers, whether there is one: no kernel is interrupted in saying EFAULT.
    let asks = call == libc::SYS_statx && registers[libc::REG_RSI as usize] == 0;
    if !asks && TRAPPED.fetch_add(1, Ordering::Relaxed) % (INTERRUPTIONS + 1) < INTERRUPTIONS {
        registers[libc::REG_RAX as usize] = -i64::from(libc::EINTR);
        return;
    }
    let at = [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8, libc::REG_R9];
    let mut arguments = at.map(|register| registers[register as usize]);
    if (call == libc::SYS_pread64 || call == libc::SYS_pwrite64) && arguments[2] > 1 {
        arguments[2] = arguments[2] / 2 + 1;
        SHORTENED.fetch_add(1, Ordering::Relaxed);
    }
    let pass = CALLS.iter().find(|(number, _)| *number == call).map_or(5, |(_, index)| *index);
    arguments[usize::from(pass)] = PASS as i64;
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: `syscall` needs arguments that are valid for the call: they are those of the interrupted one, with fewer bytes.
    let result = unsafe { libc::syscall(call, a, b, c, d, e, f) };
    registers[libc::REG_RAX as usize] = if result == -1 { failed() } else { result };
}

/// Minus the errno of the call that has just failed.
fn failed() -> i64 {
    -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}

/// From here on every thread of the process has its calls trapped.
fn interrupt() {
    // SAFETY: an all-zero sigaction is a valid one.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    let handler: extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void) = trapped;
    action.sa_sigaction = handler as libc::sighandler_t;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
    // SAFETY: `sigaction` needs a valid action; its handler uses atomics and one system call, which are safe at any moment.
    assert_eq!(unsafe { libc::sigaction(libc::SIGSYS, &action, std::ptr::null_mut()) }, 0);
    let rules = CALLS.map(|(call, argument)| {
        let ours = SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Ne, PASS);
        (call, vec![SeccompRule::new(vec![ours.expect("a condition")]).expect("a rule")])
    });
    let architecture = std::env::consts::ARCH.try_into().expect("an architecture that seccomp knows");
    let rules = rules.into_iter().collect();
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Trap, architecture);
    let program: BpfProgram = filter.expect("a filter").try_into().expect("a program");
    apply_filter_all_threads(&program).expect("apply the filter");
}

#[test]
fn interrupted_and_shortened_calls_lose_nothing() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("interrupted");
    let output = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", "part", "--ignored", "--nocapture", "--test-threads=1"])
        .env(ROLE, &path)
        .output()
        .expect("run the child");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}\n{text}", output.status);
    assert!(text.contains("1 passed"), "the part must have run: {text}");
}

/// Not a test: the child's part.
#[test]
#[ignore = "run by the other test, in a process of its own"]
fn part() {
    let path = std::env::var_os(ROLE).expect("the test names a file");
    let path = CString::new(path.as_bytes()).expect("a path");
    interrupt();
    for host in [Host::Native, Host::Embedded] {
        moves_every_byte(host, &path);
    }
    let (trapped, shortened) = (TRAPPED.load(Ordering::Relaxed), SHORTENED.load(Ordering::Relaxed));
    assert!(trapped > 300 && shortened > 20, "{trapped} calls trapped, {shortened} cut short");
}

fn moves_every_byte(host: Host, path: &CString) {
    let options = Options { kind: Some(DriverKind::Poll), host, ..Options::default() };
    let mut driver = Driver::start(&options).expect("start");
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
    let open = Open { directory: None, path: path.clone(), flags, mode: 0o600, resolve: 0 };
    let opened = run(&mut driver, Operation::Open(open));
    assert_eq!(opened.result, 0);
    let file = opened.handle.expect("a handle");
    let bytes: Rc<[u8]> = (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let mut done = 0;
    while done < bytes.len() {
        let source = Source::Shared(Rc::clone(&bytes), done..bytes.len());
        let write = Write { file: file.clone(), source, offset: done as u64 };
        let written = run(&mut driver, Operation::Write(write)).result;
        assert!(written > 0, "{written}");
        done += written as usize;
    }
    for data_only in [true, false] {
        assert_eq!(run(&mut driver, Operation::Sync(Sync { file: file.clone(), data_only })).result, 0);
    }
    // Small ones come from the page cache on the driver's thread, large ones from the pool.
    for piece in [700, 4096, 100_000] {
        assert!(read_all(&mut driver, &file, bytes.len(), piece) == bytes[..], "in pieces of {piece}");
    }
    let truncated = Truncate { file: file.clone(), length: 1234 };
    assert_eq!(run(&mut driver, Operation::Truncate(truncated)).result, 0);
    let stat = Stat { file: file.clone(), target: Target::Vec(Vec::with_capacity(256)) };
    let measured = run(&mut driver, Operation::Stat(stat));
    assert_eq!(measured.result, 0);
    let Some(Operation::Stat(stat)) = measured.operation else { panic!("the memory comes back") };
    assert_eq!(stat.target.bytes()[40..48], 1234_u64.to_ne_bytes());
    drop(stat);
    assert_eq!(run(&mut driver, Operation::Close(Close { file })).result, 0);
    let stats = driver.stats();
    assert_eq!((stats.submitted, stats.in_flight, stats.unexpected), (stats.completed, 0, 0));
}

fn read_all(driver: &mut Driver, file: &Handle, length: usize, piece: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < length {
        let target = Target::Vec(Vec::with_capacity(piece));
        let read = Read { file: file.clone(), target, offset: all.len() as u64 };
        let completion = run(driver, Operation::Read(read));
        assert!(completion.result > 0, "{}", completion.result);
        let Some(Operation::Read(read)) = completion.operation else { panic!("the memory comes back") };
        assert_eq!(read.target.bytes().len(), completion.result as usize);
        all.extend_from_slice(read.target.bytes());
    }
    all
}

/// Runs one operation to its end, and asserts that it has one.
fn run(driver: &mut Driver, operation: Operation) -> Completion {
    driver.submit(operation, 7).expect("room");
    let mut completions = Vec::new();
    while driver.in_flight() > 0 {
        driver.enter(Wait::Forever).expect("enter");
        driver.reap(10, |completion| completions.push(completion));
    }
    assert_eq!(completions.len(), 1);
    completions.remove(0)
}
