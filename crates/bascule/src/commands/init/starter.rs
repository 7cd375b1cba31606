//! The platform that somebody begins with: one site, one program, no databases.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::failure::Failed;
use crate::setup::path_of;

/// A file of the starter, below its folder.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: &'static str,
    /// What a person is told of it.
    pub(super) is: &'static str,
    text: String,
    mode: u32,
}

/// The platform file comes last: where it is, the others are.
const FILES: [(&str, &str, u32); 9] = [
    (".gitignore", include_str!("../../../starter/gitignore"), 0o644),
    ("README.md", include_str!("../../../starter/README.md"), 0o644),
    ("build", include_str!("../../../starter/build"), 0o755),
    ("hello/Cargo.lock", include_str!("../../../starter/hello/Cargo.lock"), 0o644),
    ("hello/Cargo.toml", include_str!("../../../starter/hello/Cargo.toml"), 0o644),
    ("hello/src/main.rs", include_str!("../../../starter/hello/src/main.rs"), 0o644),
    ("site/index.html", include_str!("../../../starter/site/index.html"), 0o644),
    ("env/lab.toml", include_str!("../../../starter/env/lab.toml"), 0o644),
    ("platform.toml", include_str!("../../../starter/platform.toml"), 0o644),
];

/// Longest name of a Linux interface.
const BRIDGE_LENGTH_MAX: usize = 15;

/// What belongs into a folder that holds no platform yet, filled in for it. Fails where something else is in its place.
pub(super) fn files(folder: &Path) -> Result<Vec<File>, Failed> {
    let name = name_of(folder)?;
    let bridge = format!("{}-lab", name[..name.len().min(BRIDGE_LENGTH_MAX - 4)].trim_end_matches('-'));
    let is = "who may log in: your SSH keys";
    let operators = File { path: "operators.pub", is, text: public_keys()?, mode: 0o644 };
    let fill = |text: &str| text.replace("{{ name }}", &name).replace("{{ bridge }}", &bridge);
    let files =
        FILES.iter().map(|&(path, text, mode)| File { path, is: "a starter, to be changed", text: fill(text), mode });
    let files: Vec<File> = [operators].into_iter().chain(files).collect();
    let taken = |file: &&File| fs::read_to_string(folder.join(file.path)).map_or_else(exists, |text| text != file.text);
    let taken: Vec<&str> = files.iter().filter(taken).map(|file| file.path).collect();
    if taken.is_empty() {
        return Ok(files);
    }
    Err(Failed::usage(
        format!("{} has files in the way already: {}", folder.display(), taken.join(", ")),
        "begin in an empty folder: bascule init DIR",
    ))
}

/// What cannot be read as a text is there all the same.
fn exists(error: io::Error) -> bool {
    error.kind() != io::ErrorKind::NotFound
}

impl File {
    /// Writes it where it is not yet. True if it was not.
    pub(super) fn write(&self, folder: &Path) -> io::Result<bool> {
        let path = folder.join(self.path);
        if path.exists() {
            return Ok(false);
        }
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent)?;
        // Renamed into place: a file that is there is whole.
        let staged = parent.join(format!(".{}.new", path.file_name().unwrap_or_default().display()));
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(self.mode).open(&staged)?;
        file.write_all(self.text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&staged, &path)?;
        Ok(true)
    }
}

/// The folder's own name, as a platform may be called.
fn name_of(folder: &Path) -> Result<String, Failed> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let name = name[..name.len().min(40)].trim_end_matches('-');
    if name.is_empty() {
        let message = format!("a platform is named after its folder, and {} is no name", folder.display());
        return Err(Failed::usage(message, "begin in a folder whose name begins with a letter: bascule init shop"));
    }
    Ok(name.to_owned())
}

/// The public keys that this person logs in with elsewhere.
fn public_keys() -> Result<String, Failed> {
    let folder = path_of("HOME").unwrap_or_else(|| PathBuf::from("/root")).join(".ssh");
    let mut keys: Vec<PathBuf> = fs::read_dir(&folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "pub"))
        .collect();
    keys.sort();
    let text: String = keys.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    if text.trim().is_empty() {
        let message =
            format!("you have no SSH key ({} has no *.pub): nobody could log in to an instance", folder.display());
        return Err(Failed::usage(message, "make one, then run this again: ssh-keygen -t ed25519"));
    }
    Ok(format!("# Who may log in to the instances as root: one public key a line.\n{text}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_platform_is_named_after_its_folder() {
        for (folder, name) in
            [("/srv/shop", "shop"), ("/srv/My Shop!", "my-shop"), ("/srv/2nd.try", "nd-try"), ("/srv/a--", "a")]
        {
            assert_eq!(name_of(Path::new(folder)).unwrap(), name);
        }
        assert!(name_of(Path::new("/srv/42")).is_err());
        assert!(name_of(Path::new("/")).is_err());
    }
}
