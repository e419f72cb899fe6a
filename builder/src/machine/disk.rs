//! The machine's disk: the file systems of one job, one after the other.

use std::sync::Arc;

use lithify_control::Volume;
use lithify_machine::host::BlockSource;
use lithify_rootfs::{SquashfsOptions, SquashfsView, Tree};

use super::MachineError;
use super::host::Faults;
use crate::exec::{Job, JobMountKind};

/// File systems on one disk: the kernel numbers so many partitions, the disk itself being one.
const MAX_VOLUMES: usize = 255;

/// A disk in the making. Nothing is copied: file systems are laid out around the layers' data.
#[derive(Default)]
pub(super) struct Disk {
    parts: Vec<Part>,
    len: u64,
}

struct Part {
    offset: u64,
    view: SquashfsView,
}

impl Disk {
    /// The root and the mounted trees of a job, in their order.
    pub(super) fn of(job: &Job<'_>) -> Result<Self, MachineError> {
        let mut disk = Self::default();
        disk.add(job.tree)?;
        for mount in job.mounts {
            if let JobMountKind::Bind { tree, .. } | JobMountKind::Cache { tree } = &mount.kind {
                disk.add(tree)?;
            }
        }
        Ok(disk)
    }

    /// What squashfs cannot hold is told when the artifact's own disk is written.
    fn add(&mut self, tree: &Tree) -> Result<(), MachineError> {
        if self.parts.len() == MAX_VOLUMES {
            return Err(MachineError::TooManyVolumes { limit: MAX_VOLUMES });
        }
        let (view, _) =
            SquashfsView::new(tree, &SquashfsOptions::default()).map_err(MachineError::RootDisk)?;
        let offset = self.len;
        self.len += view.len();
        self.parts.push(Part { offset, view });
        Ok(())
    }

    /// Where the file systems are.
    pub(super) fn volumes(&self) -> Vec<Volume> {
        let volume = |part: &Part| Volume { offset: part.offset, len: part.view.len() };
        self.parts.iter().map(volume).collect()
    }

    /// The disk as a device's source.
    pub(super) fn into_source(self, faults: Faults) -> impl BlockSource {
        Source { disk: Arc::new(self), faults }
    }

    /// Fills `into` from the part that holds `offset`; returns how much that part had.
    fn read_part(&self, offset: u64, into: &mut [u8]) -> std::io::Result<usize> {
        let after = self.parts.partition_point(|part| part.offset <= offset);
        let part = &self.parts[after - 1];
        let within = offset - part.offset;
        let left = usize::try_from(part.view.len() - within).unwrap_or(usize::MAX);
        let len = into.len().min(left);
        part.view.read_at(&mut into[..len], within)?;
        Ok(len)
    }
}

struct Source {
    disk: Arc<Disk>,
    faults: Faults,
}

impl BlockSource for Source {
    fn len(&self) -> u64 {
        self.disk.len
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) {
        let mut done = 0;
        while done < into.len() {
            match self.disk.read_part(offset + done as u64, &mut into[done..]) {
                Ok(len) => done += len,
                Err(error) => {
                    into.fill(0);
                    return self.faults.report(MachineError::Layers(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use lithify_rootfs::{Content, Metadata, Node};

    use super::*;

    fn tree(name: &str) -> Tree {
        let mut tree = Tree::new();
        let node = Node::file(Metadata::root_owned(0o644), Content::inline(vec![7; 5000]));
        tree.insert(Path::new(name), node).unwrap();
        tree
    }

    #[test]
    fn reads_cross_the_border_of_two_file_systems() {
        let mut disk = Disk::default();
        disk.add(&tree("/a")).unwrap();
        disk.add(&tree("/bb")).unwrap();
        let [first, second] = disk.volumes()[..] else { panic!("two volumes") };
        assert_eq!((first.offset, second.offset), (0, first.len));
        let mut source = disk.into_source(Faults::default());
        assert_eq!(source.len(), first.len + second.len);
        let mut both = vec![1; source.len() as usize];
        source.read(0, &mut both);
        let magic = b"hsqs";
        assert_eq!(&both[..4], magic);
        assert_eq!(&both[second.offset as usize..][..4], magic);
        let mut border = [1; 1024];
        source.read(second.offset - 512, &mut border);
        assert_eq!(border, both[second.offset as usize - 512..][..1024]);
    }
}
