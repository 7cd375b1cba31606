use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use bascule_spec::Platform;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A folder of small but real artifacts. Several worlds may share it: what an artifact holds depends on its name alone.
#[derive(Debug)]
pub(crate) struct Artifacts {
    folder: tempfile::TempDir,
    built: Mutex<BTreeSet<(String, String)>>,
}

impl Artifacts {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), built: Mutex::default() }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Builds the artifacts of a commit, where they are not there yet.
    pub(crate) fn build(&self, platform: &Platform, commit: &str) {
        let folder = self.folder.path().join(commit);
        std::fs::create_dir_all(&folder).expect("a folder for artifacts");
        let mut built = self.built.lock().unwrap_or_else(PoisonError::into_inner);
        for component in &platform.components {
            if !built.insert((commit.to_owned(), component.name.clone())) {
                continue;
            }
            let path = folder.join(format!("{}.tar.gz", component.name));
            let file = std::fs::File::create(path).expect("an artifact");
            let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::fast()));
            let content = format!("{} at {commit}", component.name);
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            let inside = format!("bin/{}", component.name);
            archive.append_data(&mut header, inside, content.as_bytes()).expect("a file in an artifact");
            archive.into_inner().and_then(GzEncoder::finish).expect("a whole artifact");
        }
    }
}
