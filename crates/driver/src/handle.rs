//! A descriptor with its registration, shared by those who use it; the last clone closes it.
use std::{
    os::fd::{AsFd, BorrowedFd},
    rc::Rc,
};

/// A counted descriptor. Operations hold a clone, so it cannot be closed under the kernel's feet (INV-1).
/// Cloning costs one non-atomic increment. Belongs to its driver's thread.
#[derive(Clone, Debug)]
pub struct Handle {
    inner: Rc<std::os::fd::OwnedFd>,
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}
