//! The directories of a watched tree: which is where, and which watch is whose.
//!
//! A node is a directory: its parent, its name, its watch. Paths are computed when an event needs one,
//! so that renaming a directory moves all below it at no cost. The names that reading a new directory
//! found are kept as *fresh* until the kernel's queue was read to its end: the reports of their
//! creation that are still on their way must not tell of them again.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use ukevent_sys::inotify::Wd;

/// The index of a directory in its tree.
pub(super) type NodeId = u32;

/// An entry that is to be looked at when the kernel's queue was read to its end: when its creation was
/// read of, its path meant something that the kernel had yet to report.
pub(super) struct Later {
    pub(super) parent: NodeId,
    pub(super) name: OsString,
    /// The directory that stood there and is gone, but was not told so yet.
    pub(super) before: Option<NodeId>,
}

/// The directory that was registered.
pub(super) const ROOT: NodeId = 0;

pub(super) struct Node {
    /// `None` for the root, and for what was moved out of the tree.
    parent: Option<NodeId>,
    name: OsString,
    pub(super) wd: Wd,
    children: HashMap<OsString, NodeId>,
    /// Whether all that is in it was told, by reading it when it appeared.
    pub(super) told: bool,
    pub(super) fresh: HashSet<OsString>,
}

pub(super) struct Tree {
    /// Where the root was when it was registered.
    path: PathBuf,
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
    /// Directories renamed away, by cookie, that may turn up elsewhere in the tree.
    pub(super) moved: HashMap<u32, NodeId>,
    pub(super) later: Vec<Later>,
    /// Nodes whose `fresh` is not empty.
    fresh_nodes: Vec<NodeId>,
}

impl Tree {
    pub(super) fn new(path: PathBuf, root: Wd) -> Self {
        let root = Node {
            parent: None,
            name: OsString::new(),
            wd: root,
            children: HashMap::new(),
            told: false,
            fresh: HashSet::new(),
        };
        Self {
            path,
            nodes: HashMap::from([(ROOT, root)]),
            next: ROOT + 1,
            moved: HashMap::new(),
            later: Vec::new(),
            fresh_nodes: Vec::new(),
        }
    }

    pub(super) fn node(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    pub(super) fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    pub(super) fn child(&self, parent: NodeId, name: &OsStr) -> Option<NodeId> {
        self.nodes.get(&parent)?.children.get(name).copied()
    }

    pub(super) fn insert(&mut self, parent: NodeId, name: &OsStr, wd: Wd) -> NodeId {
        let id = self.next;
        self.next += 1;
        let node = Node {
            parent: Some(parent),
            name: name.to_owned(),
            wd,
            children: HashMap::new(),
            told: false,
            fresh: HashSet::new(),
        };
        self.nodes.insert(id, node);
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.children.insert(name.to_owned(), id);
        }
        id
    }

    /// Takes a directory off its place; it and all below it are nowhere.
    pub(super) fn detach(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(&id) else { return };
        let Some(parent) = node.parent.take() else { return };
        let name = std::mem::take(&mut node.name);
        if let Some(parent) = self.nodes.get_mut(&parent)
            && parent.children.get(&name) == Some(&id)
        {
            parent.children.remove(&name);
        }
    }

    /// Puts a directory in its place; false if it stood there before.
    pub(super) fn attach(&mut self, id: NodeId, parent: NodeId, name: &OsStr) -> bool {
        if self.child(parent, name) == Some(id) || self.is_below(parent, id) {
            return false;
        }
        self.moved.retain(|_, moved| *moved != id);
        self.detach(id);
        if let Some(node) = self.nodes.get_mut(&id) {
            node.parent = Some(parent);
            name.clone_into(&mut node.name);
        }
        if let Some(parent) = self.nodes.get_mut(&parent) {
            parent.children.insert(name.to_owned(), id);
        }
        true
    }

    /// Whether a directory is, or stands below, another: the root is below nothing.
    fn is_below(&self, mut id: NodeId, above: NodeId) -> bool {
        loop {
            if id == above {
                return true;
            }
            match self.nodes.get(&id).and_then(|node| node.parent) {
                Some(parent) => id = parent,
                None => return false,
            }
        }
    }

    /// Removes one directory; what was below it is nowhere. Returns its watch.
    pub(super) fn remove(&mut self, id: NodeId) -> Option<Wd> {
        self.detach(id);
        let node = self.nodes.remove(&id)?;
        for child in node.children.values() {
            if let Some(child) = self.nodes.get_mut(child) {
                child.parent = None;
            }
        }
        Some(node.wd)
    }

    /// Removes a directory and all below it; returns their watches.
    pub(super) fn remove_below(&mut self, id: NodeId) -> Vec<Wd> {
        self.detach(id);
        let mut watches = Vec::new();
        let mut rest = vec![id];
        while let Some(id) = rest.pop() {
            if let Some(node) = self.nodes.remove(&id) {
                rest.extend(node.children.into_values());
                watches.push(node.wd);
            }
        }
        watches
    }

    /// The path below the root of an entry of a directory; `None` if the directory is nowhere.
    pub(super) fn name_of(&self, id: NodeId, entry: &OsStr) -> Option<PathBuf> {
        let mut names = vec![entry];
        let mut id = id;
        while id != ROOT {
            let node = self.nodes.get(&id)?;
            names.push(&node.name);
            id = node.parent?;
        }
        Some(names.iter().rev().collect())
    }

    /// The path in the file system of what [`Tree::name_of`] returned.
    pub(super) fn full_path(&self, below: &Path) -> PathBuf {
        if below.as_os_str().is_empty() { self.path.clone() } else { self.path.join(below) }
    }

    /// Remembers that reading the directory found this entry.
    pub(super) fn found(&mut self, id: NodeId, entry: &OsStr) {
        if let Some(node) = self.nodes.get_mut(&id) {
            if node.fresh.is_empty() {
                self.fresh_nodes.push(id);
            }
            node.fresh.insert(entry.to_owned());
        }
    }

    /// The kernel's queue was read to its end: nothing of what reading found is still on its way.
    pub(super) fn forget_fresh(&mut self) {
        for id in self.fresh_nodes.drain(..) {
            if let Some(node) = self.nodes.get_mut(&id) {
                node.fresh = HashSet::new();
            }
        }
    }
}
