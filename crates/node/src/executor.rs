//! `NativeExecutor`: the cold calls of lib/api. Translation only.
use crate::{
    env::CleanupHook,
    error::{coded, not_started, refused},
    host::{Core, Host, Kept, not_joined},
    parcel,
    shared::{ArenaView, attach, bytes_of, show_word},
    stalls::Stalls,
    times::NativeLatency,
    topology::sit_on,
    uv::Handles,
    values::Reference,
};
use napi::{
    Env, JsValue, Result,
    bindgen_prelude::{Uint8ArraySlice, Unknown},
    sys,
};
use napi_derive::napi;
use ringwheel_command::{FileId, PendingId};
use ringwheel_driver::{
    DriverKind, Errno, Host as Parks, LeaseId, Options as DriverOptions, StartError, driver::Sqpoll,
};
use ringwheel_executor::{
    Executor, OperationLatency, Options,
    bridge::{Bridge, plain_open},
    io::{Adaptive, DiskProperties, PropertiesError},
};
use std::{
    ffi::CString,
    os::fd::{BorrowedFd, IntoRawFd},
    rc::Rc,
    time::Duration,
};

/// Options as lib/api/options.ts has checked them.
#[napi(object)]
pub struct NativeExecutorOptions {
    /// `auto`, `uring` or `poll`.
    pub driver: String,
    /// Submission entries.
    pub entries: Option<u32>,
    /// Bytes of the arena.
    pub memory: Option<u32>,
    /// A kernel thread that submits.
    pub sqpoll: Option<NativeSqpoll>,
    /// Bytes of memory that is kept for parcels.
    pub spare_memory: Option<u32>,
    /// The CPUs to pin the calling thread to.
    pub cpu: Option<Vec<u32>>,
    /// How long to look for messages of other threads before the loop sleeps, in microseconds.
    pub spin_us: Option<f64>,
    /// Adaptive submission.
    pub adaptive: Option<NativeAdaptive>,
    /// For tests: do as where external memory is refused.
    pub copies: Option<bool>,
    /// The host has `ArrayBuffer.prototype.transfer`. Default true.
    pub movable: Option<bool>,
}

/// See lib/api/options.ts.
#[napi(object)]
pub struct NativeSqpoll {
    /// Milliseconds.
    pub idle_ms: Option<u32>,
    /// CPU number.
    pub cpu: Option<u32>,
    /// Even with few CPUs.
    pub force: Option<bool>,
}

/// See lib/api/options.ts.
#[napi(object)]
pub struct NativeAdaptive {
    /// The file that `ringwheel calibrate` wrote.
    pub properties: Option<String>,
}

/// Figures of adaptive submission.
#[napi(object)]
pub struct NativeAdaptiveStats {
    pub depth_bytes: f64,
    pub in_flight_bytes: f64,
    pub waiting: f64,
    pub granted: f64,
    pub waited: f64,
    pub flushes: f64,
    pub batch: f64,
    pub latency_us: f64,
}

/// A range of the arena in JavaScript's hand.
#[napi(object)]
pub struct NativeLease {
    /// Index in the lease table.
    pub slot: u32,
    /// Its generation.
    pub generation: u32,
    /// First byte in the arena.
    pub offset: u32,
}

/// Counters of an executor.
#[napi(object)]
pub struct NativeStats {
    pub enters: f64,
    pub submitted: f64,
    pub completed: f64,
    pub in_flight: f64,
    pub in_flight_max: f64,
    pub overflows: f64,
    pub cancels: f64,
    pub unexpected: f64,
    pub leaked: f64,
    pub rejects: f64,
    pub turns: f64,
    pub callbacks: f64,
    pub timers: f64,
    pub files: f64,
    pub leases: f64,
    pub arena_bytes: f64,
    pub arena_free_bytes: f64,
    pub stalls: f64,
    pub longest_stall_ms: f64,
    pub calls_here: f64,
    pub calls_pooled: f64,
    pub calls_postponed: f64,
    pub writes_now: f64,
    pub parcels: f64,
    pub parcels_waiting: f64,
    pub parcels_reused: f64,
    pub spare_bytes: f64,
    pub spare_bytes_max: f64,
    /// Only with the option `adaptive`.
    pub adaptive: Option<NativeAdaptiveStats>,
}

