use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{ETAG, IF_MATCH};
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::api::Incus;
use crate::events::Events;
use crate::operations::Operation;
use crate::tls::Identity;
use crate::transport::{Answer, Transport};
use crate::types::{
    Changes, Config, Exec, Exited, Image, Instance, InstanceFile, InstancePatch, Network, NewImage, NewInstance,
    Profile, Progress, Project, Publish, Server, Space, StopMode, StoragePool, Terminal, Volume,
};
use crate::{Error, Result, exec, files, images, instances, networks, projects, terminal, volumes};

/// Where Debian's packages put the daemon's socket.
pub const DEFAULT_SOCKET: &str = "/var/lib/incus/unix.socket";

/// What of Incus's API is used here beyond what every daemon has; Incus 6.0 has all of it.
pub const NEEDED_EXTENSIONS: [&str; 6] = [
    "container_exec_user_group_cwd",
    "instance_get_full",
    "instances",
    "instances_rebuild",
    "network_state",
    "projects",
];

const OPERATION_TIMEOUT: Duration = Duration::from_secs(300);
/// How often a read-merge-write is tried when others write at the same time.
const UPDATE_ATTEMPTS: u32 = 8;

/// A client of one daemon. Clones share its connections and its event stream.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) transport: Transport,
    pub(crate) events: Arc<Events>,
    pub(crate) operation_timeout: Duration,
}

impl Client {
    /// A client of the daemon on this machine, by its socket (see [`DEFAULT_SOCKET`]). Connects when first used.
    pub fn unix(socket: impl Into<PathBuf>) -> Result<Self> {
        let socket: PathBuf = socket.into();
        Ok(Self::over(Transport::unix(Path::new(&socket))?))
    }

    /// A client of a daemon elsewhere, which must trust the identity, and must itself be the one whose certificate (PEM) is
    /// given: no authority vouches for either. Connects when first used.
    ///
    /// # Errors
    /// [`Error::Credential`] for a certificate or key that cannot be read.
    pub fn https(address: SocketAddr, identity: Identity<'_>, server_certificate: &str) -> Result<Self> {
        Ok(Self::over(Transport::https(address, identity, server_certificate)?))
    }

    fn over(transport: Transport) -> Self {
        Self { events: Events::new(transport.clone()), transport, operation_timeout: OPERATION_TIMEOUT }
    }

    /// Bounds the wait for each operation that has no bound of its own; five minutes if not set.
    #[must_use]
    pub fn with_operation_timeout(self, operation_timeout: Duration) -> Self {
        Self { operation_timeout, ..self }
    }

    /// How full a storage pool is; `None` if it does not exist.
    pub async fn storage_pool_space(&self, name: &str) -> Result<Option<Space>> {
        volumes::space(self, name).await
    }

