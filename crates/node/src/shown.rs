//! The buffers over memory of ours that a worker has: when it ends, which of them are somewhere else.
//!
//! V8 frees memory of a buffer when nobody has it any more, but an environment that ends has Node free it at once, of every buffer that native
//! code made. Node does not transfer those to other threads; `ArrayBuffer.prototype.transfer` (Node 22) moves the memory to a buffer that it
//! does not know, which is transferred as any other, and then another thread reads what was freed (on Node 22.23 and 24.22: other files' bytes,
//! or SIGSEGV). Node ends buffers from the last one made to the first, whether by cleanup hooks or by a list of its own; hooks of others come
//! after those. So the last one made is always a sentinel, whose end looks at all the others: memory whose buffer is detached or collected then
//! is left to whoever has it, for ever. Among that is no buffer that never was moved, but one that V8 has collected and not swept yet.
use napi::sys;
use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    ffi::c_void,
    rc::Rc,
};

thread_local! {
    /// The environment of this thread; a thread with several changes it. Only native calls look here.
    static LAST: RefCell<Option<Rc<Shown>>> = const { RefCell::new(None) };
}

/// See the file's head.
struct Shown {
    env: sys::napi_env,
    /// A weak reference to each buffer that has its memory, as far as is known.
    buffers: RefCell<HashMap<u64, sys::napi_ref>>,
    last: Cell<u64>,
    /// Keeps the sentinel, until there is the next; and the number of the buffer that it came after.
    sentinel: Cell<(sys::napi_ref, u64)>,
    ended: Cell<bool>,
}

/// A buffer that is watched, for its finalizer.
pub struct Watched {
    shown: Rc<Shown>,
    number: u64,
}

impl Watched {
    /// Watches a buffer of this thread's environment, which is to be made.
    pub fn new(env: sys::napi_env) -> Watched {
        let shown = LAST.with_borrow_mut(|last| match last {
            Some(shown) if shown.env == env && !shown.ended.get() => Rc::clone(shown),
            _ => Rc::clone(last.insert(Rc::new(Shown {
                env,
                buffers: RefCell::default(),
                last: Cell::new(0),
                sentinel: Cell::new((std::ptr::null_mut(), 0)),
                ended: Cell::new(false),
            }))),
        });
        let number = shown.last.get() + 1;
        shown.last.set(number);
        Watched { shown, number }
    }

    /// The same buffer, for who makes it.
    pub fn twin(&self) -> Watched {
        Watched { shown: Rc::clone(&self.shown), number: self.number }
    }

    /// The buffer was made. What cannot be watched is not freed at all.
    ///
    /// # Safety
    /// The environment must be live, on its thread, in a handle scope, and `buffer` an ArrayBuffer of it, the last one that was made.
    pub unsafe fn made(self, buffer: sys::napi_value) {
        let Watched { shown, number } = self;
        let (env, mut weak, mut strong) = (shown.env, std::ptr::null_mut(), std::ptr::null_mut());
        // SAFETY: needs a live environment and buffer. Holds: the caller's contract. A count of 0 makes the reference weak.
        if unsafe { sys::napi_create_reference(env, buffer, 0, &mut weak) } != sys::Status::napi_ok {
            return;
        }
        let mut sentinel = std::ptr::null_mut();
        let data = Box::into_raw(Box::new(Watched { shown: Rc::clone(&shown), number })).cast::<c_void>();
        // SAFETY: needs memory that is valid until the finalizer. Holds: it is the box, which the finalizer takes; nobody but the reference below
        // ever has the buffer.
        // Checked: __test__/hostile/spare.spec.ts, "memory that a script moved out of a worker outlives the worker".
        let status =
            unsafe { sys::napi_create_external_arraybuffer(env, data, 1, Some(on_end), data, &mut sentinel) };
        if status != sys::Status::napi_ok {
            // SAFETY: takes back the box. Holds: a call that failed does not keep the finalizer.
            drop(unsafe { Box::from_raw(data.cast::<Watched>()) });
            return;
        }
        // SAFETY: as above; a count of 1 makes it strong.
        if unsafe { sys::napi_create_reference(env, sentinel, 1, &mut strong) } != sys::Status::napi_ok {
            return;
        }
        let (before, _) = shown.sentinel.replace((strong, number));
        if !before.is_null() {
            // SAFETY: needs a reference that was not deleted. Holds: it was made here, and is in nobody's hand any more.
            unsafe { sys::napi_delete_reference(env, before) };
        }
        shown.buffers.borrow_mut().insert(number, weak);
    }

    /// The buffer is gone. False when its memory may be in another one.
    ///
    /// # Safety
    /// `env` must be the environment of [`Watched::new`], on its thread.
    pub unsafe fn gone(self, env: sys::napi_env) -> bool {
        let known = self.shown.buffers.borrow_mut().remove(&self.number);
        if let Some(weak) = known {
            // SAFETY: needs a reference of the environment that was not deleted. Holds: it was in the map until now.
            unsafe { sys::napi_delete_reference(env, weak) };
        }
        known.is_some()
    }
}

/// A sentinel is gone: it was replaced and collected, or the environment ends, and Node is about to free the memory of all its buffers.
unsafe extern "C" fn on_end(env: sys::napi_env, _data: *mut c_void, sentinel: *mut c_void) {
    // SAFETY: takes the box of `made`. Holds: Node-API calls a finalizer once.
    let Watched { shown, number } = *unsafe { Box::from_raw(sentinel.cast::<Watched>()) };
    if shown.sentinel.get().1 != number {
        return;
    }
    shown.ended.set(true);
    let mut scope = std::ptr::null_mut();
    // SAFETY: needs a live environment, on its thread. Holds: Node-API calls a finalizer with that, there.
    let opened = unsafe { sys::napi_open_handle_scope(env, &mut scope) } == sys::Status::napi_ok;
    // SAFETY: needs a handle scope, and references that were not deleted. Holds: it is asked first; they are in the map.
    shown.buffers.borrow_mut().retain(|_, weak| opened && unsafe { has_memory(env, *weak) });
    if opened {
        // SAFETY: closes the scope that was opened above; nothing came between.
        unsafe { sys::napi_close_handle_scope(env, scope) };
    }
}

/// Whether a buffer still has its memory.
///
/// # Safety
/// The environment must be live, on its thread, in a handle scope, and the reference not deleted.
unsafe fn has_memory(env: sys::napi_env, weak: sys::napi_ref) -> bool {
    let mut buffer = std::ptr::null_mut();
    let mut detached = true;
    // SAFETY: the caller's contract.
    unsafe { sys::napi_get_reference_value(env, weak, &mut buffer) };
    if !buffer.is_null() {
        // SAFETY: needs a live value. Holds: Node-API just gave it, in the caller's scope.
        unsafe { sys::napi_is_detached_arraybuffer(env, buffer, &mut detached) };
    }
    !detached
}