/// One environment's executor.
#[napi]
pub struct NativeExecutor {
    host: Rc<Host>,
    driver: DriverKind,
    features: Vec<String>,
    notes: Vec<String>,
    /// Why its memory is not bound to its CPUs' node.
    seat_note: Option<String>,
}

/// Starts an executor over `rings` (a Uint8Array over a SharedArrayBuffer); `on_completions` is called, once a turn, with
/// completions to read, or with a text that says what broke; `on_slice` to run a slice of a task queue.
#[napi]
pub fn start_executor(
    env: Env,
    options: NativeExecutorOptions,
    rings: Unknown,
    on_completions: Unknown,
    on_slice: Unknown,
) -> Result<NativeExecutor> {
    let raw = env.raw();
    // SAFETY: needs live values and a reference that keeps `rings` for as long as the region: `Kept::rings`, released after the
    // bridge was dropped.
    let region = unsafe { attach(raw, rings.raw()) }?;
    let driver = driver_options(&options)?;
    let adaptive = options.adaptive.as_ref().map(adaptive_of).transpose()?;
    // First the seat: the rings and the arena are then made on its node.
    let seated = options.cpu.as_deref().map_or(Ok(None), sit_on)?;
    let spin = options.spin_us.map(|us| Duration::from_nanos((us.clamp(0.0, 1e6) * 1000.0) as u64));
    let spin = spin.filter(|spin| !spin.is_zero());
    let started = Executor::start(Options { driver, spin, ..Options::default() });
    let mut executor = started.map_err(|error| not_started(&error))?;
    let driver = executor.driver_kind();
    let features = executor.features().iter().map(ToString::to_string).collect();
    let notes = executor.notes();
    let arena = executor.edge(|edge| edge.driver.arena().clone());
    let arena = arena.ok_or_else(|| coded("INTERNAL", "an executor that started has a driver"))?;
    // SAFETY: needs the live environment in a handle scope. Holds: this is a native call. The same for the next three.
    let view = unsafe {
        ArenaView::new(raw, arena.memory(), options.copies == Some(true), options.movable != Some(false))
    }?;
    // SAFETY: as above.
    let callback = unsafe { Reference::new(raw, on_completions.raw()) }?;
    // SAFETY: as above.
    let slice = unsafe { Reference::new(raw, on_slice.raw()) }?;
    // SAFETY: as above.
    let memory = unsafe { Reference::new(raw, rings.raw()) }?;
    // SAFETY: needs a descriptor that stays open while it is borrowed. Holds: the executor above has it.
    let watched = unsafe { BorrowedFd::borrow_raw(executor.host_fd()) }.try_clone_to_owned();
    let watched = watched.map_err(|error| {
        let errno = Errno(error.raw_os_error().unwrap_or_default());
        coded("DRIVER", StartError::System { what: "a second descriptor of the driver", errno })
    })?;
    let mut bridge = Bridge::new(region, arena, adaptive.as_ref());
    if let Some(bytes) = options.spare_memory {
        bridge.keep_spare(bytes as usize);
    }
    let host =
        Host::new(raw, Core { executor, bridge }, Kept { callback, slice, rings: memory, arena: view });
    let mut event_loop = std::ptr::null_mut();
    // SAFETY: needs a live environment. Holds: this is a native call.
    let status = unsafe { sys::napi_get_uv_event_loop(raw, &mut event_loop) };
    if status != sys::Status::napi_ok || event_loop.is_null() {
        host.shut_down();
        return Err(not_joined(&crate::uv::JoinError::NoLibuv));
    }
    // SAFETY: needs the environment's loop to outlive the handles. Holds: Node gave it, and the hook below closes them first.
    let joined = unsafe { Handles::join(event_loop.cast(), watched, Rc::clone(&host)) };
    let handles = joined.map_err(|error| {
        host.shut_down();
        not_joined(&error)
    })?;
    // SAFETY: needs a live environment. Holds: this is a native call.
    match unsafe { CleanupHook::add(raw, &host) } {
        Ok(hook) => host.joined(handles, hook),
        Err(error) => {
            host.shut_down();
            handles.close();
            return Err(error);
        }
    }
    Ok(NativeExecutor { host, driver, features, notes, seat_note: seated })
}

