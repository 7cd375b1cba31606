use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::PathBuf;
use std::process::Stdio;

use async_trait::async_trait;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;

use super::ImageError;
use crate::hex;

/// Makes the base image's files where Incus does not have it yet.
#[async_trait]
pub trait BaseImage: Send + Sync + Debug {
    /// The alias it is known by in Incus.
    fn alias(&self) -> String;

    fn properties(&self) -> BTreeMap<String, String> {
        [
            ("bascule.kind".to_owned(), "base".to_owned()),
            ("description".to_owned(), "Debian 13, minimal, with systemd".to_owned()),
        ]
        .into()
    }

    async fn make(&self, progress: &(dyn Fn(String) + Sync)) -> Result<BaseFiles, ImageError>;
}

/// The two files of a split image.
#[derive(Debug, Clone)]
pub struct BaseFiles {
    pub metadata: PathBuf,
    pub rootfs: PathBuf,
}

const SCRIPT: &str = include_str!("base.sh");

/// The base image's alias: it holds the digest of the script that makes it, so that a changed script makes a new one.
pub fn base_alias() -> String {
    format!("bascule/base-{}", &hex(&Sha256::digest(SCRIPT))[..8])
}

/// Debian 13 by `debootstrap` on this machine; its files are kept in a cache folder, so that it is made once.
#[derive(Debug, Clone)]
pub struct Debootstrap {
    pub cache: PathBuf,
}

#[async_trait]
impl BaseImage for Debootstrap {
    fn alias(&self) -> String {
        base_alias()
    }

    async fn make(&self, progress: &(dyn Fn(String) + Sync)) -> Result<BaseFiles, ImageError> {
        let folder = self.cache.join(base_alias().replace('/', "-"));
        let files = BaseFiles { metadata: folder.join("meta.tar"), rootfs: folder.join("rootfs.tar.zst") };
        // The script renames the metadata into place last: it stands for a whole image.
        if !files.metadata.exists() {
            run_script(&folder, progress).await?;
        }
        Ok(files)
    }
}

#[expect(clippy::disallowed_methods, reason = "the one program this crate runs: the base image's script")]
async fn run_script(folder: &std::path::Path, progress: &(dyn Fn(String) + Sync)) -> Result<(), ImageError> {
    let failed = |message: String| ImageError::Base { missing_tool: message.contains("is missing"), message };
    let started = Command::new("/bin/sh")
        .args(["-s"])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut script = started.map_err(|error| failed(format!("/bin/sh: {error}")))?;
    let (stdin, stderr) = (script.stdin.take(), script.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            stdin.write_all(SCRIPT.as_bytes()).await?;
        }
        std::io::Result::Ok(())
    };
    let listen = async {
        let mut last = String::new();
        let Some(stderr) = stderr else { return last };
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            last.clone_from(&line);
            progress(line);
        }
        last
    };
    let (fed, last) = futures_util::future::join(feed, listen).await;
    let status = script.wait().await.map_err(|error| failed(error.to_string()))?;
    if status.success() { fed.map_err(|error| failed(error.to_string())) } else { Err(failed(last)) }
}
