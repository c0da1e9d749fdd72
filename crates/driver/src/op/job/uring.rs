//! Closures beside the ring: they go to the blocking pool.
use super::Job;
use crate::{error::Errno, uring::Plan};
use rustix::io::Errno as E;

pub(crate) fn job(job: &mut Job) -> Plan {
    match job.run.take() {
        Some(run) if job.waits => Plan::Waits(run),
        Some(run) => Plan::Pool(run),
        None => Plan::Refuse(Errno(E::INVAL.raw_os_error())),
    }
}