/// The driver that lib/api names.
pub fn driver_kind(name: &str) -> Result<Option<DriverKind>> {
    match name {
        "auto" => Ok(None),
        "uring" => Ok(Some(DriverKind::Uring)),
        "poll" => Ok(Some(DriverKind::Poll)),
        other => Err(coded(
            "INVALID_OPTION",
            format_args!("driver must be \"auto\", \"uring\" or \"poll\"; got {other:?}"),
        )),
    }
}

fn adaptive_of(options: &NativeAdaptive) -> Result<Adaptive> {
    let Some(path) = &options.properties else { return Ok(Adaptive::default()) };
    match DiskProperties::read(path) {
        Ok(properties) => Ok(Adaptive { properties: Some(properties) }),
        Err(error) => {
            let text = error.to_string();
            let said = text.strip_prefix("ERR_RINGWHEEL_PROPERTIES: ").unwrap_or(&text);
            Err(match error {
                PropertiesError::Read(..) => coded("PROPERTIES", format_args!("the properties file {said}")),
                _ => coded("PROPERTIES", format_args!("the properties file {path:?} is of no use: {said}")),
            })
        }
    }
}

fn driver_options(options: &NativeExecutorOptions) -> Result<DriverOptions> {
    let defaults = DriverOptions { host: Parks::Embedded, ..DriverOptions::default() };
    Ok(DriverOptions {
        kind: driver_kind(&options.driver)?,
        entries: options.entries.unwrap_or(defaults.entries),
        memory: options.memory.map_or(defaults.memory, |bytes| bytes as usize),
        sqpoll: options.sqpoll.as_ref().map(|wish| Sqpoll {
            idle_ms: wish.idle_ms.unwrap_or(1),
            cpu: wish.cpu,
            force: wish.force == Some(true),
        }),
        // No command of this side receives from sockets yet: the fewest buffers there can be.
        chunks: 8,
        chunk_bytes: 512,
        ..defaults
    })
}