    /// Reads one object or list; `None` if it does not exist.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        doing: &str,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Option<T>> {
        let request = self.transport.request(Method::GET, path, query)?;
        match self.transport.answer(doing, request).await {
            Ok(Answer::Sync(value)) => {
                serde_json::from_value(value).map(Some).map_err(|source| Error::malformed(doing, source))
            }
            Ok(Answer::Async(_)) => Err(Error::malformed(doing, "an operation where an object was asked for")),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a change and waits until it is made; gives the metadata of its operation.
    pub(crate) async fn change(
        &self,
        doing: &str,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: &Value,
    ) -> Result<Value> {
        let request = self.transport.request(method, path, query)?.json(body);
        match self.transport.answer(doing, request).await? {
            Answer::Sync(value) => Ok(value),
            Answer::Async(operation) => Ok(self.finished(doing, operation, self.operation_timeout).await?.metadata),
        }
    }

    pub(crate) async fn finished(&self, doing: &str, operation: Operation, timeout: Duration) -> Result<Operation> {
        self.events.watch(&operation.id).finished(doing, operation, timeout).await
    }

    /// Reads an object, lets `edit` change it, and writes it back unless it was changed in between; then again.
    pub(crate) async fn update(
        &self,
        doing: &str,
        path: &[&str],
        query: &[(&str, &str)],
        edit: impl Fn(&mut Value) + Send,
    ) -> Result<()> {
        for _ in 0..UPDATE_ATTEMPTS {
            let read = self.transport.send(doing, self.transport.request(Method::GET, path, query)?).await?;
            let etag = read.headers().get(ETAG).cloned();
            let mut object: Value =
                serde_json::from_slice(read.body()).map_err(|source| Error::malformed(doing, source))?;
            let mut object = object["metadata"].take();
            edit(&mut object);

            let mut request = self.transport.request(Method::PUT, path, query)?.json(&object);
            if let Some(etag) = etag {
                request = request.header(IF_MATCH, etag);
            }
            match self.transport.answer(doing, request).await {
                Ok(Answer::Sync(_)) => return Ok(()),
                Ok(Answer::Async(operation)) => {
                    return self.finished(doing, operation, self.operation_timeout).await.map(drop);
                }
                Err(Error::Refused { status, .. }) if status == StatusCode::PRECONDITION_FAILED.as_u16() => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Contended { doing: doing.to_owned(), attempts: UPDATE_ATTEMPTS })
    }
}

/// Merges changes into the configuration of an object as Incus writes it.
pub(crate) fn merge_config(object: &mut Value, changes: &Changes) {
    if !object["config"].is_object() {
        object["config"] = Value::Object(serde_json::Map::new());
    }
    for (key, value) in changes {
        match value {
            Some(value) => object["config"][key] = Value::from(value.as_str()),
            None => {
                object["config"].as_object_mut().map(|config| config.remove(key));
            }
        }
    }
}

#[async_trait]
impl Incus for Client {
    async fn server(&self) -> Result<Server> {
        projects::server(self).await
    }

    async fn storage_pool(&self, name: &str) -> Result<Option<StoragePool>> {
        volumes::pool(self, name).await
    }

    async fn project(&self, name: &str) -> Result<Option<Project>> {
        projects::get(self, name).await
    }

    async fn create_project(&self, name: &str, config: Config) -> Result<()> {
        projects::create(self, name, config).await
    }

    async fn patch_project_config(&self, name: &str, changes: Changes) -> Result<()> {
        projects::patch(self, name, changes).await
    }

    async fn delete_project(&self, name: &str) -> Result<()> {
        projects::delete(self, name).await
    }

    async fn uplink_mtu(&self) -> Result<Option<u32>> {
        networks::uplink_mtu(self).await
    }

    async fn network(&self, project: &str, name: &str) -> Result<Option<Network>> {
        networks::get(self, project, name).await
    }

    async fn create_network(&self, project: &str, name: &str, config: Config) -> Result<()> {
        networks::create(self, project, name, config).await
    }

    async fn patch_network_config(&self, project: &str, name: &str, changes: Changes) -> Result<()> {
        networks::patch(self, project, name, changes).await
    }

    async fn delete_network(&self, project: &str, name: &str) -> Result<()> {
        networks::delete(self, project, name).await
    }

    async fn profile(&self, project: &str, name: &str) -> Result<Option<Profile>> {
        projects::profile(self, project, name).await
    }

    async fn profiles(&self, project: &str) -> Result<Vec<Profile>> {
        projects::profiles(self, project).await
    }

    async fn create_profile(&self, project: &str, profile: Profile) -> Result<()> {
        projects::create_profile(self, project, profile).await
    }

    async fn put_profile(&self, project: &str, profile: Profile) -> Result<()> {
        projects::put_profile(self, project, profile).await
    }

    async fn patch_profile_config(&self, project: &str, name: &str, changes: Changes) -> Result<()> {
        projects::patch_profile(self, project, name, changes).await
    }

    async fn delete_profile(&self, project: &str, name: &str) -> Result<()> {
        projects::delete_profile(self, project, name).await
    }

    async fn volumes(&self, project: &str, pool: &str) -> Result<Vec<Volume>> {
        volumes::list(self, project, pool).await
    }

    async fn create_volume(&self, project: &str, pool: &str, name: &str, config: Config) -> Result<()> {
        volumes::create(self, project, pool, name, config).await
    }

    async fn patch_volume_config(&self, project: &str, pool: &str, name: &str, changes: Changes) -> Result<()> {
        volumes::patch(self, project, pool, name, changes).await
    }

    async fn delete_volume(&self, project: &str, pool: &str, name: &str) -> Result<()> {
        volumes::delete(self, project, pool, name).await
    }

    async fn image(&self, project: &str, reference: &str) -> Result<Option<Image>> {
        images::get(self, project, reference).await
    }

    async fn images(&self, project: &str) -> Result<Vec<Image>> {
        images::list(self, project).await
    }

    async fn import_image(&self, project: &str, image: NewImage, progress: Option<Progress>) -> Result<String> {
        images::import(self, project, image, progress).await
    }

    async fn publish(&self, project: &str, publish: Publish) -> Result<String> {
        images::publish(self, project, publish).await
    }

    async fn delete_image(&self, project: &str, fingerprint: &str) -> Result<()> {
        images::delete(self, project, fingerprint).await
    }

    async fn instances(&self, project: &str) -> Result<Vec<Instance>> {
        instances::list(self, project).await
    }

    async fn instance(&self, project: &str, name: &str) -> Result<Option<Instance>> {
        instances::get(self, project, name).await
    }

    async fn create_instance(&self, project: &str, new: NewInstance) -> Result<()> {
        instances::create(self, project, new).await
    }

    async fn patch_instance(&self, project: &str, name: &str, patch: InstancePatch) -> Result<()> {
        instances::patch(self, project, name, patch).await
    }

    async fn start(&self, project: &str, name: &str) -> Result<()> {
        instances::change_state(self, project, name, "start", StopMode::Force).await
    }

    async fn stop(&self, project: &str, name: &str, mode: StopMode) -> Result<()> {
        instances::change_state(self, project, name, "stop", mode).await
    }

    async fn restart(&self, project: &str, name: &str, mode: StopMode) -> Result<()> {
        instances::change_state(self, project, name, "restart", mode).await
    }

    async fn freeze(&self, project: &str, name: &str) -> Result<()> {
        instances::change_state(self, project, name, "freeze", StopMode::Force).await
    }

    async fn unfreeze(&self, project: &str, name: &str) -> Result<()> {
        instances::change_state(self, project, name, "unfreeze", StopMode::Force).await
    }

    async fn rebuild(&self, project: &str, name: &str, image: &str) -> Result<()> {
        instances::rebuild(self, project, name, image).await
    }

    async fn delete_instance(&self, project: &str, name: &str) -> Result<()> {
        instances::delete(self, project, name).await
    }

    async fn exec(&self, project: &str, instance: &str, exec: Exec, stdout: mpsc::Sender<Bytes>) -> Result<Exited> {
        exec::run(self, project, instance, exec, stdout).await
    }

    async fn terminal(&self, project: &str, instance: &str, terminal: Terminal) -> Result<Exited> {
        terminal::run(self, project, instance, terminal).await
    }

    async fn push_file(&self, project: &str, instance: &str, path: &str, file: InstanceFile) -> Result<()> {
        files::push(self, project, instance, path, file).await
    }

    async fn pull_file(&self, project: &str, instance: &str, path: &str) -> Result<Option<InstanceFile>> {
        files::pull(self, project, instance, path).await
    }

    async fn delete_file(&self, project: &str, instance: &str, path: &str) -> Result<()> {
        files::delete(self, project, instance, path).await
    }
}
