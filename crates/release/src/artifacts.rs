use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bascule_engine::Blobs;
use bascule_plan::Blob;
use bascule_spec::Platform;
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::Commit;

/// A local folder of artifacts: `COMMIT/COMPONENT.tar.gz`.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("there is no artifact of {component} for {commit}: {path} does not exist", path = path.display())]
    Missing { component: String, commit: Commit, path: PathBuf },
    #[error("the artifact {path} cannot be read", path = path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("the artifact {path} is not a gzip archive", path = path.display())]
    NotGzip { path: PathBuf },
}

impl Folder {
    /// Where the artifact of a component at a commit lies.
    pub fn path(&self, commit: &Commit, component: &str) -> PathBuf {
        self.0.join(commit.as_str()).join(format!("{component}.tar.gz"))
    }

    /// The artifacts of a commit, one for each component of the platform: all there and readable, or an error.
    pub fn release(&self, platform: &Platform, commit: &Commit) -> Result<BTreeMap<String, Blob>, ArtifactError> {
        let blob = |component: &String| {
            let path = self.path(commit, component);
            let (sha256, bytes) = digest(&path).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => {
                    ArtifactError::Missing { component: component.clone(), commit: commit.clone(), path: path.clone() }
                }
                io::ErrorKind::InvalidData => ArtifactError::NotGzip { path: path.clone() },
                _ => ArtifactError::Unreadable { path: path.clone(), source },
            })?;
            Ok((component.clone(), Blob { sha256, bytes, name: format!("{component} of {commit}") }))
        };
        platform.components.iter().map(|component| blob(&component.name)).collect()
    }

    /// The bytes of a blob, wherever in the folder it lies.
    pub fn find(&self, blob: &Blob) -> Result<Vec<u8>, BlobError> {
        let missing = || BlobError::Missing { name: blob.name.clone(), folder: self.0.clone() };
        let commits = std::fs::read_dir(&self.0).map_err(|_| missing())?.flatten();
        let files = commits.filter_map(|commit| std::fs::read_dir(commit.path()).ok()).flat_map(Iterator::flatten);
        for file in files {
            // The size is looked at first: a digest costs a read of the whole file.
            if file.metadata().is_ok_and(|metadata| metadata.len() == blob.bytes) {
                let bytes = std::fs::read(file.path()).map_err(|_| missing())?;
                if hex(&Sha256::digest(&bytes)) == blob.sha256 {
                    return Ok(bytes);
                }
            }
        }
        Err(missing())
    }
}

impl Blobs for Folder {
    fn bytes(&self, blob: &Blob) -> Result<Bytes, String> {
        self.find(blob).map(Bytes::from).map_err(|error| error.to_string())
    }
}

#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("the artifact {name} is no longer in {}; build it again, or deploy another commit", folder.display())]
    Missing { name: String, folder: PathBuf },
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 in hex, and the size. A file that does not begin as gzip does is `InvalidData`.
fn digest(path: &Path) -> io::Result<(String, u64)> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if bytes == 0 && !buffer[..read].starts_with(&[0x1f, 0x8b]) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if read == 0 {
            break;
        }
        digest.update(&buffer[..read]);
        bytes += read as u64;
    }
    Ok((hex(&digest.finalize()), bytes))
}
