use sha2::{Digest, Sha256};

use crate::system::{Kind, Result, System};

/// SHA-256, in hex, over paths and what is at each: its kind, and its content or symlink target. That nothing is there is
/// part of it too.
pub(crate) fn of_paths(system: &dyn System, paths: &[String]) -> Result<String> {
    let mut hasher = Sha256::new();
    for path in paths {
        feed(system, path, &mut hasher)?;
    }
    Ok(hex(&hasher.finalize()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn feed(system: &dyn System, path: &str, hasher: &mut Sha256) -> Result<()> {
    let (kind, content) = match system.metadata(path)?.map(|meta| meta.kind) {
        None => ("absent", Vec::new()),
        Some(Kind::File) => ("file", system.read(path)?),
        Some(Kind::Symlink { target }) => ("symlink", target.into_bytes()),
        Some(Kind::Directory) => ("directory", Vec::new()),
        Some(Kind::Other) => ("other", Vec::new()),
    };
    // Every part goes in with its length, so that no two lists of parts read the same.
    for part in [path.as_bytes(), kind.as_bytes(), &content] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    if kind == "directory" {
        for name in system.list(path)? {
            feed(system, &format!("{path}/{name}"), hasher)?;
        }
    }
    Ok(())
}
