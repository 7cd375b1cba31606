use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::failure::Failed;

/// The platform's files, from disk.
pub(crate) struct Disk;

impl bascule_spec::Files for Disk {
    fn read(&self, path: &Path) -> Result<String, String> {
        std::fs::read_to_string(path).map_err(|error| error.to_string())
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

/// Puts what is no secret in a file of the repository, for everybody to read; `what` it is, for the error.
pub(crate) fn publish(what: &str, path: &Path, text: &str) -> Result<(), Failed> {
    replace(path, text, 0o644).map_err(|error| {
        let message = format!("{what} {} cannot be written: {error}", path.display());
        Failed::usage(message, "make its folder, or let it be written, and run this again")
    })
}

/// Puts a whole file at a path for good: it is written beside, synced and renamed.
pub(crate) fn replace(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    // The parent of a bare name is empty.
    let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let staged = folder.join(format!(".{name}.new"));
    // What a killed run left there; nothing there is fine.
    let _ = std::fs::remove_file(&staged);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    file.sync_all()?;
    std::fs::rename(&staged, path)?;
    File::open(folder)?.sync_all()
}
