//! The only file that knows libuv: six handles on the environment's loop, and the callbacks that a [`Watcher`] gets.
//!
//! The functions are looked up by name when an executor starts, so that a host without them (Bun, Deno, Electron with a
//! hidden libuv) gets an error and not a crash. Handles are sized by the host's own `uv_handle_size`.
use crate::alarm::ExactAlarm;
use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    any::Any,
    cell::{Cell, RefCell},
    ffi::{CStr, c_int, c_void},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    rc::Rc,
    time::Duration,
};

/// What the loop tells its executor. Called on the loop's thread, never while another of these runs.
pub trait Watcher {
    /// The loop is about to look for events: submit, and say whether it may sleep.
    fn prepare(&self);
    /// The loop has looked for events.
    fn check(&self);
    /// The alarm rang, where libuv's timer is it possibly a fraction of a millisecond early. It goes on ringing until it is set.
    fn rang(&self);
    /// The watched descriptor is readable.
    fn readable(&self);
    /// All handles are closed: libuv will touch nothing of ours any more.
    fn closed(&self);
    /// One of the above panicked. Must not panic itself.
    fn panicked(&self, payload: Box<dyn Any + Send>);
}

type Raw = *mut c_void;
type Callback = extern "C" fn(Raw);
type PollCallback = extern "C" fn(Raw, c_int, c_int);

type HandleSize = unsafe extern "C" fn(c_int) -> usize;
type OnHandle = unsafe extern "C" fn(Raw);
type SetData = unsafe extern "C" fn(Raw, Raw);
type Close = unsafe extern "C" fn(Raw, Callback);
type Init = unsafe extern "C" fn(Raw, Raw) -> c_int;
type PollInit = unsafe extern "C" fn(Raw, Raw, c_int) -> c_int;
type Start = unsafe extern "C" fn(Raw, Callback) -> c_int;
type PollStart = unsafe extern "C" fn(Raw, c_int, PollCallback) -> c_int;
type TimerStart = unsafe extern "C" fn(Raw, Callback, u64, u64) -> c_int;
type Stop = unsafe extern "C" fn(Raw) -> c_int;
type OfLoop = unsafe extern "C" fn(Raw) -> c_int;

/// `uv_handle_type` of libuv 1.x: an ABI that cannot change before 2.0.
#[derive(Clone, Copy)]
enum Kind {
    Check = 2,
    Idle = 6,
    Poll = 8,
    Prepare = 9,
    Timer = 13,
}

const READABLE: c_int = 1;

/// libuv's functions, found by name.
#[derive(Clone, Copy)]
struct Api {
    handle_size: HandleSize,
    set_data: SetData,
    keep: OnHandle,
    let_go: OnHandle,
    close: Close,
    update_time: OnHandle,
    backend_fd: OfLoop,
    backend_timeout: OfLoop,
    prepare_init: Init,
    prepare_start: Start,
    check_init: Init,
    check_start: Start,
    idle_init: Init,
    idle_start: Start,
    idle_stop: Stop,
    poll_init: PollInit,
    poll_start: PollStart,
    timer_init: Init,
    timer_start: TimerStart,
    timer_stop: Stop,
}

/// The address of a function that the host process exports.
fn address(name: &CStr) -> Option<NonNull<c_void>> {
    // SAFETY: `dlsym` needs a NUL-terminated name.
    // Holds: a CStr is one. RTLD_DEFAULT asks the process itself.
    // Checked: __test__/api/executor.spec.ts starts on Node; package.spec checks the error where they are missing.
    NonNull::new(unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) })
}

macro_rules! function {
    ($signature:ty, $name:literal) => {{
        let found = address($name)?.as_ptr();
        // SAFETY: the address must be of a function with the field's signature.
        // Holds: libuv 1.x documents that signature for this name and keeps its ABI within a major version.
        // Checked: every ava spec runs through these.
        unsafe { std::mem::transmute::<*mut c_void, $signature>(found) }
    }};
}

