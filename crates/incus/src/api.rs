use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::Result;
use crate::types::{
    Changes, Config, Exec, Exited, Image, Instance, InstanceFile, InstancePatch, Network, NewImage, NewInstance,
    Profile, Progress, Project, Publish, Server, StopMode, StoragePool, Terminal, Volume,
};

/// What an orchestrator needs of Incus.
///
/// - A getter gives `None` for what does not exist; a change to what does not exist is [`crate::Error::NotFound`].
/// - Creating what exists is [`crate::Error::AlreadyExists`]; of two racing creations of one name exactly one succeeds.
/// - A change returns when it is made: operations in the background are awaited, within a bound.
/// - Dropping a future leaves a change that was already asked for under way, except a command, which is killed.
/// - `project` is the Incus project. Where it lacks a feature (`features.images=false`…), Incus itself looks in `default`.
#[async_trait]
pub trait Incus: Send + Sync + Debug {
    // The server.

    async fn server(&self) -> Result<Server>;
    async fn storage_pool(&self, name: &str) -> Result<Option<StoragePool>>;

    // Projects.

    async fn project(&self, name: &str) -> Result<Option<Project>>;
    /// Creates a project. The `features.*` keys can hardly be changed later.
    async fn create_project(&self, name: &str, config: Config) -> Result<()>;
    /// Sets and removes keys, and leaves all others as they are.
    async fn patch_project_config(&self, name: &str, changes: Changes) -> Result<()>;
    /// Deletes a project; refused while anything is left in it but its profile `default`.
    async fn delete_project(&self, name: &str) -> Result<()>;

    // Networks.

    /// The largest packet, in bytes, that all of the host's own network cards that are up can send; `None` without any.
    /// A bridge with a larger one loses packets silently.
    async fn uplink_mtu(&self) -> Result<Option<u32>>;
    async fn network(&self, project: &str, name: &str) -> Result<Option<Network>>;
    /// Creates a bridge. The name is also the interface's on the host: at most 15 characters, unique there.
    async fn create_network(&self, project: &str, name: &str, config: Config) -> Result<()>;
    async fn patch_network_config(&self, project: &str, name: &str, changes: Changes) -> Result<()>;
    /// Deletes a network; refused while an instance or a profile uses it.
    async fn delete_network(&self, project: &str, name: &str) -> Result<()>;

    // Profiles.

    async fn profile(&self, project: &str, name: &str) -> Result<Option<Profile>>;
    async fn profiles(&self, project: &str) -> Result<Vec<Profile>>;
    async fn create_profile(&self, project: &str, profile: Profile) -> Result<()>;
    /// Replaces configuration, devices and description of an existing profile as a whole.
    async fn put_profile(&self, project: &str, profile: Profile) -> Result<()>;
    /// Sets and removes keys, and leaves all others as they are.
    async fn patch_profile_config(&self, project: &str, name: &str, changes: Changes) -> Result<()>;
    async fn delete_profile(&self, project: &str, name: &str) -> Result<()>;

    // Custom storage volumes.

    async fn volumes(&self, project: &str, pool: &str) -> Result<Vec<Volume>>;
    /// Creates a file system volume; `size` in the configuration bounds it, e.g. `10GiB`.
    async fn create_volume(&self, project: &str, pool: &str, name: &str, config: Config) -> Result<()>;
    async fn patch_volume_config(&self, project: &str, pool: &str, name: &str, changes: Changes) -> Result<()>;
    /// Deletes a volume and all data on it; refused while it is attached.
    async fn delete_volume(&self, project: &str, pool: &str, name: &str) -> Result<()>;

    // Images.

    /// An image by alias or by its full fingerprint (64 hex digits).
    async fn image(&self, project: &str, reference: &str) -> Result<Option<Image>>;
    async fn images(&self, project: &str) -> Result<Vec<Image>>;
    /// Imports a container image from two files on disk and points its alias at it; returns the fingerprint.
    ///
    /// An image with the same content is not sent again. The alias is moved if it points elsewhere.
    async fn import_image(&self, project: &str, image: NewImage, progress: Option<Progress>) -> Result<String>;
    /// Makes an uncompressed image of a stopped instance; returns its fingerprint. The alias must be free.
    async fn publish(&self, project: &str, publish: Publish) -> Result<String>;
    /// Deletes an image and its aliases. Instances made from it are not affected.
    async fn delete_image(&self, project: &str, fingerprint: &str) -> Result<()>;

    // Instances.

    /// All instances of the project with their state, by name, in one request. Empty if there is no such project.
    async fn instances(&self, project: &str) -> Result<Vec<Instance>>;
    async fn instance(&self, project: &str, name: &str) -> Result<Option<Instance>>;
    /// Creates a container, and starts it if that is wanted.
    ///
    /// # Errors
    /// When the start fails the container stays, stopped. [`crate::Error::NotFound`] if there is no such image.
    async fn create_instance(&self, project: &str, new: NewInstance) -> Result<()>;
    async fn patch_instance(&self, project: &str, name: &str, patch: InstancePatch) -> Result<()>;
    /// Starts a stopped instance; refused if it runs, or while another instance on its network, in any project and even
    /// stopped, has its name or its static address.
    async fn start(&self, project: &str, name: &str) -> Result<()>;
    /// Stops a running instance; refused if it is stopped.
    async fn stop(&self, project: &str, name: &str, mode: StopMode) -> Result<()>;
    /// Restarts a running instance; refused if it is stopped.
    async fn restart(&self, project: &str, name: &str, mode: StopMode) -> Result<()>;
    /// Suspends every process of a running instance. The kernel still answers pings for it.
    async fn freeze(&self, project: &str, name: &str) -> Result<()>;
    async fn unfreeze(&self, project: &str, name: &str) -> Result<()>;
    /// Replaces the root file system of a stopped instance by an image (alias or fingerprint). Name, configuration,
    /// devices and addresses stay.
    ///
    /// Files pushed or pulled less than some seconds before, while it was stopped, may still be seen until it is started:
    /// Incus keeps the old root mounted for a moment.
    async fn rebuild(&self, project: &str, name: &str, image: &str) -> Result<()>;
    /// Deletes a stopped instance and its root file system.
    async fn delete_instance(&self, project: &str, name: &str) -> Result<()>;

    // Inside a running instance.

    /// Runs a command; its standard output is sent in chunks as it comes.
    ///
    /// A full channel holds the command back; a closed one discards the rest. When the future is dropped, the command
    /// is killed.
    ///
    /// # Errors
    /// A command that ran and failed is no error: see [`Exited`]. [`crate::Error::Timeout`] after `exec.timeout`.
    async fn exec(&self, project: &str, instance: &str, exec: Exec, stdout: mpsc::Sender<Bytes>) -> Result<Exited>;
    /// Runs a command on a terminal of its own until it exits; returns its exit code. Not bounded in time: drop the future
    /// to end it.
    async fn terminal(&self, project: &str, instance: &str, terminal: Terminal) -> Result<Exited>;
    /// Writes a file, directory or symlink; also possible while the instance is stopped. The parent must exist.
    ///
    /// Owner and mode apply only to what is new: an existing file gets new content and keeps both.
    async fn push_file(&self, project: &str, instance: &str, path: &str, file: InstanceFile) -> Result<()>;
    async fn pull_file(&self, project: &str, instance: &str, path: &str) -> Result<Option<InstanceFile>>;
    /// Deletes a file, a symlink or an empty directory.
    async fn delete_file(&self, project: &str, instance: &str, path: &str) -> Result<()>;
}
