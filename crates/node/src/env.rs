//! The end of an environment: a worker that is terminated, or a thread that returns from its script (INV-9).
//!
//! Order matters. The hook runs while JavaScript's heap is still there: (1) submit what is staged, cancel all, drain to zero
//! (`Executor::shutdown`), so that the kernel writes to nothing of ours any more; (2) end JavaScript's view of the arena;
//! (3) `uv_close` the handles; (4) free them in their callbacks; (5) remove the hook, which lets the environment go on.
use crate::{error::coded, host::Host};
use napi::{Result, sys};
use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::NonNull,
    rc::Rc,
};

/// A registered hook. Dropping it removes it, and lets an environment that waits for it go on.
#[derive(Debug)]
pub struct CleanupHook {
    handle: sys::napi_async_cleanup_hook_handle,
    host: NonNull<Host>,
}

impl CleanupHook {
    /// Has `host` shut down when the environment ends.
    ///
    /// # Errors
    /// When Node-API refuses.
    ///
    /// # Safety
    /// `env` must be live, on its thread.
    pub unsafe fn add(env: sys::napi_env, host: &Rc<Host>) -> Result<CleanupHook> {
        let counted = Rc::into_raw(Rc::clone(host)).cast_mut();
        let host = NonNull::new(counted).ok_or_else(|| coded("INTERNAL", "an Rc is never null"))?;
        let mut handle = std::ptr::null_mut();
        // SAFETY: needs a live environment, and data that is valid until the hook is removed.
        // Holds: the caller's contract; the count just taken is dropped with the hook.
        // Checked: __test__/hostile/worker.spec.ts.
        let status =
            unsafe { sys::napi_add_async_cleanup_hook(env, Some(on_end), host.as_ptr().cast(), &mut handle) };
        if status != sys::Status::napi_ok {
            // SAFETY: takes back the count of `into_raw`: nothing else knows the pointer.
            drop(unsafe { Rc::from_raw(host.as_ptr()) });
            return Err(coded("INTERNAL", format_args!("napi_add_async_cleanup_hook: status {status}")));
        }
        Ok(CleanupHook { handle, host })
    }
}

impl Drop for CleanupHook {
    fn drop(&mut self) {
        // SAFETY: needs a handle that was not removed. Holds: only this removes it, once.
        unsafe { sys::napi_remove_async_cleanup_hook(self.handle) };
        // SAFETY: takes back the count of `add`. Holds: the removed hook will not run any more.
        drop(unsafe { Rc::from_raw(self.host.as_ptr()) });
    }
}

unsafe extern "C" fn on_end(_handle: sys::napi_async_cleanup_hook_handle, host: *mut c_void) {
    let host: *const Host = host.cast();
    // SAFETY: needs a pointer with a count of its own for the time of this call. Holds: the hook has one until it is removed.
    unsafe { Rc::increment_strong_count(host) };
    // SAFETY: takes the count of the line above.
    let host = unsafe { Rc::from_raw(host) };
    // INV-8: no panic crosses into Node. What the panic left is leaked, not freed.
    let _panic = catch_unwind(AssertUnwindSafe(|| host.shut_down()));
}
