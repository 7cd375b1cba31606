//! A file is whole or the one before, whenever the machine loses power.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use tempfile::NamedTempFile;

use crate::SecretsError;

/// Puts a file in place of the one that holds `before` (of none, where that is `None`). What somebody else wrote there
/// meanwhile is left, and told.
pub(crate) fn replace(path: &Path, before: Option<&[u8]>, content: &[u8], mode: u32) -> Result<(), SecretsError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let unwritten = |source| SecretsError::Unwritten { path: path.to_owned(), source };
    // Whoever else replaces a file of this folder waits for the comparison and the rename to be over.
    let lock = File::open(folder).map_err(unwritten)?;
    let lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| unwritten(errno.into()))?;
    let present = match fs::read(path) {
        Ok(present) => Some(present),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unwritten(error)),
    };
    if present.as_deref() != before {
        return Err(SecretsError::Meanwhile { path: path.to_owned() });
    }
    let write = || -> io::Result<()> {
        let mut staged = NamedTempFile::new_in(folder)?;
        staged.write_all(content)?;
        staged.as_file().set_permissions(Permissions::from_mode(mode))?;
        staged.as_file().sync_all()?;
        staged.persist(path)?;
        lock.sync_all()
    };
    write().map_err(unwritten)
}

/// Puts a file where there is none.
pub(crate) fn create(path: &Path, content: &[u8], mode: u32) -> Result<(), SecretsError> {
    replace(path, None, content, mode)
}
