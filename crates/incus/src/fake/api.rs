use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::world::DEFAULT;
use super::{Command, FakeIncus};
use crate::api::Incus;
use crate::types::{
    Changes, Config, Exec, Exited, Image, Instance, InstanceFile, InstancePatch, Network, NewImage, NewInstance,
    Profile, Progress, Project, Publish, STDERR_TAIL_BYTES, Server, Status, Stdin, StopMode, StoragePool, Terminal,
    TerminalInput, Transferred, Volume,
};
use crate::{Error, Result};

#[async_trait]
impl Incus for FakeIncus {
    async fn server(&self) -> Result<Server> {
        let server = Server { version: "6.0.4".to_owned(), api_extensions: BTreeSet::new() };
        self.read("server", "", "", |_| server).await
    }

    async fn storage_pool(&self, name: &str) -> Result<Option<StoragePool>> {
        let pool = (name == DEFAULT).then(|| StoragePool { name: name.to_owned(), driver: "btrfs".to_owned() });
        self.read("storage-pool", "", name, |_| pool).await
    }

    async fn project(&self, name: &str) -> Result<Option<Project>> {
        let project = |config: &Config| Project { name: name.to_owned(), config: config.clone() };
        self.read("project", "", name, |world| world.projects.get(name).map(project)).await
    }

    async fn create_project(&self, name: &str, config: Config) -> Result<()> {
        let call = self.log("create-project", "", name, "");
        self.change(call, |doing| self.world().create_project(doing, name, config.clone())).await
    }

    async fn patch_project_config(&self, name: &str, changes: Changes) -> Result<()> {
        let call = self.log("patch-project", "", name, "");
        self.change(call, |doing| self.world().patch_project(doing, name, &changes)).await
    }

    async fn delete_project(&self, name: &str) -> Result<()> {
        let call = self.log("delete-project", "", name, "");
        self.change(call, |doing| self.world().delete_project(doing, name)).await
    }

    async fn uplink_mtu(&self) -> Result<Option<u32>> {
        Ok(Some(1500))
    }

    async fn network(&self, project: &str, name: &str) -> Result<Option<Network>> {
        self.read("network", project, name, |world| world.network(project, name)).await
    }

    async fn create_network(&self, project: &str, name: &str, config: Config) -> Result<()> {
        let call = self.log("create-network", project, name, "");
        self.change(call, |doing| self.world().create_network(doing, project, name, config.clone())).await
    }

    async fn patch_network_config(&self, project: &str, name: &str, changes: Changes) -> Result<()> {
        let call = self.log("patch-network", project, name, "");
        self.change(call, |doing| self.world().patch_network(doing, project, name, &changes)).await
    }

    async fn delete_network(&self, project: &str, name: &str) -> Result<()> {
        let call = self.log("delete-network", project, name, "");
        self.change(call, |doing| self.world().delete_network(doing, project, name)).await
    }

    async fn profile(&self, project: &str, name: &str) -> Result<Option<Profile>> {
        let profiles = self.read("profile", project, name, |world| world.profiles(project)).await?;
        Ok(profiles.into_iter().find(|profile| profile.name == name))
    }

    async fn profiles(&self, project: &str) -> Result<Vec<Profile>> {
        self.read("list-profiles", project, "", |world| world.profiles(project)).await
    }

    async fn create_profile(&self, project: &str, profile: Profile) -> Result<()> {
        let call = self.log("create-profile", project, &profile.name, "");
        self.change(call, |doing| self.world().create_profile(doing, project, profile.clone())).await
    }

    async fn put_profile(&self, project: &str, profile: Profile) -> Result<()> {
        let call = self.log("put-profile", project, &profile.name, "");
        self.change(call, |doing| self.world().put_profile(doing, project, profile.clone())).await
    }

    async fn patch_profile_config(&self, project: &str, name: &str, changes: Changes) -> Result<()> {
        let keys: Vec<&str> = changes.keys().map(String::as_str).collect();
        let call = self.log("patch-profile", project, name, &keys.join(" "));
        self.change(call, |doing| self.world().patch_profile(doing, project, name, &changes)).await
    }

    async fn delete_profile(&self, project: &str, name: &str) -> Result<()> {
        let call = self.log("delete-profile", project, name, "");
        self.change(call, |doing| self.world().delete_profile(doing, project, name)).await
    }

