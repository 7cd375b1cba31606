//! The agent's program, as it is known and brought to instances.

use std::fs::{self, File};
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use object::read::{Object as _, ReadCache};
use sha2::{Digest as _, Sha256};

use crate::hex;

/// Where programs of the agent lie on an instance; each under a name of its own, so that two versions never mix.
pub(crate) const AGENT_DIR: &str = "/usr/local/lib/bascule";

/// An executable that speaks the agent's protocol when its only argument is `agent`, brought to an instance the first time
/// it is called there.
#[derive(Clone)]
pub struct AgentProgram {
    /// Where it lies on an instance.
    pub(crate) path: String,
    read: Arc<dyn Fn() -> io::Result<Bytes> + Send + Sync>,
}

impl std::fmt::Debug for AgentProgram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AgentProgram").field("path", &self.path).finish_non_exhaustive()
    }
}

impl AgentProgram {
    /// Known by its digest.
    pub fn new(bytes: Bytes) -> Self {
        Self::named(&Sha256::digest(&bytes), move || Ok(bytes.clone()))
    }

    /// The program in a file, known by its build id: the linker's own digest of what it has put together. The file is large,
    /// and read as a whole only to be brought; or where a linker has given it no build id.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn in_file(path: &'static str) -> io::Result<Self> {
        let cache = ReadCache::new(File::open(path)?);
        let file = object::File::parse(&cache).ok();
        match file.and_then(|file| file.build_id().ok().flatten().map(<[u8]>::to_vec)) {
            Some(id) if id.len() >= NAME_BYTES => Ok(Self::named(&id, move || fs::read(path).map(Bytes::from))),
            _ => fs::read(path).map(Bytes::from).map(Self::new),
        }
    }

    fn named(digest: &[u8], read: impl Fn() -> io::Result<Bytes> + Send + Sync + 'static) -> Self {
        Self { path: format!("{AGENT_DIR}/agent-{}", hex(&digest[..NAME_BYTES])), read: Arc::new(read) }
    }

    pub(crate) fn bytes(&self) -> io::Result<Bytes> {
        (self.read)()
    }
}

/// As much of a digest as a name holds.
const NAME_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_build_id_and_read_as_a_whole_only_when_it_is_asked_for() {
        let this = AgentProgram::in_file("/proc/self/exe").unwrap();
        let again = AgentProgram::in_file("/proc/self/exe").unwrap();
        assert_eq!(this.path, again.path);
        assert_eq!(this.bytes().unwrap(), fs::read("/proc/self/exe").unwrap());
        assert_ne!(this.path, AgentProgram::new(this.bytes().unwrap()).path, "it was read and digested");
    }

    #[test]
    fn what_has_no_build_id_is_known_by_its_digest() {
        let script = AgentProgram::in_file("/etc/passwd").unwrap();
        assert_eq!(script.path, AgentProgram::new(fs::read("/etc/passwd").unwrap().into()).path);
        assert!(AgentProgram::in_file("/nowhere").is_err());
    }
}
