//! The one suite that every driver must pass.