impl Api {
    fn find() -> Option<Api> {
        Some(Api {
            handle_size: function!(HandleSize, c"uv_handle_size"),
            set_data: function!(SetData, c"uv_handle_set_data"),
            keep: function!(OnHandle, c"uv_ref"),
            let_go: function!(OnHandle, c"uv_unref"),
            close: function!(Close, c"uv_close"),
            update_time: function!(OnHandle, c"uv_update_time"),
            backend_fd: function!(OfLoop, c"uv_backend_fd"),
            backend_timeout: function!(OfLoop, c"uv_backend_timeout"),
            prepare_init: function!(Init, c"uv_prepare_init"),
            prepare_start: function!(Start, c"uv_prepare_start"),
            check_init: function!(Init, c"uv_check_init"),
            check_start: function!(Start, c"uv_check_start"),
            idle_init: function!(Init, c"uv_idle_init"),
            idle_start: function!(Start, c"uv_idle_start"),
            idle_stop: function!(Stop, c"uv_idle_stop"),
            poll_init: function!(PollInit, c"uv_poll_init"),
            poll_start: function!(PollStart, c"uv_poll_start"),
            timer_init: function!(Init, c"uv_timer_init"),
            timer_start: function!(TimerStart, c"uv_timer_start"),
            timer_stop: function!(Stop, c"uv_timer_stop"),
        })
    }
}

/// Why the loop was not joined.
#[derive(Debug, PartialEq, Eq)]
pub enum JoinError {
    /// The host does not export libuv.
    NoLibuv,
    /// libuv refused the descriptor; its error number.
    Refused(i32),
}

/// The six handles, and the watcher that they call. Every handle owns one count of the Rc until its close callback.
pub struct Handles<W: Watcher> {
    api: Api,
    event_loop: Raw,
    watcher: RefCell<Option<Rc<W>>>,
    prepare: Cell<Raw>,
    check: Cell<Raw>,
    idle: Cell<Raw>,
    poll: Cell<Raw>,
    timer: Cell<Raw>,
    /// Watches `exact`.
    alarm: Cell<Raw>,
    /// An alarm to the microsecond, which libuv's timer is not.
    exact: RefCell<Option<ExactAlarm>>,
    open: Cell<u32>,
    closing: Cell<bool>,
    /// A duplicate of the watched descriptor: libuv may still have the original's number staged when its owner closes it,
    /// and aborts the process when that fails. This one is closed after libuv let go.
    watched: RefCell<Option<OwnedFd>>,
}

impl<W: Watcher> Handles<W> {
    /// Joins the loop. `event_loop` is the environment's `uv_loop_t`; the caller is its thread.
    ///
    /// # Errors
    /// [`JoinError`]; then nothing of it is left.
    ///
    /// # Safety
    /// `event_loop` must be a libuv 1.x loop that outlives the close callbacks: env.rs closes before the environment ends.
    pub unsafe fn join(
        event_loop: *mut c_void,
        watched: OwnedFd,
        watcher: Rc<W>,
    ) -> Result<Rc<Handles<W>>, JoinError> {
        let api = Api::find().ok_or(JoinError::NoLibuv)?;
        let handles = Rc::new(Handles {
            api,
            event_loop,
            watcher: RefCell::new(Some(watcher)),
            prepare: Cell::new(std::ptr::null_mut()),
            check: Cell::new(std::ptr::null_mut()),
            idle: Cell::new(std::ptr::null_mut()),
            poll: Cell::new(std::ptr::null_mut()),
            timer: Cell::new(std::ptr::null_mut()),
            alarm: Cell::new(std::ptr::null_mut()),
            exact: RefCell::new(ExactAlarm::new()),
            open: Cell::new(0),
            closing: Cell::new(false),
            watched: RefCell::new(None),
        });
        let fd = watched.as_raw_fd();
        *handles.watched.borrow_mut() = Some(watched);
        let begun = handles.begin(fd);
        if let Err(error) = begun {
            handles.watcher.borrow_mut().take(); // It never hears of handles that did not begin.
            handles.close();
            return Err(error);
        }
        Ok(handles)
    }

