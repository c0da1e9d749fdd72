//! Two words of the header: whether pending work is to keep the process alive, and whether it does.
//!
//! Both sides run on one thread. JavaScript writes the first word when its count of pending work leaves or reaches zero;
//! the second word spares it the native call when the loop is held still.
use ringwheel_command::{
    Memory, Region,
    layout::{HELD_WORD, KEEP_WORD},
};

/// See the file's head.
#[derive(Debug)]
pub(super) struct Keep {
    region: Region,
}

impl Keep {
    pub fn new(region: Region) -> Keep {
        Keep { region }
    }

    pub fn wanted(&self) -> bool {
        self.region.load_index(KEEP_WORD) != 0
    }

    pub fn set_held(&self, held: bool) {
        self.region.store_index(HELD_WORD, u32::from(held));
    }
}
