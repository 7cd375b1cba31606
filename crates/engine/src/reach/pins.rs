//! Keys of hosts that a person has compared, in a file of OpenSSH's own format that belongs into the repository.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use ssh_key::{Fingerprint, HashAlg, PublicKey};
use tokio::sync::mpsc;

use super::{HostError, process};

/// The pinned keys of one file, each with the host's name.
#[derive(Debug)]
pub struct Pins {
    path: PathBuf,
    keys: Vec<(String, PublicKey)>,
}

impl Pins {
    /// Reads the file; one that is not there has no pins.
    pub fn read(path: &Path) -> Result<Self, HostError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            Err(source) => return Err(HostError::Io { doing: format!("cannot read {}", path.display()), source }),
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let keys = lines.map(|(number, line)| {
            let pin = line.split_once(' ').and_then(|(host, key)| Some((host.to_owned(), key.trim().parse().ok()?)));
            pin.ok_or_else(|| HostError::Pins { path: path.to_owned(), line: number + 1 })
        });
        Ok(Self { path: path.to_owned(), keys: keys.collect::<Result<_, _>>()? })
    }

    pub fn has(&self, host: &str) -> bool {
        self.fingerprint(host).is_some()
    }

    /// The fingerprint of the host's pinned key, e.g. `SHA256:nThbg6k…`.
    pub fn fingerprint(&self, host: &str) -> Option<Fingerprint> {
        self.keys.iter().find(|(name, _)| name == host).map(|(_, key)| fingerprint(key))
    }

    /// Pins a key in place of what was pinned for the host, and writes the file.
    pub fn pin(&mut self, host: &str, key: PublicKey) -> Result<(), HostError> {
        self.keys.retain(|(name, _)| name != host);
        self.keys.push((host.to_owned(), key));
        self.keys.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut text = String::from("# Host keys, pinned by `bascule host pin`. No secret: commit this file.\n");
        for (name, key) in &self.keys {
            let key = key.to_openssh().map_err(|error| self.cannot_write(std::io::Error::other(error.to_string())))?;
            text += &format!("{name} {key}\n");
        }
        self.write(&text).map_err(|source| self.cannot_write(source))
    }

    /// Beside, and renamed: a reader sees the old file or the new one.
    fn write(&self, text: &str) -> std::io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let mut staged = tempfile::Builder::new().permissions(readable()).tempfile_in(folder)?;
        staged.write_all(text.as_bytes())?;
        staged.as_file().sync_all()?;
        staged.persist(&self.path)?;
        Ok(())
    }

    fn cannot_write(&self, source: std::io::Error) -> HostError {
        HostError::Io { doing: format!("cannot write {}", self.path.display()), source }
    }

    /// Asks the machine at an address for its key. Nobody vouches for the answer: a person has to compare it.
    pub async fn scan(host: &str, address: &str) -> Result<(PublicKey, Fingerprint), HostError> {
        let (sender, mut chunks) = mpsc::channel::<Bytes>(16);
        let mut command = process::command("ssh-keyscan");
        command.args(["-T", "10", "-t", "ed25519", address]);
        let printed = async {
            let mut printed = Vec::new();
            while let Some(chunk) = chunks.recv().await {
                printed.extend_from_slice(&chunk);
            }
            String::from_utf8_lossy(&printed).into_owned()
        };
        let scanned = process::run(host, &mut command, Bytes::new(), Duration::from_secs(30), sender);
        let (scanned, printed) = futures_util::future::join(scanned, printed).await;
        let scanned = scanned?;
        if scanned.code == bascule_incus::Exited::NOT_FOUND {
            return Err(HostError::NoProgram { program: "ssh-keyscan" });
        }
        let mut lines = printed.lines().filter(|line| !line.starts_with('#'));
        let key = lines.find_map(|line| line.split_once(' ')?.1.trim().parse::<PublicKey>().ok());
        let key = key.ok_or_else(|| HostError::Unreachable {
            host: host.to_owned(),
            address: address.to_owned(),
            message: "no SSH server showed an Ed25519 key".to_owned(),
        })?;
        let fingerprint = fingerprint(&key);
        Ok((key, fingerprint))
    }
}

fn fingerprint(key: &PublicKey) -> Fingerprint {
    key.fingerprint(HashAlg::Sha256)
}

fn readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use ssh_key::public::Ed25519PublicKey;

    use super::*;

    fn key(byte: u8) -> PublicKey {
        PublicKey::new(Ed25519PublicKey([byte; 32]).into(), "")
    }

    #[test]
    fn a_pinned_key_is_read_back_and_a_new_one_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.known_hosts");
        assert!(!Pins::read(&path).unwrap().has("h1"));
        Pins::read(&path).unwrap().pin("h2", key(2)).unwrap();
        Pins::read(&path).unwrap().pin("h1", key(1)).unwrap();
        Pins::read(&path).unwrap().pin("h1", key(3)).unwrap();
        let pins = Pins::read(&path).unwrap();
        assert_eq!(pins.fingerprint("h1"), Some(fingerprint(&key(3))));
        assert_eq!(pins.fingerprint("h2"), Some(fingerprint(&key(2))));
        assert!(!pins.has("h"), "a name that only begins like another");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 3, "{text}");
    }

    #[test]
    fn a_line_that_is_no_key_is_told_with_its_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.known_hosts");
        std::fs::write(&path, "# keys\n\nh1 ssh-ed25519 AAAA\n").unwrap();
        let error = Pins::read(&path).unwrap_err();
        assert!(error.to_string().ends_with("lab.known_hosts, line 3: not a pinned key"), "{error}");
        assert!(error.hint().is_some_and(|hint| hint.contains("pin the host again")));
    }
}