    async fn volumes(&self, project: &str, pool: &str) -> Result<Vec<Volume>> {
        self.read("list-volumes", project, pool, |world| world.volumes(project, pool)).await
    }

    async fn create_volume(&self, project: &str, pool: &str, name: &str, config: Config) -> Result<()> {
        let call = self.log("create-volume", project, name, pool);
        self.change(call, |doing| self.world().create_volume(doing, project, pool, name, config.clone())).await
    }

    async fn patch_volume_config(&self, project: &str, pool: &str, name: &str, changes: Changes) -> Result<()> {
        let call = self.log("patch-volume", project, name, pool);
        self.change(call, |doing| self.world().patch_volume(doing, project, pool, name, &changes)).await
    }

    async fn delete_volume(&self, project: &str, pool: &str, name: &str) -> Result<()> {
        let call = self.log("delete-volume", project, name, pool);
        self.change(call, |doing| self.world().delete_volume(doing, project, pool, name)).await
    }

    async fn image(&self, project: &str, reference: &str) -> Result<Option<Image>> {
        self.read("image", project, reference, |world| world.image(project, reference)).await
    }

    async fn images(&self, project: &str) -> Result<Vec<Image>> {
        self.read("list-images", project, "", |world| world.images(project)).await
    }

    async fn import_image(&self, project: &str, image: NewImage, progress: Option<Progress>) -> Result<String> {
        let call = self.log("import-image", project, &image.alias, "");
        if let Some(progress) = progress {
            progress(Transferred { sent_bytes: 1, total_bytes: 1 });
        }
        self.change(call, |doing| self.world().import_image(doing, project, &image.alias, image.properties.clone()))
            .await
    }

    async fn publish(&self, project: &str, publish: Publish) -> Result<String> {
        let call = self.log("publish", project, &publish.instance, &publish.alias);
        let act = |doing: &str| {
            let image = self.world().publish(doing, project, &publish)?;
            self.handler.published(project, &publish.instance, &image);
            Ok(image.fingerprint)
        };
        self.change(call, act).await
    }

    async fn delete_image(&self, project: &str, fingerprint: &str) -> Result<()> {
        let call = self.log("delete-image", project, fingerprint, "");
        self.change(call, |doing| self.world().delete_image(doing, project, fingerprint)).await
    }

    async fn instances(&self, project: &str) -> Result<Vec<Instance>> {
        self.read("list-instances", project, "", |world| world.instances(project)).await
    }

    async fn instance(&self, project: &str, name: &str) -> Result<Option<Instance>> {
        self.read("instance", project, name, |world| world.instance(project, name)).await
    }

    async fn create_instance(&self, project: &str, new: NewInstance) -> Result<()> {
        let call = self.log("create-instance", project, &new.name, &new.image);
        let act = |doing: &str| {
            let image = self.image_of(project, &new.image, doing)?;
            self.world().create_instance(doing, project, &new, &image)?;
            self.handler.created(project, &new.name, &image);
            if new.start {
                self.world().start(doing, project, &new.name)?;
                self.handler.started(project, &new.name);
            }
            Ok(())
        };
        self.change(call, act).await
    }

    async fn patch_instance(&self, project: &str, name: &str, patch: InstancePatch) -> Result<()> {
        let call = self.log("patch-instance", project, name, "");
        self.change(call, |doing| self.world().patch_instance(doing, project, name, &patch)).await
    }

    async fn start(&self, project: &str, name: &str) -> Result<()> {
        let call = self.log("start", project, name, "");
        let act = |doing: &str| {
            self.world().start(doing, project, name)?;
            self.handler.started(project, name);
            Ok(())
        };
        self.change(call, act).await
    }

    async fn stop(&self, project: &str, name: &str, mode: StopMode) -> Result<()> {
        let call = self.log("stop", project, name, "");
        let act = |doing: &str| {
            self.world().stop(doing, project, name)?;
            self.handler.stopped(project, name, mode);
            Ok(())
        };
        self.change(call, act).await
    }

    async fn restart(&self, project: &str, name: &str, mode: StopMode) -> Result<()> {
        let call = self.log("restart", project, name, "");
        let act = |doing: &str| {
            self.world().stop(doing, project, name)?;
            self.handler.stopped(project, name, mode);
            self.world().start(doing, project, name)?;
            self.handler.started(project, name);
            Ok(())
        };
        self.change(call, act).await
    }

