use std::sync::Arc;

use async_trait::async_trait;
use bascule_incus::{Error as IncusError, Exec, Exited, FileKind, Incus, InstanceFile};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::{Call, Reach};
use crate::AgentError;

/// The instances of a project.
#[derive(Debug)]
pub(crate) struct Instances {
    pub(crate) incus: Arc<dyn Incus>,
    pub(crate) project: String,
}

impl Instances {
    async fn push(&self, instance: &str, path: &str, kind: FileKind, mode: u32) -> Result<(), IncusError> {
        self.incus.push_file(&self.project, instance, path, InstanceFile { kind, uid: 0, gid: 0, mode }).await
    }
}

#[async_trait]
impl Reach for Instances {
    async fn exec(&self, instance: &str, call: Call, stdout: mpsc::Sender<Bytes>) -> Result<Exited, AgentError> {
        let exec = Exec::new(call.argv, call.timeout).stdin(call.stdin);
        Ok(self.incus.exec(&self.project, instance, exec, stdout).await?)
    }

    async fn make_directory(&self, instance: &str, path: &str, mode: u32) -> Result<(), AgentError> {
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| parent);
        for (path, mode) in [(parent, 0o755), (path, mode)] {
            match self.push(instance, path, FileKind::Directory, mode).await {
                Ok(()) | Err(IncusError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn put_file(&self, instance: &str, path: &str, content: Bytes, mode: u32) -> Result<(), AgentError> {
        Ok(self.push(instance, path, FileKind::File(content), mode).await?)
    }
}
