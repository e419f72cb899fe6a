//! The names that the guest holds on to, as a tree that follows its renames.

use crate::errno::{Errno, Result};
use crate::tree::Handle;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};

/// Linux's `PATH_MAX`: bounds the depth of the tree, and with it every recursion over it.
const MAX_PATH_LEN: usize = 4096;

/// A name that some fid stands for. All fids of one name share its node.
#[derive(Debug)]
pub(crate) struct Node {
    place: RefCell<Place>,
    children: RefCell<BTreeMap<Box<str>, Weak<Node>>>,
    /// By what the file stays reachable after its name is gone.
    handles: RefCell<Vec<OpenFile>>,
}

/// A file that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpenFile {
    pub(crate) export: usize,
    pub(crate) handle: Handle,
    pub(crate) writable: bool,
}

#[derive(Debug)]
enum Place {
    Root,
    In { parent: Rc<Node>, name: Box<str> },
    Gone,
}

/// Where a node's file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    /// The directory of all exports.
    Top,
    /// A path in an export.
    In { export: usize, path: String },
}

impl Node {
    pub(crate) fn root() -> Rc<Self> {
        Rc::new(Self::at(Place::Root))
    }

    fn at(place: Place) -> Self {
        Self {
            place: RefCell::new(place),
            children: RefCell::default(),
            handles: RefCell::default(),
        }
    }

    /// The node of the entry `name`.
    pub(crate) fn child(self: &Rc<Self>, name: &str) -> Rc<Self> {
        if let Some(node) = self.existing(name) {
            return node;
        }
        let place = Place::In { parent: Rc::clone(self), name: name.into() };
        let node = Rc::new(Self::at(place));
        self.children.borrow_mut().insert(name.into(), Rc::downgrade(&node));
        node
    }

    fn existing(&self, name: &str) -> Option<Rc<Self>> {
        self.children.borrow().get(name).and_then(Weak::upgrade)
    }

    /// The directory that it is in; the root's is the root.
    pub(crate) fn parent(self: &Rc<Self>) -> Result<Rc<Self>> {
        match &*self.place.borrow() {
            Place::Root => Ok(Rc::clone(self)),
            Place::In { parent, .. } => Ok(Rc::clone(parent)),
            Place::Gone => Err(Errno::NOENT),
        }
    }

    /// Where it is.
    ///
    /// # Errors
    /// `ENOENT` if it, or a directory above it, was removed; `ENAMETOOLONG`.
    pub(crate) fn locate(self: &Rc<Self>) -> Result<Location> {
        let mut names = Vec::new();
        let mut len = 0;
        let mut node = Rc::clone(self);
        loop {
            let parent = match &*node.place.borrow() {
                Place::Root => break,
                Place::Gone => return Err(Errno::NOENT),
                Place::In { parent, name } => {
                    len += name.len() + 1;
                    names.push(name.clone());
                    Rc::clone(parent)
                }
            };
            if len > MAX_PATH_LEN {
                return Err(Errno::NAMETOOLONG);
            }
            node = parent;
        }
        let Some(export) = names.pop() else { return Ok(Location::Top) };
        let export = number(&export).ok_or(Errno::NOENT)?;
        names.reverse();
        Ok(Location::In { export, path: names.join("/") })
    }

    /// The entry `name` is no more.
    pub(crate) fn remove(&self, name: &str) {
        let node = self.existing(name);
        self.children.borrow_mut().remove(name);
        if let Some(node) = node {
            node.place.replace(Place::Gone);
        }
    }

    /// The entry `name` is now `to_name` in `to`, whatever that was. The caller has made sure that
    /// `to` is not inside of the entry.
    pub(crate) fn rename(&self, name: &str, to: &Rc<Self>, to_name: &str) {
        to.remove(to_name);
        let Some(node) = self.existing(name) else { return };
        self.children.borrow_mut().remove(name);
        to.children.borrow_mut().insert(to_name.into(), Rc::downgrade(&node));
        node.place.replace(Place::In { parent: Rc::clone(to), name: to_name.into() });
    }

    pub(crate) fn opened(&self, file: OpenFile) {
        self.handles.borrow_mut().push(file);
    }

    pub(crate) fn closed(&self, file: OpenFile) {
        self.handles.borrow_mut().retain(|open| *open != file);
    }

    /// Some handle by which the file is open, for writing if that is asked for.
    pub(crate) fn any_open(&self, writable: bool) -> Option<OpenFile> {
        self.handles.borrow().iter().find(|open| open.writable || !writable).copied()
    }
}

/// An export has one name only: neither `00` nor `+0` is export 0.
fn number(name: &str) -> Option<usize> {
    name.parse().ok().filter(|number: &usize| number.to_string() == name)
}

impl Drop for Node {
    fn drop(&mut self) {
        let place = self.place.borrow();
        let Place::In { parent, name } = &*place else { return };
        let mut siblings = parent.children.borrow_mut();
        if siblings.get(name).is_some_and(|node| std::ptr::eq(node.as_ptr(), self)) {
            siblings.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(export: usize, path: &str) -> Result<Location> {
        Ok(Location::In { export, path: path.into() })
    }

    #[test]
    fn nodes_follow_renames_of_any_directory_above_them() {
        let root = Node::root();
        let export = root.child("2");
        let file = export.child("a").child("b").child("file");
        assert_eq!(root.locate(), Ok(Location::Top));
        assert_eq!(export.locate(), at(2, ""));
        assert_eq!(file.locate(), at(2, "a/b/file"));
        export.rename("a", &export, "z");
        assert_eq!(file.locate(), at(2, "z/b/file"));
        file.parent().unwrap().rename("file", &export, "moved");
        assert_eq!(file.locate(), at(2, "moved"));
        assert!(Rc::ptr_eq(&file, &export.child("moved")));
    }

    #[test]
    fn what_is_removed_or_replaced_is_nowhere_and_its_name_is_free() {
        let root = Node::root();
        let export = root.child("0");
        let (old, new) = (export.child("old"), export.child("new"));
        let inside = old.child("inside");
        export.rename("new", &export, "old");
        assert_eq!((old.locate(), inside.locate()), (Err(Errno::NOENT), Err(Errno::NOENT)));
        assert_eq!(new.locate(), at(0, "old"));
        export.remove("old");
        assert_eq!(new.locate(), Err(Errno::NOENT));
        assert!(!Rc::ptr_eq(&new, &export.child("old")));
    }

    #[test]
    fn nodes_that_nobody_holds_vanish_from_their_directory() {
        let root = Node::root();
        let file = root.child("0").child("a").child("b");
        drop(file);
        assert!(root.children.borrow().is_empty());
    }

    #[test]
    fn deep_paths_are_refused() {
        let mut node = Node::root().child("0");
        for _ in 0..3000 {
            node = node.child("a");
        }
        assert_eq!(node.locate(), Err(Errno::NAMETOOLONG));
    }
}
