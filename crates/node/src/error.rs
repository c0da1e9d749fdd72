//! Errors of cold calls: "CODE: message", which lib/api/executor.ts turns into a RingwheelError with that code.
use ringwheel_command::RejectCode;
use ringwheel_executor::StartError;

/// An error with one of the package's codes.
pub fn coded(code: &str, message: impl std::fmt::Display) -> napi::Error {
    napi::Error::from_reason(format!("ERR_RINGWHEEL_{code}: {message}"))
}

/// Why an executor did not start.
pub fn not_started(error: &StartError) -> napi::Error {
    use ringwheel_driver::StartError as Driver;
    match error {
        StartError::Option(text) | StartError::Driver(Driver::Option(text)) => coded("INVALID_OPTION", text),
        StartError::Driver(driver) => coded("DRIVER", driver),
        other => coded("DRIVER", other),
    }
}

/// Why a call was refused.
pub fn refused(code: RejectCode) -> napi::Error {
    let sentence =
        RejectCode::ALL.iter().find(|(each, ..)| *each == code).map_or("refused", |(_, _, text)| *text);
    match code {
        RejectCode::Closed => coded("CLOSED", sentence),
        _ => coded("INTERNAL", sentence),
    }
}

/// The executor is closed, or its own code called back into it.
pub fn closed() -> napi::Error {
    coded("CLOSED", "the executor is closed; start another")
}
