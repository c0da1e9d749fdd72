//! Recorded sysfs trees, unpacked beneath a directory of their own so that they are read as files are.
#![allow(dead_code, clippy::allow_attributes, reason = "each test uses a part of it")]
#![expect(clippy::unwrap_used, reason = "fixtures of tests")]
use ringwheel_executor::topology::{CpuSet, Topology};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

/// One tree; gone with the value.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// Unpacks tests/trees/NAME.txt: a line a file, `path: content`; `{0-3}` in a path stands for one file for each number.
    pub fn recorded(name: &str) -> Tree {
        let text =
            fs::read_to_string(format!("{}/tests/trees/{name}.txt", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let tree = Tree::empty();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (path, content) = line.split_once(": ").unwrap();
            let Some((before, rest)) = path.split_once('{') else {
                tree.write(path, content);
                continue;
            };
            let (numbers, after) = rest.split_once('}').unwrap();
            for number in CpuSet::parse(numbers).unwrap().iter() {
                tree.write(&format!("{before}{number}{after}"), content);
            }
        }
        tree
    }

    /// A root without a file.
    pub fn empty() -> Tree {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        // In memory where there is such a place: a tree is two thousand files.
        let shared = Path::new("/dev/shm");
        let place = if shared.is_dir() { shared.to_path_buf() } else { std::env::temp_dir() };
        let root = place.join(format!("ringwheel-tree-{}-{number}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        Tree { root }
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{content}\n")).unwrap();
    }

    /// The same tree with another file.
    pub fn with(self, path: &str, content: &str) -> Tree {
        self.write(path, content);
        self
    }

    /// The same tree without a file or directory.
    pub fn without(self, path: &str) -> Tree {
        let path = self.root.join(path);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap()
        } else {
            fs::remove_file(path).unwrap()
        }
        self
    }

    pub fn path(&self) -> &Path {
        &self.root
    }

    pub fn read(&self) -> Topology {
        Topology::read_at(&self.root)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.root));
    }
}

pub fn set(list: &str) -> CpuSet {
    CpuSet::parse(list).unwrap()
}
