//! Node-API values that outlive a call, and the one call into JavaScript that an executor makes.
use crate::error::coded;
use napi::{Result, sys};

/// A strong reference. Must be released while its environment lives; forgetting that leaks the object, no more.
#[derive(Debug)]
pub struct Reference(sys::napi_ref);

impl Reference {
    /// Keeps `value` alive.
    ///
    /// # Errors
    /// When Node-API refuses.
    ///
    /// # Safety
    /// `env` and `value` must be live, on the environment's thread.
    pub unsafe fn new(env: sys::napi_env, value: sys::napi_value) -> Result<Reference> {
        let mut reference = std::ptr::null_mut();
        // SAFETY: the caller's contract.
        let status = unsafe { sys::napi_create_reference(env, value, 1, &mut reference) };
        if status != sys::Status::napi_ok {
            return Err(coded("INTERNAL", format_args!("napi_create_reference: status {status}")));
        }
        Ok(Reference(reference))
    }

    /// The value; null when the environment is going away.
    ///
    /// # Safety
    /// `env` must be the environment of `new`, live, on its thread, in a handle scope.
    pub unsafe fn value(&self, env: sys::napi_env) -> sys::napi_value {
        let mut value = std::ptr::null_mut();
        // SAFETY: the caller's contract; the reference was not released, since that takes `self`.
        unsafe { sys::napi_get_reference_value(env, self.0, &mut value) };
        value
    }

    /// Lets go.
    ///
    /// # Safety
    /// As for [`Reference::value`].
    pub unsafe fn release(self, env: sys::napi_env) {
        // SAFETY: the caller's contract.
        unsafe { sys::napi_delete_reference(env, self.0) };
    }
}

/// Runs `work` in a handle scope.
///
/// # Safety
/// `env` must be live, on its thread. `work` must not let values out.
pub unsafe fn scoped<R>(env: sys::napi_env, work: impl FnOnce() -> R) -> Option<R> {
    let mut scope = std::ptr::null_mut();
    // SAFETY: the caller's contract.
    let status = unsafe { sys::napi_open_handle_scope(env, &mut scope) };
    if status != sys::Status::napi_ok {
        return None;
    }
    let result = work();
    // SAFETY: the scope was opened above and scopes are closed in reverse order: `work` closed its own.
    unsafe { sys::napi_close_handle_scope(env, scope) };
    Some(result)
}

/// Calls a function the way libuv callbacks must: in a callback scope, so that microtasks and ticks run as it returns.
/// `text` is its argument, if there is one. An exception is cleared and given to `uncaughtException`, since one that stays
/// pending would abort the process of a worker that is being terminated. False when the function did not run to its end.
///
/// # Safety
/// `env` must be live, on its thread, outside of any JavaScript.
pub unsafe fn call(env: sys::napi_env, function: &Reference, text: Option<&str>) -> bool {
    let work = || {
        let mut receiver = std::ptr::null_mut();
        // SAFETY: the caller's contract, in the scope that `scoped` opened.
        let status = unsafe { sys::napi_get_global(env, &mut receiver) };
        // SAFETY: as above.
        let function = unsafe { function.value(env) };
        if status != sys::Status::napi_ok || function.is_null() {
            return false;
        }
        let mut argument = std::ptr::null_mut();
        let mut count = 0;
        if let Some(text) = text {
            // SAFETY: as above; the text is not read after the call.
            let status = unsafe {
                sys::napi_create_string_utf8(env, text.as_ptr().cast(), text.len() as isize, &mut argument)
            };
            count = usize::from(status == sys::Status::napi_ok);
        }
        let mut result = std::ptr::null_mut();
        // SAFETY: as above. No async context: nothing of ours is an async resource of its own.
        let status = unsafe {
            sys::napi_make_callback(
                env,
                std::ptr::null_mut(),
                receiver,
                function,
                count,
                &argument,
                &mut result,
            )
        };
        if status == sys::Status::napi_pending_exception {
            // SAFETY: as above.
            unsafe { report(env) };
        }
        status == sys::Status::napi_ok
    };
    // SAFETY: the caller's contract; `work` keeps its values to itself.
    let ran = unsafe { scoped(env, work) };
    ran == Some(true)
}

/// Hands the pending exception to `uncaughtException`.
///
/// # Safety
/// As for [`call`], in a handle scope.
unsafe fn report(env: sys::napi_env) {
    let mut exception = std::ptr::null_mut();
    // SAFETY: the caller's contract.
    if unsafe { sys::napi_get_and_clear_last_exception(env, &mut exception) } != sys::Status::napi_ok {
        return;
    }
    // SAFETY: as above. In a worker that is being terminated this does nothing, or leaves the termination pending again.
    unsafe { sys::napi_fatal_exception(env, exception) };
    let mut pending = false;
    // SAFETY: as above.
    unsafe { sys::napi_is_exception_pending(env, &mut pending) };
    if pending {
        // SAFETY: as above.
        unsafe { sys::napi_get_and_clear_last_exception(env, &mut exception) };
    }
}
