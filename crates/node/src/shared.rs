//! Memory that crosses the edge: the rings that JavaScript allocated, and the arena that JavaScript sees.
//!
//! Nothing is believed: the kind of the object, its length and alignment are checked here, its layout version by both sides.
use crate::{error::coded, values};
use napi::{Result, sys};
use ringwheel_command::{Geometry, Region};
use ringwheel_driver::memory::Mapping;
use std::{
    ffi::c_void,
    ptr::NonNull,
    sync::{Arc, atomic::AtomicU32},
};

/// Takes the rings: a Uint8Array over the whole of a SharedArrayBuffer, which cannot be detached, moved or shrunk.
///
/// # Errors
/// ERR_RINGWHEEL_INTERNAL when it is anything else.
///
/// # Safety
/// `env` and `value` must be live, on the environment's thread, and a reference must keep `value` alive for as long as the
/// region or what is made from it.
pub unsafe fn attach(env: sys::napi_env, value: sys::napi_value) -> Result<Region> {
    let mut kind = 0;
    let (mut length, mut offset) = (0, 0);
    let mut memory = std::ptr::null_mut();
    let mut buffer = std::ptr::null_mut();
    let mut is_array = false;
    // SAFETY: needs live values and places to write to. Holds: the caller's contract; the places are above.
    let status = unsafe { sys::napi_is_typedarray(env, value, &mut is_array) };
    if status != sys::Status::napi_ok || !is_array {
        return Err(coded("INTERNAL", "the rings must be a Uint8Array"));
    }
    // SAFETY: as above.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env,
            value,
            &mut kind,
            &mut length,
            &mut memory,
            &mut buffer,
            &mut offset,
        )
    };
    let mut plain = true;
    // SAFETY: as above; `buffer` was just made by the call above.
    let told = unsafe { sys::napi_is_arraybuffer(env, buffer, &mut plain) };
    if status != sys::Status::napi_ok || told != sys::Status::napi_ok {
        return Err(coded("INTERNAL", "the rings cannot be looked at"));
    }
    if kind != sys::TypedarrayType::uint8_array || plain || offset != 0 {
        return Err(coded(
            "INTERNAL",
            "the rings must be a Uint8Array over the whole of a SharedArrayBuffer",
        ));
    }
    let base = NonNull::new(memory.cast::<u8>()).ok_or_else(|| coded("INTERNAL", "the rings are empty"))?;
    // SAFETY: `attach` needs memory that stays valid while the region lives and that Rust reaches in no other way.
    // Holds: the backing store of a SharedArrayBuffer neither moves nor shrinks (ECMA-262 25.2), the caller keeps the array.
    // Checked: __test__/hostile/rings.spec.ts.
    let region = unsafe { Region::attach(base, length, Geometry::DEFAULT) };
    region.map_err(|error| coded("NO_BINDING", error))
}

