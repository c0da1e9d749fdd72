//! Systems that are not Unix (Windows): the same exports, each with one clear error. Compiled by the release workflow only.
use napi::Result;
use napi_derive::napi;

fn unsupported() -> napi::Error {
    napi::Error::from_reason(
        "ERR_RINGWHEEL_DRIVER: no driver for this system: io_uring needs Linux, the poll driver a Unix; use WSL or a container",
    )
}

/// Fails.
#[napi]
pub fn start_executor() -> Result<()> {
    Err(unsupported())
}

/// Fails.
#[napi]
pub fn start_file_server() -> Result<()> {
    Err(unsupported())
}

/// Fails.
#[napi]
pub fn notify() -> Result<()> {
    Err(unsupported())
}

/// Nothing to route to.
#[napi]
pub struct NativeRoutes {}

#[napi]
impl NativeRoutes {
    /// Fails.
    #[napi(constructor)]
    pub fn new() -> Result<NativeRoutes> {
        Err(unsupported())
    }
}

/// Fails.
#[napi]
pub fn topology() -> Result<()> {
    Err(unsupported())
}

/// Fails.
#[napi]
pub fn place() -> Result<()> {
    Err(unsupported())
}

/// Nobody to wake: no executor starts here.
#[napi]
pub fn wake_executor() {}

/// Nobody to watch.
#[napi]
pub fn watch_executor() -> bool {
    false
}

/// What a driver says of itself.
#[napi(object)]
pub struct NativeDiagnosis {
    /// `none`.
    pub driver: String,
    /// Nothing.
    pub features: Vec<String>,
    /// Why.
    pub notes: Vec<String>,
}

/// Says that there is none.
#[napi]
pub fn diagnose() -> NativeDiagnosis {
    NativeDiagnosis {
        driver: "none".to_owned(),
        features: Vec::new(),
        notes: vec![unsupported().reason.to_string()],
    }
}
