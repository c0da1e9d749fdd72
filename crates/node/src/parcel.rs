//! Parcels: long answers as ArrayBuffers over the memory that they were read into, which goes with the buffer.
use crate::{error::coded, shown::Watched};
use napi::{Result, sys};
use ringwheel_executor::bridge::Parcel;
use std::ffi::c_void;

/// Below this a copy costs less than a buffer with a finalizer.
const SHOWN_BYTES: usize = 65_536;

/// What a buffer's finalizer takes.
struct Owner {
    parcel: Parcel,
    watched: Option<Watched>,
}

/// Makes an ArrayBuffer of a parcel: over its memory or, where the host refuses external memory or `copies` is asked for, of a copy. V8
/// counts its bytes as external memory by itself, either way. `outlived`: the environment
/// may end before the memory's last reader.
///
/// # Errors
/// ERR_RINGWHEEL_NO_MEMORY when not even a copy can be made.
///
/// # Safety
/// `env` must be live, on its thread, in a handle scope.
pub unsafe fn show(
    env: sys::napi_env,
    mut parcel: Parcel,
    copies: bool,
    outlived: bool,
) -> Result<sys::napi_value> {
    let length = parcel.length();
    let mut value = std::ptr::null_mut();
    if !copies && length >= SHOWN_BYTES {
        let watched = outlived.then(|| Watched::new(env));
        let twin = watched.as_ref().map(Watched::twin);
        let mut owner = Box::new(Owner { parcel, watched });
        let bytes = owner.parcel.bytes_mut().as_mut_ptr();
        let owner = Box::into_raw(owner);
        // SAFETY: needs memory that stays valid, and is reached by nobody else, until the finalizer.
        // Holds: the box just let go of owns it and does not move it; the finalizer takes the box.
        // Checked: __test__/api/call.spec.ts, __test__/hostile/call.spec.ts.
        let status = unsafe {
            sys::napi_create_external_arraybuffer(
                env,
                bytes.cast(),
                length,
                Some(let_go),
                owner.cast(),
                &mut value,
            )
        };
        if status == sys::Status::napi_ok {
            if let Some(twin) = twin {
                // SAFETY: needs a live environment in a handle scope, and its last buffer. Holds: the caller's contract; it was just made.
                unsafe { twin.made(value) };
            }
            return Ok(value);
        }
        // SAFETY: takes back the box of the line above. Holds: a call that failed does not keep the finalizer.
        parcel = unsafe { Box::from_raw(owner) }.parcel;
    }
    let mut place = std::ptr::null_mut();
    // SAFETY: needs a live environment and places to write to. Holds: the caller's contract.
    let status = unsafe { sys::napi_create_arraybuffer(env, length, &mut place, &mut value) };
    if status != sys::Status::napi_ok {
        return Err(coded("NO_MEMORY", format_args!("no ArrayBuffer of {length} bytes")));
    }
    if length > 0 {
        // SAFETY: needs `length` bytes on both sides that do not overlap. Holds: the buffer was just made with so many, and is V8's.
        unsafe { std::ptr::copy_nonoverlapping(parcel.bytes_mut().as_ptr(), place.cast::<u8>(), length) };
    }
    Ok(value)
}

/// The ArrayBuffer is gone, or its environment is: its memory goes, too, unless another thread may have it.
unsafe extern "C" fn let_go(env: sys::napi_env, _bytes: *mut c_void, owner: *mut c_void) {
    // SAFETY: takes the box that `show` let go of. Holds: Node-API calls a finalizer once.
    let Owner { parcel, watched } = *unsafe { Box::from_raw(owner.cast::<Owner>()) };
    // SAFETY: needs the environment of `show`, on its thread. Holds: Node-API calls a finalizer with that, there.
    if watched.is_some_and(|watched| !unsafe { watched.gone(env) }) {
        std::mem::forget(parcel);
    }
}
