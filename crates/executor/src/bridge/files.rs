//! The table of files that commands name by slot and generation.
use ringwheel_command::FileId;
use ringwheel_driver::Handle;

/// More files than any process may have open; keeps a slot inside a completion's `i32`.
const FILES_MAX: usize = 1 << 24;

#[derive(Debug)]
struct Entry {
    generation: u32,
    file: Option<Handle>,
    /// Whether its writes are copies and nothing else; asked once.
    plain: Option<bool>,
}

/// Slot and generation → handle. Slots are used again, last one first; their generation grows at every close.
#[derive(Debug, Default)]
pub(super) struct Files {
    entries: Vec<Entry>,
    free: Vec<u32>,
}

impl Files {
    /// Takes a handle in. `None` when the table is full; the handle is closed then.
    pub fn insert(&mut self, file: Handle) -> Option<FileId> {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.entries[slot as usize];
            entry.file = Some(file);
            entry.plain = None;
            return Some(FileId { slot, generation: entry.generation });
        }
        if self.entries.len() == FILES_MAX {
            return None;
        }
        self.entries.push(Entry { generation: 1, file: Some(file), plain: None });
        Some(FileId { slot: self.entries.len() as u32 - 1, generation: 1 })
    }

    /// The handle of a file that is open.
    #[inline]
    pub fn get(&self, id: FileId) -> Option<&Handle> {
        let entry = self.entries.get(id.slot as usize)?;
        if entry.generation == id.generation { entry.file.as_ref() } else { None }
    }

    /// The same, and whether it is what `look` finds out.
    pub fn plain(&mut self, id: FileId, look: impl FnOnce(&Handle) -> bool) -> Option<(&Handle, bool)> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let file = entry.file.as_ref()?;
        Some((file, *entry.plain.get_or_insert_with(|| look(file))))
    }

    /// Takes a handle out.
    pub fn remove(&mut self, id: FileId) -> Option<Handle> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let file = entry.file.take()?;
        entry.generation = entry.generation.wrapping_add(1);
        self.free.push(id.slot);
        Some(file)
    }

    /// Files in it.
    pub fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle() -> Handle {
        std::os::fd::OwnedFd::from(std::fs::File::open("/dev/null").unwrap()).into()
    }

    #[test]
    fn a_stale_name_finds_nothing() {
        let mut files = Files::default();
        let first = files.insert(handle()).unwrap();
        assert!(files.get(first).is_some());
        assert!(files.remove(first).is_some());
        assert!(files.get(first).is_none());
        assert!(files.remove(first).is_none());
        let second = files.insert(handle()).unwrap();
        assert_eq!(second.slot, first.slot);
        assert_ne!(second.generation, first.generation);
        assert!(files.get(first).is_none());
        assert!(files.get(FileId { slot: 99, generation: 1 }).is_none());
        assert_eq!(files.len(), 1);
    }
}
