//! Waking the executor of another environment, by the address that it left in memory that both see. Nothing is believed: an
//! address that is none wakes nobody.
use napi_derive::napi;
use ringwheel_executor::ExecutorWaker;

fn waker(low: u32, high: u32) -> ExecutorWaker {
    ExecutorWaker::from_bits(u64::from(high) << 32 | u64::from(low))
}

/// Has that executor's environment look at its channels. One system call when it sleeps, none when it does not.
#[napi]
pub fn wake_executor(low: u32, high: u32) {
    waker(low, high).wake();
}

/// Has the executor at the second address woken when the one at the first ends. False when that has ended already.
#[napi]
pub fn watch_executor(low: u32, high: u32, own_low: u32, own_high: u32) -> bool {
    waker(low, high).watch(waker(own_low, own_high))
}