    async fn freeze(&self, project: &str, name: &str) -> Result<()> {
        let call = self.log("freeze", project, name, "");
        self.change(call, |doing| self.world().freeze(doing, project, name, Status::Frozen)).await
    }

    async fn unfreeze(&self, project: &str, name: &str) -> Result<()> {
        let call = self.log("unfreeze", project, name, "");
        self.change(call, |doing| self.world().freeze(doing, project, name, Status::Running)).await
    }

    async fn rebuild(&self, project: &str, name: &str, image: &str) -> Result<()> {
        let call = self.log("rebuild", project, name, image);
        let act = |doing: &str| {
            let image = self.image_of(project, image, doing)?;
            self.world().rebuild(doing, project, name, &image)?;
            self.handler.rebuilt(project, name, &image);
            Ok(())
        };
        self.change(call, act).await
    }

    async fn delete_instance(&self, project: &str, name: &str) -> Result<()> {
        let call = self.log("delete-instance", project, name, "");
        let act = |doing: &str| {
            self.world().delete_instance(doing, project, name)?;
            self.handler.deleted(project, name);
            Ok(())
        };
        self.change(call, act).await
    }

    async fn exec(&self, project: &str, instance: &str, exec: Exec, stdout: mpsc::Sender<Bytes>) -> Result<Exited> {
        let call = self.log("exec", project, instance, &exec.argv.join(" "));
        let stdin = match exec.stdin {
            Stdin::Bytes(bytes) => bytes.to_vec(),
            Stdin::Stream(mut chunks) => {
                let mut stdin = Vec::new();
                while let Some(chunk) = chunks.recv().await {
                    stdin.extend_from_slice(&chunk);
                }
                stdin
            }
        };
        let (project, instance) = (project.to_owned(), instance.to_owned());
        let command = Command { project, instance, argv: exec.argv, stdin, stdout: stdout.clone() };
        let exit = self.run(call, command).await?;
        if !exit.stdout.is_empty() {
            // As on a real one, what nobody takes is discarded.
            let _ = stdout.send(exit.stdout.into()).await;
        }
        let tail = &exit.stderr[exit.stderr.len().saturating_sub(STDERR_TAIL_BYTES)..];
        Ok(Exited { code: exit.code, stderr_tail: String::from_utf8_lossy(tail).into_owned() })
    }

    async fn terminal(&self, project: &str, instance: &str, mut terminal: Terminal) -> Result<Exited> {
        let call = self.log("terminal", project, instance, &terminal.argv.join(" "));
        let mut typed = Vec::new();
        while let Some(input) = terminal.input.recv().await {
            if let TerminalInput::Bytes(bytes) = input {
                typed.extend_from_slice(&bytes);
            }
        }
        let (project, instance) = (project.to_owned(), instance.to_owned());
        let (argv, stdout) = (terminal.argv, terminal.output.clone());
        let exit = self.run(call, Command { project, instance, argv, stdin: typed, stdout }).await?;
        let _ = terminal.output.send([exit.stdout, exit.stderr].concat().into()).await;
        Ok(Exited { code: exit.code, stderr_tail: String::new() })
    }

    async fn push_file(&self, project: &str, instance: &str, path: &str, file: InstanceFile) -> Result<()> {
        let call = self.log("push-file", project, instance, path);
        let act = |doing: &str| {
            self.world().existing(doing, project, instance)?;
            let pushed = self.handler.push_file(project, instance, path, file.clone());
            pushed.map_err(|message| Error::answered(doing, 400, &message))
        };
        self.change(call, act).await
    }

    async fn pull_file(&self, project: &str, instance: &str, path: &str) -> Result<Option<InstanceFile>> {
        self.log("pull-file", project, instance, path);
        tokio::task::yield_now().await;
        if self.world().instance(project, instance).is_none() {
            return Ok(None);
        }
        Ok(self.handler.pull_file(project, instance, path))
    }

    async fn delete_file(&self, project: &str, instance: &str, path: &str) -> Result<()> {
        let call = self.log("delete-file", project, instance, path);
        let act = |doing: &str| {
            self.world().existing(doing, project, instance)?;
            let deleted = self.handler.delete_file(project, instance, path);
            if deleted { Ok(()) } else { Err(Error::answered(doing, 404, "Not Found")) }
        };
        self.change(call, act).await
    }
}
