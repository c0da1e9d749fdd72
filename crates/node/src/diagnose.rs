//! `diagnose`: which driver this machine gives, without an executor.
use crate::executor::driver_kind;
use napi::Result;
use napi_derive::napi;
use ringwheel_driver::{Driver, DriverKind, Host, Options};
use std::time::Duration;

/// What a driver says of itself.
#[napi(object)]
pub struct NativeDiagnosis {
    /// `uring`, `poll`, or `none` when neither starts.
    pub driver: String,
    /// Kernel features in use.
    pub features: Vec<String>,
    /// What was given up on the way, one sentence each.
    pub notes: Vec<String>,
}

/// Starts a driver and closes it again.
#[napi]
pub fn diagnose(driver: String) -> Result<NativeDiagnosis> {
    let kind = driver_kind(&driver)?;
    Ok(match Driver::start(&Options { kind, host: Host::Embedded, ..Options::default() }) {
        Ok(mut driver) => {
            // An executor does this with its first lease; here the user asks what the limits lead to.
            driver.register_memory();
            let name = match driver.kind() {
                DriverKind::Uring => "uring",
                DriverKind::Poll => "poll",
            };
            let features = driver.features().iter().map(ToString::to_string).collect();
            let notes = driver.notes().to_vec();
            driver.shutdown(Duration::from_secs(1));
            NativeDiagnosis { driver: name.to_owned(), features, notes }
        }
        Err(error) => NativeDiagnosis {
            driver: "none".to_owned(),
            features: Vec::new(),
            notes: vec![error.to_string()],
        },
    })
}
