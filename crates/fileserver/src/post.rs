//! What a core keeps when its configuration changes: its connections, its counters, and which [`Core`] is the newest.
use crate::{control::Control, core::Core, stats::Counters, watch::Watches};
use std::{
    cell::{Cell, RefCell},
    fs::File,
    rc::Rc,
    sync::Arc,
    time::Instant,
};

/// Vectors kept for the next response; more connections than this are rarely writing at once.
const BUFFERS_KEPT: usize = 64;

/// One core, for as long as its server runs.
#[derive(Debug)]
pub(crate) struct Post {
    pub(crate) control: Arc<Control>,
    pub(crate) index: usize,
    pub(crate) watches: Watches,
    pub(crate) draining: Cell<bool>,
    /// Who drains does not wait for the next request of a connection any more.
    pub(crate) closing: Cell<bool>,
    pub(crate) patrolling: Cell<bool>,
    pub(crate) start: Instant,
    /// A descriptor to give up when there are no more, so that a client can be told.
    pub(crate) spare: RefCell<Option<File>>,
    /// Vectors of connections that are idle now.
    buffers: RefCell<Vec<Vec<u8>>>,
    /// `None` before the first one is open, and after the end: a core has its post, and this would keep both for ever.
    newest: RefCell<Option<Rc<Core>>>,
}

impl Post {
    pub(crate) fn new(control: Arc<Control>, index: usize) -> Rc<Post> {
        Rc::new(Post {
            control,
            index,
            watches: Watches::default(),
            draining: Cell::new(false),
            closing: Cell::new(false),
            patrolling: Cell::new(false),
            start: Instant::now(),
            spare: RefCell::new(open_spare()),
            buffers: RefCell::default(),
            newest: RefCell::default(),
        })
    }

    /// This core's counters.
    #[inline]
    pub(crate) fn counters(&self) -> &Counters {
        &self.control.cores[self.index]
    }

    /// What the next request is answered with.
    pub(crate) fn newest(&self) -> Option<Rc<Core>> {
        self.newest.borrow().clone()
    }

    /// From now on `core` answers; requests that are being answered are left to the one before.
    pub(crate) fn enact(&self, core: Rc<Core>) {
        let before = self.newest.replace(Some(Rc::clone(&core)));
        if let Some(before) = before {
            before.retire();
            core.publish_cache(&core.shelf.borrow());
        }
    }

    /// The core has ended.
    pub(crate) fn leave(&self) {
        drop(self.newest.take());
    }

    /// A vector to write a response into.
    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        self.buffers.borrow_mut().pop().unwrap_or_else(|| Vec::with_capacity(1024))
    }

    /// Takes a vector back.
    pub(crate) fn keep_buffer(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.buffers.borrow_mut();
        if buffers.len() < BUFFERS_KEPT && buffer.capacity() <= 2 * crate::outbox::TOGETHER_MAX {
            buffer.clear();
            buffers.push(buffer);
        }
    }
}

pub(crate) fn open_spare() -> Option<File> {
    File::open("/dev/null").ok()
}
