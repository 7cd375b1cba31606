use std::collections::BTreeSet;

/// What the steps before this one would change, in a check. Empty in an apply: there they have changed it already.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    any: bool,
    brings_units: bool,
    paths: BTreeSet<String>,
}

impl Pending {
    /// Notes a step that would change, or whose check failed, by what it touches.
    pub(crate) fn add(&mut self, touches: Touches) {
        self.any = true;
        match touches {
            Touches::Nothing => {}
            Touches::Anything => self.brings_units = true,
            Touches::Path(path) => {
                self.brings_units |= path.contains("/systemd/system/");
                self.paths.insert(path);
            }
        }
    }

    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// Whether a unit that does not exist may exist by then.
    pub(crate) fn may_bring_units(&self) -> bool {
        self.brings_units
    }

    /// The pending path that changes what is read at `path`: the path itself, one above it (a release directory, a
    /// symlink to it) or one below it (a file of a directory).
    pub(crate) fn affecting(&self, path: &str) -> Option<&str> {
        let hit = self.paths.iter().find(|changed| same_or_nested(path, changed));
        hit.map(String::as_str)
    }
}

/// What later steps may find changed by a step.
#[derive(Debug)]
pub(crate) enum Touches {
    /// Nothing whose content anyone reads.
    Nothing,
    /// What is read at this path.
    Path(String),
    /// Nobody can say: packages, commands.
    Anything,
}

/// Whether one path is the other, or lies below it: then a change at the one may change what is read at the other.
pub(crate) fn same_or_nested(one: &str, other: &str) -> bool {
    let below = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    one == other || below(one, other) || below(other, one)
}