#[napi]
impl NativeExecutor {
    /// `uring` or `poll`.
    #[napi(getter)]
    pub fn driver(&self) -> &'static str {
        match self.driver {
            DriverKind::Uring => "uring",
            DriverKind::Poll => "poll",
        }
    }

    /// Kernel features in use now: the arena's registration comes with the first lease. After close, those of the start.
    #[napi(getter)]
    pub fn features(&self) -> Vec<String> {
        let now = |core: &mut Core| core.executor.features().iter().map(ToString::to_string).collect();
        self.host.with(now).unwrap_or_else(|_| self.features.clone())
    }

    /// What was given up on the way.
    #[napi(getter)]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.host.with(|core| core.executor.notes()).unwrap_or_else(|_| self.notes.clone());
        notes.extend(self.seat_note.clone());
        notes
    }

    /// The arena's ArrayBuffer.
    #[napi(getter)]
    pub fn arena<'env>(&self, env: &'env Env) -> Result<Unknown<'env>> {
        let raw = env.raw();
        // SAFETY: needs the live environment in a handle scope. Holds: this is a native call.
        let value = self.host.with_arena(|arena| unsafe { arena.value(raw) })?;
        // SAFETY: needs a live value of this environment. Holds: the reference gave it in this call's scope.
        Ok(unsafe { Unknown::from_raw_unchecked(raw, value) })
    }

    /// True when the arena's buffer is a copy.
    #[napi(getter)]
    pub fn copies(&self) -> Result<bool> {
        self.host.with_arena(|arena| arena.copies)
    }

    /// Where other threads wake this executor: a number of 64 bits, the low half first.
    #[napi]
    pub fn address(&self) -> Result<Vec<u32>> {
        let bits = self.host.with(|core| core.executor.waker().to_bits())?;
        Ok(vec![bits as u32, (bits >> 32) as u32])
    }

    /// Keeps the loop alive until pending work that counts is zero again.
    #[napi]
    pub fn hold(&self) {
        self.host.hold();
    }

    /// Reads the command ring now.
    #[napi]
    pub fn flush(&self) -> Result<()> {
        self.host.flush()
    }

    /// The word of soft preemption, as an ArrayBuffer of 4 bytes; null where it cannot be shown: then ask each time.
    #[napi]
    pub fn preempt_word<'env>(&self, env: &'env Env) -> Result<Option<Unknown<'env>>> {
        let word = self.host.preempt_word()?;
        let seen = !self.host.with_arena(|arena| arena.copies)?;
        let Some(word) = word.filter(|_| seen) else { return Ok(None) };
        let raw = env.raw();
        // SAFETY: needs the live environment in a handle scope. Holds: this is a native call.
        let shown = unsafe { show_word(raw, word) };
        // SAFETY: needs a live value of this environment. Holds: made above, in this call's scope.
        Ok(shown.map(|value| unsafe { Unknown::from_raw_unchecked(raw, value) }))
    }

    /// The word is not 0: true when the time is over, false when it is 0 again.
    #[napi]
    pub fn confirm_preempt(&self) -> bool {
        self.host.confirm_preempt()
    }

    /// Milliseconds since the executor's start, on the clock that the alarm word counts by. 0 after close.
    #[napi]
    pub fn now(&self) -> f64 {
        self.host.with(|core| core.bridge.since_start().as_secs_f64() * 1e3).unwrap_or(0.0)
    }

    /// Opens a file; the answer comes as a completion.
    #[napi]
    pub fn open(
        &self,
        path: Uint8ArraySlice,
        flags: u32,
        mode: u32,
        slot: u32,
        generation: u32,
    ) -> Result<()> {
        let path = CString::new(path.to_vec()).map_err(|_| coded("INVALID_OPTION", "the path has a NUL"))?;
        let open = plain_open(path, flags as i32, mode);
        let pending = PendingId { slot, generation };
        self.host.with(|core| core.edge(|bridge, edge| bridge.open(edge, pending, open)))??.map_err(refused)
    }

    /// The descriptor behind a file, −1 when it is closed.
    #[napi]
    pub fn file_descriptor(&self, slot: u32, generation: u32) -> i32 {
        let found = self.host.with(|core| core.bridge.file_descriptor(FileId { slot, generation }));
        found.ok().flatten().unwrap_or(-1)
    }

    /// A descriptor of its own for what a file has open: the caller's to close. Minus an errno when there is none.
    #[napi]
    pub fn duplicate(&self, slot: u32, generation: u32) -> i32 {
        match self.host.with(|core| core.bridge.duplicate(FileId { slot, generation })) {
            Ok(Ok(Some(descriptor))) => descriptor.into_raw_fd(),
            Ok(Err(error)) => -error.raw_os_error(),
            Ok(Ok(None)) | Err(_) => -rustix::io::Errno::BADF.raw_os_error(),
        }
    }

    /// Writes a Uint8Array at once, as far as that is a copy and nothing else; at `position`, below 0 where the file is. Bytes written; minus an errno; or one of `WRITE_…` of the layout.
    #[napi]
    pub fn write_now(
        &self,
        env: Env,
        slot: u32,
        generation: u32,
        bytes: Unknown,
        position: f64,
    ) -> Result<i32> {
        #[cfg(target_os = "linux")]
        {
            use ringwheel_command::layout::{WRITE_ELSEWHERE, WRITE_GONE, WRITE_NEVER, WRITE_NEXT_TURN};
            use ringwheel_executor::bridge::Written;
            // SAFETY: needs live values, and no use after JavaScript ran again. Holds: this is a native call, and none is made below.
            let bytes = unsafe { bytes_of(env.raw(), bytes.raw()) };
            let Some(bytes) = bytes else { return Ok(WRITE_GONE) };
            let position = (position >= 0.0).then_some(position as u64);
            let file = FileId { slot, generation };
            let written = self.host.with(|core| {
                let turn = core.executor.turns();
                core.bridge.write_now(turn, file, bytes, position)
            });
            Ok(match written {
                Ok(Written::Bytes(count)) => count as i32,
                Ok(Written::Failed(error)) => -error.raw_os_error(),
                Ok(Written::NextTurn) => WRITE_NEXT_TURN,
                Ok(Written::Never) => WRITE_NEVER,
                // The ring says why.
                Ok(Written::Elsewhere) | Err(_) => WRITE_ELSEWHERE,
            })
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (env, slot, generation, bytes, position);
            Ok(ringwheel_command::layout::WRITE_NEVER)
        }
    }

    /// Drops a file that nobody can name any more. True when it was open.
    #[napi]
    pub fn forget(&self, slot: u32, generation: u32) -> bool {
        self.host.with(|core| core.bridge.forget(FileId { slot, generation })).unwrap_or(false)
    }

    /// An answer that was too long for its range, as an ArrayBuffer; null when there is none of this number.
    #[napi]
    pub fn take_parcel<'env>(&self, env: &'env Env, number: u32) -> Result<Option<Unknown<'env>>> {
        let Some(parcel) = self.host.with(|core| core.bridge.take_parcel(number))? else { return Ok(None) };
        let (copies, outlived) = self.host.with_arena(|arena| (arena.copies, arena.outlived))?;
        let raw = env.raw();
        // SAFETY: needs the live environment in a handle scope. Holds: this is a native call.
        let value = unsafe { parcel::show(raw, parcel, copies, outlived) }?;
        // SAFETY: needs a live value of this environment. Holds: made above, in this call's scope.
        Ok(Some(unsafe { Unknown::from_raw_unchecked(raw, value) }))
    }

    /// Frees an answer that nobody waits for any more. True when it was there.
    #[napi]
    pub fn drop_parcel(&self, number: u32) -> bool {
        self.host.with(|core| core.bridge.take_parcel(number).is_some()).unwrap_or(false)
    }

    /// Leases memory; null when there is no range as long.
    #[napi]
    pub fn lease(&self, bytes: f64) -> Result<Option<NativeLease>> {
        if !(1.0..=u32::MAX as f64).contains(&bytes) {
            return Ok(None);
        }
        let leased = self.host.with(|core| core.bridge.lease(bytes as usize))?;
        Ok(leased.ok().map(|(LeaseId { slot, generation }, offset)| NativeLease {
            slot,
            generation,
            offset: offset as u32,
        }))
    }

    /// Frees a lease in JavaScript's hand. False when it is stale or in use.
    #[napi]
    pub fn release(&self, slot: u32, generation: u32) -> bool {
        self.host.with(|core| core.bridge.release(LeaseId { slot, generation }).is_ok()).unwrap_or(false)
    }

    /// Copies the first bytes of a lease into JavaScript's buffer, where that is a copy.
    #[napi]
    pub fn pull(&self, env: Env, slot: u32, generation: u32, length: u32) -> Result<()> {
        self.copy(env, LeaseId { slot, generation }, length, |arena, shown| shown.copy_from_slice(arena))
    }

    /// Copies the first bytes of a lease out of JavaScript's buffer.
    #[napi]
    pub fn push(&self, env: Env, slot: u32, generation: u32, length: u32) -> Result<()> {
        self.copy(env, LeaseId { slot, generation }, length, |arena, shown| arena.copy_from_slice(shown))
    }

    /// Says what a class of reads and writes is: the shares of its task queue, and whether that has a latency class.
    #[napi]
    pub fn set_class(&self, index: u32, shares: u32, urgent: bool) {
        // Gone with the executor: nothing shares a disk any more.
        let _closed = self.host.with(|core| core.bridge.set_class(index, shares, urgent));
    }

    /// Counters.
    #[napi]
    pub fn stats(&self) -> Result<NativeStats> {
        let callbacks = self.host.callbacks() as f64;
        self.host.with(|core| {
            let (stats, bridge) = (core.executor.stats(), core.bridge.stats());
            let (arena, calls) = (core.bridge.arena(), core.bridge.call_stats());
            NativeStats {
                calls_here: calls.here as f64,
                calls_pooled: calls.pooled as f64,
                calls_postponed: calls.postponed as f64,
                writes_now: core.bridge.writes_now() as f64,
                parcels: calls.parcels as f64,
                parcels_waiting: calls.parcels_waiting as f64,
                parcels_reused: calls.parcels_reused as f64,
                spare_bytes: calls.spare_bytes as f64,
                spare_bytes_max: calls.spare_bytes_max as f64,
                enters: stats.driver.enters as f64,
                submitted: stats.driver.submitted as f64,
                completed: stats.driver.completed as f64,
                in_flight: f64::from(stats.driver.in_flight),
                in_flight_max: f64::from(stats.driver.in_flight_max),
                overflows: stats.driver.overflows as f64,
                cancels: stats.driver.cancels as f64,
                unexpected: stats.driver.unexpected as f64,
                leaked: stats.driver.leaked as f64,
                rejects: bridge.rejects as f64,
                turns: stats.turns as f64,
                callbacks,
                timers: f64::from(stats.timers),
                files: core.bridge.files() as f64,
                leases: arena.leases() as f64,
                arena_bytes: arena.total() as f64,
                arena_free_bytes: arena.free_bytes() as f64,
                stalls: stats.stalls as f64,
                longest_stall_ms: stats.longest_stall.as_nanos() as f64 / 1e6,
                adaptive: core.bridge.adaptive_stats().map(|adaptive| NativeAdaptiveStats {
                    depth_bytes: adaptive.depth as f64,
                    in_flight_bytes: adaptive.away as f64,
                    waiting: adaptive.waiting as f64,
                    granted: adaptive.granted as f64,
                    waited: adaptive.waited as f64,
                    flushes: adaptive.flushes as f64,
                    batch: adaptive.batch as f64,
                    latency_us: adaptive.latency as f64 / 1000.0,
                }),
            }
        })
    }

    /// Watches the thread for stalls longer than so many milliseconds; `on_stall` is called with a text for each.
    #[napi]
    pub fn watch(&self, env: Env, milliseconds: u32, stack: bool, on_stall: Unknown) -> Result<()> {
        let raw = env.raw();
        // SAFETY: needs the live environment in a handle scope. Holds: this is a native call.
        let report = unsafe { Reference::new(raw, on_stall.raw()) }?;
        let threshold = Duration::from_millis(milliseconds.into());
        let watched = self.host.with(|core| Stalls::watch(&mut core.executor, threshold, stack, report))?;
        match watched {
            Ok(stalls) => {
                self.host.watch(stalls);
                Ok(())
            }
            Err((report, error)) => {
                // SAFETY: as above.
                unsafe { report.release(raw) };
                Err(not_started(&error))
            }
        }
    }

    /// How long operations took, by kind.
    #[napi]
    pub fn latencies(&self) -> Result<Vec<NativeLatency>> {
        let latencies = self.host.with(|core| core.executor.latencies())?;
        let native = |OperationLatency { operation, took }| NativeLatency {
            operation: operation.to_owned(),
            took: took.into(),
        };
        Ok(latencies.into_iter().map(native).collect())
    }

    /// Cancels what is in flight, drains, closes. Returns how many operations had to be leaked.
    #[napi]
    pub fn close(&self) -> u32 {
        self.host.shut_down().driver.leaked
    }
}

impl NativeExecutor {
    fn copy(
        &self,
        env: Env,
        lease: LeaseId,
        length: u32,
        work: impl FnOnce(&mut [u8], &mut [u8]),
    ) -> Result<()> {
        let stale = || coded("LEASE", "the lease was released or is in use by another operation");
        let raw = env.raw();
        self.host.with_arena(|view| {
            self.host.with(|core| {
                let copied = core.bridge.with_lease(lease, |offset, bytes| {
                    let length = (length as usize).min(bytes.len());
                    let both = |shown: &mut [u8]| {
                        work(&mut bytes[..length], shown.get_mut(offset..offset + length)?);
                        Some(())
                    };
                    // SAFETY: needs the live environment and no JavaScript in `both`. Holds: a native call; it copies bytes.
                    unsafe { view.with_copy(raw, both) }.flatten()
                });
                match copied {
                    Ok(Some(())) => Ok(()),
                    Ok(None) => Err(coded("BUFFER", "the arena's buffer was detached")),
                    Err(_) => Err(stale()),
                }
            })?
        })?
    }
}
