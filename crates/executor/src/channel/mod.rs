//! Everything that goes from one task to another, on one core or across cores.
//!
//! [`submit`] runs work on another executor.
pub(crate) mod inbox;
pub mod submit;