    fn begin(self: &Rc<Self>, fd: c_int) -> Result<(), JoinError> {
        let Api { prepare_init, check_init, idle_init, poll_init, timer_init, .. } = self.api;
        let event_loop = self.event_loop;
        // SAFETY: `init` needs the loop, on its thread, and memory of the handle's size.
        // Holds: `join`'s contract; `make` allocated what uv_handle_size says. The same for the next four.
        // Checked: __test__/hostile/worker.spec.ts makes and closes them 500 times.
        self.prepare.set(self.make(Kind::Prepare, |handle| unsafe { prepare_init(event_loop, handle) })?);
        // SAFETY: as above.
        self.check.set(self.make(Kind::Check, |handle| unsafe { check_init(event_loop, handle) })?);
        // SAFETY: as above.
        self.idle.set(self.make(Kind::Idle, |handle| unsafe { idle_init(event_loop, handle) })?);
        // SAFETY: as above.
        self.timer.set(self.make(Kind::Timer, |handle| unsafe { timer_init(event_loop, handle) })?);
        // SAFETY: as above; the descriptor is open for as long as `watched` holds it.
        self.poll.set(self.make(Kind::Poll, |handle| unsafe { poll_init(event_loop, handle, fd) })?);
        let alarm = self.exact.borrow().as_ref().map(AsRawFd::as_raw_fd);
        if let Some(fd) = alarm {
            // SAFETY: as above; `exact` holds the descriptor until all handles are closed.
            self.alarm.set(self.make(Kind::Poll, |handle| unsafe { poll_init(event_loop, handle, fd) })?);
            // SAFETY: as below.
            let status = unsafe { (self.api.poll_start)(self.alarm.get(), READABLE, on_alarm::<W>) };
            self.check_call(status)?;
            // SAFETY: `uv_unref` needs an initialised handle. Holds: made above.
            unsafe { (self.api.let_go)(self.alarm.get()) };
        }
        // SAFETY: `start` needs an initialised handle that is not closing. Holds: made above. The same for the next two.
        let status = unsafe { (self.api.prepare_start)(self.prepare.get(), on_prepare::<W>) };
        self.check_call(status)?;
        // SAFETY: as above.
        let status = unsafe { (self.api.check_start)(self.check.get(), on_check::<W>) };
        self.check_call(status)?;
        // SAFETY: as above.
        let status = unsafe { (self.api.poll_start)(self.poll.get(), READABLE, on_poll::<W>) };
        self.check_call(status)?;
        for handle in [&self.prepare, &self.check, &self.idle, &self.timer, &self.poll] {
            // SAFETY: `uv_unref` needs an initialised handle. Holds: made above.
            unsafe { (self.api.let_go)(handle.get()) };
        }
        Ok(())
    }

    fn check_call(&self, status: c_int) -> Result<(), JoinError> {
        if status == 0 { Ok(()) } else { Err(JoinError::Refused(status)) }
    }

    /// Allocates and initialises a handle whose data is one count of this Rc.
    fn make(self: &Rc<Self>, kind: Kind, init: impl FnOnce(Raw) -> c_int) -> Result<Raw, JoinError> {
        let layout = self.layout(kind);
        // SAFETY: `alloc_zeroed` needs a size above 0. Holds: no uv handle is empty, and `layout` makes it at least 16.
        let handle: Raw = unsafe { alloc_zeroed(layout) }.cast();
        if handle.is_null() {
            return Err(JoinError::Refused(-12));
        }
        let status = init(handle);
        if status != 0 {
            // SAFETY: allocated above with this layout; libuv does not keep a handle whose init failed.
            unsafe { dealloc(handle.cast(), layout) };
            return Err(JoinError::Refused(status));
        }
        let owner = Rc::into_raw(Rc::clone(self)).cast_mut().cast();
        // SAFETY: `uv_handle_set_data` needs an initialised handle. Holds: `init` returned 0.
        unsafe { (self.api.set_data)(handle, owner) };
        self.open.set(self.open.get() + 1);
        Ok(handle)
    }

