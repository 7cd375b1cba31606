use std::collections::{BTreeMap, VecDeque};
use std::io::{self, ErrorKind};

use crate::system::{Access, Kind, Meta};

const ROOT: u64 = 0;
const SYMLINKS_MAX: u32 = 40;

/// A file system that knows, for every file and directory, what would survive the loss of power.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    lies_about_syncs: bool,
}

#[derive(Clone, Debug)]
struct Inode {
    access: Access,
    node: Node,
}

#[derive(Clone, Debug)]
enum Node {
    File { content: Vec<u8>, synced: bool },
    Directory(Directory),
    Symlink(String),
    Device,
}

#[derive(Clone, Debug, Default)]
struct Directory {
    entries: BTreeMap<String, u64>,
    synced: BTreeMap<String, u64>,
    /// What was done to `synced` since, in order.
    changes: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Set(String, u64),
    Unset(String),
    Rename(String, String),
}

/// Where a path leads: its directory, its last name, and what is there.
struct Place {
    dir: u64,
    name: String,
    inode: Option<u64>,
}

impl Disk {
    pub(super) fn new() -> Self {
        let root = Inode { access: Access::root(0o755), node: Node::Directory(Directory::default()) };
        Self { inodes: BTreeMap::from([(ROOT, root)]), next: 1, lies_about_syncs: false }
    }

    pub(super) fn lies_about_syncs(&mut self) {
        self.lies_about_syncs = true;
    }

    pub(super) fn metadata(&self, path: &str) -> Option<Meta> {
        let inode = &self.inodes[&self.find(path, false).ok()?.inode?];
        let kind = match &inode.node {
            Node::File { .. } => Kind::File,
            Node::Directory(_) => Kind::Directory,
            Node::Symlink(target) => Kind::Symlink { target: target.clone() },
            Node::Device => Kind::Other,
        };
        Some(Meta { kind, access: inode.access.clone() })
    }

    pub(super) fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        match &self.inodes[&self.existing(path, true)?].node {
            Node::File { content, .. } => Ok(content.clone()),
            _ => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn list(&self, path: &str) -> io::Result<Vec<String>> {
        match &self.inodes[&self.existing(path, true)?].node {
            Node::Directory(directory) => Ok(directory.entries.keys().cloned().collect()),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// All paths below one, with what is there; symlinks are not followed.
    pub(super) fn walk(&self, path: &str) -> Vec<String> {
        let mut found = Vec::new();
        for name in self.list(path).unwrap_or_default() {
            let below = format!("{}/{name}", path.trim_end_matches('/'));
            let is_dir = self.metadata(&below).is_some_and(|meta| meta.kind == Kind::Directory);
            found.push(below.clone());
            if is_dir {
                found.extend(self.walk(&below));
            }
        }
        found
    }

    pub(super) fn create(&mut self, path: &str, access: &Access) -> io::Result<()> {
        self.add(path, access, Node::File { content: Vec::new(), synced: false })
    }

    pub(super) fn fill(&mut self, path: &str, bytes: &[u8], sync: bool) -> io::Result<()> {
        let inode = self.existing(path, false)?;
        match self.inodes.get_mut(&inode).map(|inode| &mut inode.node) {
            Some(Node::File { content, synced }) => {
                *content = bytes.to_vec();
                *synced = sync && !self.lies_about_syncs;
                Ok(())
            }
            _ => Err(ErrorKind::IsADirectory.into()),
        }
    }

    pub(super) fn make_dir(&mut self, path: &str, access: &Access) -> io::Result<()> {
        self.add(path, access, Node::Directory(Directory::default()))
    }

    pub(super) fn symlink(&mut self, target: &str, path: &str) -> io::Result<()> {
        self.add(path, &Access::root(0o777), Node::Symlink(target.to_owned()))
    }

    /// A device file, for tests of what must be left alone.
    pub(super) fn device(&mut self, path: &str) -> io::Result<()> {
        self.add(path, &Access::root(0o600), Node::Device)
    }

    pub(super) fn set_access(&mut self, path: &str, access: &Access) -> io::Result<()> {
        let inode = self.existing(path, true)?;
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.access = access.clone();
        }
        Ok(())
    }

    /// Within one directory only: nothing else is needed, and nothing else is atomic everywhere.
    pub(super) fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.find(from, false)?, self.find(to, false)?);
        let moved = from.inode.ok_or(ErrorKind::NotFound)?;
        if from.dir != to.dir {
            return Err(ErrorKind::CrossesDevices.into());
        }
        let is_dir = |inode: u64| matches!(self.inodes[&inode].node, Node::Directory(_));
        match to.inode {
            Some(there) if is_dir(there) && !is_dir(moved) => return Err(ErrorKind::IsADirectory.into()),
            Some(there) if !is_dir(there) && is_dir(moved) => return Err(ErrorKind::NotADirectory.into()),
            Some(there) if is_dir(there) && !self.directory(there)?.entries.is_empty() => {
                return Err(ErrorKind::DirectoryNotEmpty.into());
            }
            _ => {}
        }
        self.change(from.dir, Change::Rename(from.name, to.name))
    }