/// The memory of a Uint8Array, for the time of the native call at hand. `None` when it has none (any more).
///
/// # Safety
/// `env` and `value` must be live, on the environment's thread; the result must not be used after JavaScript has run again.
#[cfg(target_os = "linux")]
pub unsafe fn bytes_of(
    env: sys::napi_env,
    value: sys::napi_value,
) -> Option<ringwheel_executor::bridge::Bytes> {
    let (mut kind, mut length, mut offset) = (0, 0, 0);
    let (mut memory, mut buffer) = (std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: needs live values and places to write to. Holds: the caller's contract; the places are above. What is no typed array is refused.
    let status = unsafe {
        sys::napi_get_typedarray_info(
            env,
            value,
            &mut kind,
            &mut length,
            &mut memory,
            &mut buffer,
            &mut offset,
        )
    };
    let is_bytes = status == sys::Status::napi_ok && kind == sys::TypedarrayType::uint8_array;
    if !is_bytes || length == 0 {
        return None;
    }
    let memory = NonNull::new(memory.cast::<u8>())?;
    // SAFETY: needs bytes that stay readable while the value is used. Holds: they are the array's now, and only JavaScript can detach or shrink it,
    // which does not run before this call returns (INV-5: what other threads write to shared memory meanwhile the kernel alone reads).
    // Checked: __test__/api/write-now.spec.ts, __test__/hostile/buffers.spec.ts.
    Some(unsafe { ringwheel_executor::bridge::Bytes::new(memory, length) })
}

/// The arena as JavaScript sees it.
#[derive(Debug)]
pub struct ArenaView {
    reference: values::Reference,
    memory: Arc<Mapping>,
    /// The host refuses external memory: the buffer is a copy that `pull` and `push` keep in step.
    pub copies: bool,
    /// The host has `ArrayBuffer.prototype.transfer`, which moves even an external buffer to where we cannot follow.
    movable: bool,
    /// And what was moved may be another thread's when this environment ends: it is no main thread's, which outlives all others.
    pub outlived: bool,
}

impl ArenaView {
    /// Shows `memory` to JavaScript. Where the host refuses external memory (Electron, pointer compression), or `copies` is
    /// asked for, JavaScript gets a plain buffer of the same length.
    ///
    /// # Errors
    /// When not even that can be made.
    ///
    /// # Safety
    /// `env` must be live, on its thread, in a handle scope.
    pub unsafe fn new(
        env: sys::napi_env,
        memory: &Arc<Mapping>,
        copies: bool,
        movable: bool,
    ) -> Result<ArenaView> {
        let mut value = std::ptr::null_mut();
        let mut shown = false;
        if !copies {
            let owner = Arc::into_raw(Arc::clone(memory)).cast_mut().cast::<c_void>();
            // SAFETY: needs memory that stays valid until the finalizer. Holds: the finalizer drops the count just taken (INV-3).
            // Checked: __test__/hostile/lease.spec.ts, worker.spec.ts.
            let status = unsafe {
                sys::napi_create_external_arraybuffer(
                    env,
                    memory.start().as_ptr().cast(),
                    memory.length(),
                    Some(let_go),
                    owner,
                    &mut value,
                )
            };
            shown = status == sys::Status::napi_ok;
            if !shown {
                // SAFETY: takes back the count of `into_raw` above. Holds: a call that failed does not keep the finalizer.
                drop(unsafe { Arc::from_raw(owner.cast::<Mapping>()) });
            }
        }
        if !shown {
            let mut bytes = std::ptr::null_mut();
            // SAFETY: needs a live environment and places to write to. Holds: the caller's contract.
            let status =
                unsafe { sys::napi_create_arraybuffer(env, memory.length(), &mut bytes, &mut value) };
            if status != sys::Status::napi_ok {
                return Err(coded("NO_MEMORY", format_args!("no ArrayBuffer of {} bytes", memory.length())));
            }
        }
        // SAFETY: needs a live value. Holds: made above.
        let reference = unsafe { values::Reference::new(env, value) }?;
        Ok(ArenaView {
            reference,
            memory: Arc::clone(memory),
            copies: !shown,
            movable,
            outlived: movable && !on_main_thread(),
        })
    }

    /// The buffer.
    ///
    /// # Safety
    /// `env` must be live, on its thread, in a handle scope.
    pub unsafe fn value(&self, env: sys::napi_env) -> sys::napi_value {
        // SAFETY: the caller's contract.
        unsafe { self.reference.value(env) }
    }

    /// Lets `work` see the bytes of the plain buffer, where JavaScript sees a copy; `None` when it was detached.
    ///
    /// # Safety
    /// `env` must be live, on its thread, in a handle scope; `work` must not run JavaScript.
    pub unsafe fn with_copy<R>(&self, env: sys::napi_env, work: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        let (mut bytes, mut length) = (std::ptr::null_mut(), 0);
        // SAFETY: the caller's contract.
        let value = unsafe { self.reference.value(env) };
        // SAFETY: needs a live ArrayBuffer. Holds: the reference keeps it.
        let status = unsafe { sys::napi_get_arraybuffer_info(env, value, &mut bytes, &mut length) };
        if status != sys::Status::napi_ok || bytes.is_null() || length == 0 || !self.copies {
            return None;
        }
        // SAFETY: needs `length` valid bytes that nothing else uses. Holds: Node-API just said so, they are no mapping of ours
        // (`copies`), and no JavaScript runs meanwhile.
        Some(work(unsafe { std::slice::from_raw_parts_mut(bytes.cast(), length) }))
    }

    /// Ends JavaScript's view: every view of it has length 0 from here on, and the memory goes with its last owner.
    ///
    /// When the buffer is detached already, either an ending environment did it (Node detaches external buffers before it
    /// runs cleanup hooks, and calls `let_go`), or a script moved it away (`transfer`, from Node 22 on) and views of it live
    /// where we cannot reach them. Where the second may be, the pages are given back and the addresses never are: a stale
    /// view sees zeros of its own, never anybody's memory (INV-3).
    ///
    /// # Safety
    /// `env` must be live, on its thread, in a handle scope, and the driver shut down.
    pub unsafe fn end(self, env: sys::napi_env) {
        // SAFETY: the caller's contract.
        let value = unsafe { self.reference.value(env) };
        let mut gone = false;
        // SAFETY: needs a live ArrayBuffer. Holds: the reference keeps it.
        let told = unsafe { sys::napi_is_detached_arraybuffer(env, value, &mut gone) };
        let mut ended = self.copies || (gone && !self.movable && Arc::strong_count(&self.memory) == 1);
        if told == sys::Status::napi_ok && !gone {
            // SAFETY: as above.
            ended |= unsafe { sys::napi_detach_arraybuffer(env, value) } == sys::Status::napi_ok;
        }
        if !ended {
            let start = self.memory.start().as_ptr().cast();
            // SAFETY: `madvise` needs a range of ours; MADV_DONTNEED makes its pages zeros. Holds: the mapping is whole, it is
            // never unmapped after the line below, and Rust reads nothing of it any more: the driver is shut down.
            // Checked: __test__/hostile/buffers.spec.ts, worker.spec.ts.
            unsafe { libc::madvise(start, self.memory.length(), libc::MADV_DONTNEED) };
            std::mem::forget(self.memory);
        }
        // SAFETY: the caller's contract.
        unsafe { self.reference.release(env) };
    }
}

fn on_main_thread() -> bool {
    #[cfg(target_os = "linux")]
    return rustix::thread::gettid() == rustix::process::getpid();
    #[cfg(not(target_os = "linux"))]
    return false; // Nobody tells: then it is watched, too.
}

/// The arena's ArrayBuffer is gone: JavaScript's count of the mapping goes with it.
unsafe extern "C" fn let_go(_env: sys::napi_env, _bytes: *mut c_void, owner: *mut c_void) {
    // SAFETY: takes the count that `ArenaView::new` stored. Holds: Node-API calls a finalizer once.
    drop(unsafe { Arc::from_raw(owner.cast::<Mapping>()) });
}

/// Shows a word that is never unmapped to JavaScript, as an ArrayBuffer of 4 bytes over it; `None` where the host refuses
/// external memory.
///
/// # Safety
/// `env` must be live, on its thread, in a handle scope.
pub unsafe fn show_word(env: sys::napi_env, word: &'static AtomicU32) -> Option<sys::napi_value> {
    let mut value = std::ptr::null_mut();
    // SAFETY: needs memory that outlives the buffer, and that nobody reaches but by atomics or single loads.
    // Holds: it is 'static, so it needs no finalizer; aligned words are loaded whole by the machines V8 runs on.
    // Checked: __test__/api/preempt.spec.ts, __test__/hostile/queues.spec.ts (workers that end while others look).
    let status = unsafe {
        sys::napi_create_external_arraybuffer(
            env,
            word.as_ptr().cast(),
            size_of::<AtomicU32>(),
            None,
            std::ptr::null_mut(),
            &mut value,
        )
    };
    (status == sys::Status::napi_ok).then_some(value)
}