    fn layout(&self, kind: Kind) -> Layout {
        // SAFETY: `uv_handle_size` takes any number. Holds: `Kind` has libuv's own.
        let size = unsafe { (self.api.handle_size)(kind as c_int) };
        Layout::from_size_align(size.clamp(16, 1 << 16), 16).unwrap_or(Layout::new::<[u128; 64]>())
    }

    /// Keeps the process alive, or no longer.
    pub fn set_kept(&self, kept: bool) {
        if self.closing.get() {
            return;
        }
        let call = if kept { self.api.keep } else { self.api.let_go };
        // SAFETY: needs an initialised handle that is not closed. Holds: `closing` is false.
        unsafe { call(self.poll.get()) };
    }

    /// Keeps the loop from sleeping, or no longer.
    pub fn set_awake(&self, awake: bool) {
        if self.closing.get() {
            return;
        }
        if awake {
            // SAFETY: needs an initialised handle that is not closing. Holds: `closing` is false.
            unsafe { (self.api.idle_start)(self.idle.get(), on_idle) };
        } else {
            // SAFETY: as above.
            unsafe { (self.api.idle_stop)(self.idle.get()) };
        }
    }

    /// A second descriptor of what the loop sleeps on: readable when any of its descriptors is, whoever they belong to.
    pub fn backend(&self) -> Option<OwnedFd> {
        if self.closing.get() {
            return None;
        }
        // SAFETY: needs the loop. Holds: `join`'s contract; the handles are not closed.
        let fd = unsafe { (self.api.backend_fd)(self.event_loop) };
        if fd < 0 {
            return None;
        }
        // SAFETY: needs a descriptor that is open while it is borrowed. Holds: the loop has it.
        unsafe { BorrowedFd::borrow_raw(fd) }.try_clone_to_owned().ok()
    }

    /// When the loop will have something to do by itself: an immediate at once, a timer of Node's in whole milliseconds; `None` for
    /// never. Not our own idle handle: [`Handles::set_awake`] before, with false.
    pub fn next_of_its_own(&self) -> Option<Duration> {
        if self.closing.get() {
            return Some(Duration::ZERO);
        }
        // SAFETY: needs the loop, on its thread. Holds: `join`'s contract; the handles are not closed.
        unsafe { (self.api.update_time)(self.event_loop) };
        // SAFETY: as above.
        let ms = unsafe { (self.api.backend_timeout)(self.event_loop) };
        u64::try_from(ms).ok().map(Duration::from_millis)
    }

    /// Wakes the loop in so much time; `None` takes that back.
    pub fn set_alarm(&self, left: Option<Duration>) {
        if self.closing.get() {
            return;
        }
        if self.exact.borrow().as_ref().is_some_and(|exact| exact.set(left)) {
            return;
        }
        match left {
            Some(left) => {
                let ms = left.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as u64;
                // SAFETY: needs the loop, on its thread. Without it the timer would count from the loop's last look at the clock.
                unsafe { (self.api.update_time)(self.event_loop) };
                // SAFETY: needs an initialised handle that is not closing. Holds: `closing` is false.
                unsafe { (self.api.timer_start)(self.timer.get(), on_timer::<W>, ms, 0) };
            }
            None => {
                // SAFETY: as above.
                unsafe { (self.api.timer_stop)(self.timer.get()) };
            }
        }
    }