    pub(super) fn remove(&mut self, path: &str) -> io::Result<()> {
        let place = match self.find(path, false) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(place) if place.inode.is_some() => place,
            _ => return Ok(()),
        };
        self.change(place.dir, Change::Unset(place.name))
    }

    pub(super) fn sync_dir(&mut self, path: &str) -> io::Result<()> {
        let inode = self.existing(path, true)?;
        self.directory(inode)?;
        if self.lies_about_syncs {
            return Ok(());
        }
        if let Some(Node::Directory(directory)) = self.inodes.get_mut(&inode).map(|inode| &mut inode.node) {
            directory.sync();
        }
        Ok(())
    }

    pub(super) fn sync_all(&mut self) {
        if self.lies_about_syncs {
            return;
        }
        for inode in self.inodes.values_mut() {
            match &mut inode.node {
                Node::File { synced, .. } => *synced = true,
                Node::Directory(directory) => directory.sync(),
                Node::Symlink(_) | Node::Device => {}
            }
        }
    }

    /// Forgets what was not synced. `kept(n)` chooses how many of n unsynced changes of a directory survive.
    pub(super) fn lose_power(&mut self, kept: &mut dyn FnMut(usize) -> usize) {
        for inode in self.inodes.values_mut() {
            match &mut inode.node {
                Node::File { content, synced } if !*synced => content.clear(),
                Node::Directory(directory) => {
                    let keep = kept(directory.changes.len());
                    let survived: Vec<Change> = directory.changes.drain(..).take(keep).collect();
                    directory.entries = directory.synced.clone();
                    survived.into_iter().for_each(|change| apply(&mut directory.entries, change));
                    directory.synced = directory.entries.clone();
                }
                Node::File { .. } | Node::Symlink(_) | Node::Device => {}
            }
        }
    }

    /// What lives in memory is gone after a boot.
    pub(super) fn forget_below(&mut self, path: &str) {
        let Ok(inode) = self.existing(path, true) else { return };
        if let Some(Node::Directory(directory)) = self.inodes.get_mut(&inode).map(|inode| &mut inode.node) {
            *directory = Directory::default();
        }
    }

    fn add(&mut self, path: &str, access: &Access, node: Node) -> io::Result<()> {
        let place = self.find(path, false)?;
        if place.inode.is_some() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = self.next;
        self.next += 1;
        self.inodes.insert(inode, Inode { access: access.clone(), node });
        self.change(place.dir, Change::Set(place.name, inode))
    }

    fn change(&mut self, dir: u64, change: Change) -> io::Result<()> {
        match self.inodes.get_mut(&dir).map(|inode| &mut inode.node) {
            Some(Node::Directory(directory)) => {
                apply(&mut directory.entries, change.clone());
                directory.changes.push(change);
                Ok(())
            }
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn directory(&self, inode: u64) -> io::Result<&Directory> {
        match &self.inodes[&inode].node {
            Node::Directory(directory) => Ok(directory),
            _ => Err(ErrorKind::NotADirectory.into()),
        }
    }

    fn existing(&self, path: &str, follow: bool) -> io::Result<u64> {
        self.find(path, follow)?.inode.ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Walks a path; a symlink at its end is followed when `follow` says so.
    fn find(&self, path: &str, follow: bool) -> io::Result<Place> {
        let mut ahead: VecDeque<String> = parts(path).collect();
        let mut above = vec![ROOT];
        let mut links = 0;
        while let Some(name) = ahead.pop_front() {
            if name == ".." {
                if above.len() > 1 {
                    above.pop();
                }
                continue;
            }
            let dir = above.last().copied().unwrap_or(ROOT);
            let inode = self.directory(dir)?.entries.get(&name).copied();
            let last = ahead.is_empty();
            match inode.map(|inode| (inode, &self.inodes[&inode].node)) {
                Some((_, Node::Symlink(target))) if follow || !last => {
                    links += 1;
                    if links > SYMLINKS_MAX {
                        return Err(io::Error::other("too many symlinks"));
                    }
                    if target.starts_with('/') {
                        above.truncate(1);
                    }
                    parts(target).rev().for_each(|part| ahead.push_front(part));
                }
                _ if last => return Ok(Place { dir, name, inode }),
                Some((inode, Node::Directory(_))) => above.push(inode),
                Some(_) => return Err(ErrorKind::NotADirectory.into()),
                None => return Err(ErrorKind::NotFound.into()),
            }
        }
        // The path ended in `..`, or is the root.
        let dir = above.last().copied().unwrap_or(ROOT);
        Ok(Place { dir, name: String::new(), inode: Some(dir) })
    }
}

impl Directory {
    fn sync(&mut self) {
        self.synced = self.entries.clone();
        self.changes.clear();
    }
}

fn apply(entries: &mut BTreeMap<String, u64>, change: Change) {
    match change {
        Change::Set(name, inode) => {
            entries.insert(name, inode);
        }
        Change::Unset(name) => {
            entries.remove(&name);
        }
        Change::Rename(from, to) => {
            if let Some(inode) = entries.remove(&from) {
                entries.insert(to, inode);
            }
        }
    }
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = String> + use<> {
    let parts: Vec<String> =
        path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect();
    parts.into_iter()
}
