//! The poll backend: readiness through epoll or kqueue, and a bounded blocking pool. Makes no io_uring call.
pub(crate) mod pool;