    /// Closes all handles. Their memory is freed in their close callbacks, in a later phase of the loop; then the watcher
    /// hears [`Watcher::closed`] and is let go.
    pub fn close(&self) {
        if self.closing.replace(true) {
            return;
        }
        let closers: [(&Cell<Raw>, Callback); 6] = [
            (&self.prepare, on_closed::<W, { Kind::Prepare as u8 }>),
            (&self.check, on_closed::<W, { Kind::Check as u8 }>),
            (&self.idle, on_closed::<W, { Kind::Idle as u8 }>),
            (&self.timer, on_closed::<W, { Kind::Timer as u8 }>),
            (&self.poll, on_closed::<W, { Kind::Poll as u8 }>),
            (&self.alarm, on_closed::<W, { Kind::Poll as u8 }>),
        ];
        for (handle, callback) in closers {
            if !handle.get().is_null() {
                // SAFETY: needs an initialised handle that is not closing. Holds: non-null since `make`, and `closing` was false.
                // Checked: __test__/hostile/worker.spec.ts.
                unsafe { (self.api.close)(handle.get(), callback) };
            }
        }
    }

    fn call(&self, work: impl FnOnce(&W)) {
        let Some(watcher) = self.watcher.borrow().clone() else { return };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(&watcher))) {
            watcher.panicked(payload); // INV-8: no panic crosses into libuv.
        }
    }
}

/// The owner of a handle, with a count of its own for as long as the callback runs.
fn owner<W: Watcher>(handle: Raw) -> Rc<Handles<W>> {
    // SAFETY: reads the first word of a live handle. Holds: libuv passes its own to the callback, and `data` is the first
    // member of every uv_handle_t (libuv's documentation, "Handle": public members).
    let data = unsafe { handle.cast::<*const Handles<W>>().read() };
    // SAFETY: needs a pointer of `Rc::into_raw` that still has a count. Holds: `make` stored one for this handle, which only
    // `on_closed`, the handle's last callback, drops.
    unsafe { Rc::increment_strong_count(data) };
    // SAFETY: as above; this takes the count of the line above.
    unsafe { Rc::from_raw(data) }
}

extern "C" fn on_prepare<W: Watcher>(handle: Raw) {
    owner::<W>(handle).call(W::prepare);
}

extern "C" fn on_check<W: Watcher>(handle: Raw) {
    owner::<W>(handle).call(W::check);
}

extern "C" fn on_poll<W: Watcher>(handle: Raw, _status: c_int, _events: c_int) {
    owner::<W>(handle).call(W::readable);
}

extern "C" fn on_alarm<W: Watcher>(handle: Raw, _status: c_int, _events: c_int) {
    owner::<W>(handle).call(W::rang);
}

extern "C" fn on_timer<W: Watcher>(handle: Raw) {
    owner::<W>(handle).call(W::rang);
}

/// An idle handle only keeps the loop from sleeping: `check` does the work.
extern "C" fn on_idle(_handle: Raw) {}

extern "C" fn on_closed<W: Watcher, const KIND: u8>(handle: Raw) {
    let owner = owner::<W>(handle);
    let kind = match KIND {
        2 => Kind::Check,
        6 => Kind::Idle,
        8 => Kind::Poll,
        9 => Kind::Prepare,
        _ => Kind::Timer,
    };
    let layout = owner.layout(kind);
    // SAFETY: takes the count that `make` stored. Holds: this is the handle's last callback.
    unsafe { Rc::decrement_strong_count(Rc::as_ptr(&owner)) };
    // SAFETY: needs the pointer and layout of the allocation. Holds: `make` allocated it with the layout of the same kind, and
    // libuv does not touch a handle from its close callback on.
    unsafe { dealloc(handle.cast(), layout) };
    owner.open.set(owner.open.get() - 1);
    if owner.open.get() == 0 {
        owner.watched.borrow_mut().take();
        owner.exact.borrow_mut().take();
        owner.call(W::closed);
        owner.watcher.borrow_mut().take();
    }
}
