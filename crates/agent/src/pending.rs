use std::collections::BTreeSet;

/// What the steps before this one would change, in a check. Empty in an apply: there they have changed it already.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    any: bool,
    paths: BTreeSet<String>,
}

impl Pending {
    /// Notes a step that would change, or whose check failed.
    pub(crate) fn add(&mut self, path: Option<&str>) {
        self.any = true;
        self.paths.extend(path.map(str::to_owned));
    }

    pub(crate) fn any(&self) -> bool {
        self.any
    }

    /// The pending path that changes what is read at `path`: the path itself, one above it (a release directory, a
    /// symlink to it) or one below it (a file of a directory).
    pub(crate) fn affecting(&self, path: &str) -> Option<&str> {
        let below = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
        let hit = self.paths.iter().find(|changed| *changed == path || below(path, changed) || below(changed, path));
        hit.map(String::as_str)
    }
}
