use std::sync::Arc;

use async_trait::async_trait;
use bascule_incus::{
    Changes, Config, Error, Exec, Exited, Image, Incus, Instance, InstanceFile, InstancePatch, Network, NewImage,
    NewInstance, Profile, Progress, Project, Publish, Result, Server, StopMode, StoragePool, Terminal, Volume,
};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::record::{self, LockOf};

/// Incus for the holder of a lock: whatever changes something first makes sure that no newer generation exists.
///
/// A command in an instance may be a question as well as a change, so `exec` is not fenced here: agents refuse the steps
/// of an older generation by themselves.
#[derive(Debug)]
pub(crate) struct Fenced {
    inner: Arc<dyn Incus>,
    project: String,
    of: LockOf,
    generation: u64,
}

impl Fenced {
    pub(super) fn new(inner: Arc<dyn Incus>, project: &str, of: LockOf, generation: u64) -> Self {
        Self { inner, project: project.to_owned(), of, generation }
    }

    async fn fence(&self, method: &str) -> Result<()> {
        let withheld = |why: String| Error::Withheld { doing: method.replace('_', " "), why };
        match record::newest(&*self.inner, &self.project, self.of).await {
            Ok(newest) if newest.generation == self.generation => Ok(()),
            Ok(newest) => Err(withheld(format!("this run has lost the lock: {}", newest.taken_by()))),
            Err(error) => Err(withheld(format!("whether the lock is still held cannot be told: {error}"))),
        }
    }
}

macro_rules! fenced {
    (
        asks { $(fn $ask:ident(&self $(, $ask_name:ident: $ask_type:ty)*) -> $answer:ty;)* }
        changes { $(fn $change:ident(&self $(, $name:ident: $type:ty)*) -> $result:ty;)* }
    ) => {
        #[async_trait]
        impl Incus for Fenced {
            $(async fn $ask(&self $(, $ask_name: $ask_type)*) -> $answer {
                self.inner.$ask($($ask_name),*).await
            })*
            $(async fn $change(&self $(, $name: $type)*) -> $result {
                self.fence(stringify!($change)).await?;
                self.inner.$change($($name),*).await
            })*
        }
    };
}

fenced! {
    asks {
        fn server(&self) -> Result<Server>;
        fn storage_pool(&self, name: &str) -> Result<Option<StoragePool>>;
        fn project(&self, name: &str) -> Result<Option<Project>>;
        fn uplink_mtu(&self) -> Result<Option<u32>>;
        fn network(&self, project: &str, name: &str) -> Result<Option<Network>>;
        fn profile(&self, project: &str, name: &str) -> Result<Option<Profile>>;
        fn profiles(&self, project: &str) -> Result<Vec<Profile>>;
        fn volumes(&self, project: &str, pool: &str) -> Result<Vec<Volume>>;
        fn image(&self, project: &str, reference: &str) -> Result<Option<Image>>;
        fn images(&self, project: &str) -> Result<Vec<Image>>;
        fn instances(&self, project: &str) -> Result<Vec<Instance>>;
        fn instance(&self, project: &str, name: &str) -> Result<Option<Instance>>;
        fn exec(&self, project: &str, instance: &str, exec: Exec, stdout: mpsc::Sender<Bytes>) -> Result<Exited>;
        fn terminal(&self, project: &str, instance: &str, terminal: Terminal) -> Result<Exited>;
        fn pull_file(&self, project: &str, instance: &str, path: &str) -> Result<Option<InstanceFile>>;
    }
    changes {
        fn create_project(&self, name: &str, config: Config) -> Result<()>;
        fn patch_project_config(&self, name: &str, changes: Changes) -> Result<()>;
        fn delete_project(&self, name: &str) -> Result<()>;
        fn create_network(&self, project: &str, name: &str, config: Config) -> Result<()>;
        fn patch_network_config(&self, project: &str, name: &str, changes: Changes) -> Result<()>;
        fn delete_network(&self, project: &str, name: &str) -> Result<()>;
        fn create_profile(&self, project: &str, profile: Profile) -> Result<()>;
        fn put_profile(&self, project: &str, profile: Profile) -> Result<()>;
        fn patch_profile_config(&self, project: &str, name: &str, changes: Changes) -> Result<()>;
        fn delete_profile(&self, project: &str, name: &str) -> Result<()>;
        fn create_volume(&self, project: &str, pool: &str, name: &str, config: Config) -> Result<()>;
        fn patch_volume_config(&self, project: &str, pool: &str, name: &str, changes: Changes) -> Result<()>;
        fn delete_volume(&self, project: &str, pool: &str, name: &str) -> Result<()>;
        fn import_image(&self, project: &str, image: NewImage, progress: Option<Progress>) -> Result<String>;
        fn publish(&self, project: &str, publish: Publish) -> Result<String>;
        fn delete_image(&self, project: &str, fingerprint: &str) -> Result<()>;
        fn create_instance(&self, project: &str, new: NewInstance) -> Result<()>;
        fn patch_instance(&self, project: &str, name: &str, patch: InstancePatch) -> Result<()>;
        fn start(&self, project: &str, name: &str) -> Result<()>;
        fn stop(&self, project: &str, name: &str, mode: StopMode) -> Result<()>;
        fn restart(&self, project: &str, name: &str, mode: StopMode) -> Result<()>;
        fn freeze(&self, project: &str, name: &str) -> Result<()>;
        fn unfreeze(&self, project: &str, name: &str) -> Result<()>;
        fn rebuild(&self, project: &str, name: &str, image: &str) -> Result<()>;
        fn delete_instance(&self, project: &str, name: &str) -> Result<()>;
        fn push_file(&self, project: &str, instance: &str, path: &str, file: InstanceFile) -> Result<()>;
        fn delete_file(&self, project: &str, instance: &str, path: &str) -> Result<()>;
    }
}
