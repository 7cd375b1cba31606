use bascule_incus::{Error as IncusError, Status, StopMode};
use bascule_plan::Line;
use bascule_plan::agent::Outcome;
use bascule_plan::event::ThingKind;
use futures_util::stream::{self, StreamExt};

use crate::check::Thing;
use crate::world::NETWORK_PROJECT;
use crate::{EngineError, Run};

/// Proof that a person named the environment that is to be destroyed. Nothing is destroyed without one.
#[derive(Debug)]
pub struct Destroy(());

impl Destroy {
    /// The token, if the name that was given is the environment's.
    pub fn confirmed(environment: &str, named: Option<&str>) -> Option<Self> {
        (named == Some(environment)).then_some(Self(()))
    }
}

impl Run {
    /// Destroys the project with its instances and volumes, and its bridge. What is gone already is no error; images
    /// stay, as a cache. The project goes last, and the lock with it.
    pub async fn destroy(&self, bridge: &str, pool: &str, _proof: Destroy) -> Result<(), EngineError> {
        let incus = &self.engine.incus;
        let project = self.project.as_str();
        let exists = incus.project(project).await?.is_some();
        if exists {
            let names: Vec<String> =
                incus.instances(project).await?.into_iter().map(|instance| instance.name).collect();
            let destroyed = names.iter().map(|name| self.destroy_instance(name));
            let destroyed: Vec<Result<(), EngineError>> =
                stream::iter(destroyed).buffer_unordered(self.engine.parallel.machines).collect().await;
            destroyed.into_iter().collect::<Result<(), _>>()?;
            for volume in incus.volumes(project, pool).await? {
                incus.delete_volume(project, pool, &volume.name).await?;
            }
        }
        let ours = incus.network(self.shows_shared(exists), bridge).await?.filter(|network| self.owns(&network.config));
        if ours.is_some() {
            incus.delete_network(NETWORK_PROJECT, bridge).await?;
            self.destroyed(ThingKind::Network, bridge, 0);
        }
        if exists {
            self.destroy_project().await?;
        }
        Ok(())
    }

    /// Destroys instances, with the volumes that are called after them. What is gone already is no error.
    pub async fn destroy_instances(&self, names: &[String], pool: &str, _proof: Destroy) -> Result<(), EngineError> {
        let incus = &self.engine.incus;
        let project = self.project.as_str();
        for name in names {
            self.destroy_instance(name).await?;
            for volume in incus.volumes(project, pool).await?.iter().filter(|volume| owner(&volume.name) == Some(name))
            {
                incus.delete_volume(project, pool, &volume.name).await?;
            }
        }
        Ok(())
    }

    /// The profiles, the lock's own among them, and the project. The fence would not let the lock's go.
    async fn destroy_project(&self) -> Result<(), EngineError> {
        let (incus, project) = (self.unfenced(), self.project.as_str());
        for profile in incus.profiles(project).await? {
            if profile.name != "default" {
                incus.delete_profile(project, &profile.name).await?;
            }
        }
        match incus.delete_project(project).await {
            Ok(()) => self.destroyed(ThingKind::Project, project, 0),
            Err(IncusError::Refused { status: 403, .. }) => self.note(format!(
                "the empty project {project} and its bridge stay: they are its host's, and this certificate may not remove them"
            )),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn destroy_instance(&self, name: &str) -> Result<(), EngineError> {
        let (incus, project) = (&self.engine.incus, self.project.as_str());
        let began_ms = self.now_ms();
        let doing = |source: IncusError| EngineError::Doing { doing: format!("destroying {name} failed"), source };
        match incus.instance(project, name).await.map_err(doing)?.map(|instance| instance.status) {
            None => return Ok(()),
            Some(Status::Stopped) => {}
            Some(_) => incus.stop(project, name, StopMode::Force).await.map_err(doing)?,
        }
        incus.delete_instance(project, name).await.map_err(doing)?;
        self.destroyed(ThingKind::Instance, name, self.now_ms() - began_ms);
        Ok(())
    }

    /// Removes an instance that says of itself that it lives for a run only, by `mark` in its configuration, and the volumes
    /// that a plan gives it. One that does not say so is left alone, as a failure.
    pub async fn discard(&self, pool: &str, line: &Line, mark: &str) -> Result<(), EngineError> {
        let (incus, project, name) = (&self.engine.incus, self.project.as_str(), line.instance.as_str());
        let doing = |source: IncusError| EngineError::Doing { doing: format!("removing {name} failed"), source };
        if let Some(found) = incus.instance(project, name).await.map_err(doing)? {
            if !found.config.contains_key(mark) {
                return Err(EngineError::World {
                    what: format!("there is an instance {name} that no run of this tool made for a while"),
                    hint: format!("move what is on it, and remove it: nothing else may have the name {name}"),
                });
            }
            self.destroy_instance(name).await?;
        }
        for volume in line.machine.iter().flat_map(|machine| &machine.volumes) {
            match incus.delete_volume(project, pool, &volume.name).await {
                Ok(()) | Err(IncusError::NotFound { .. }) => {}
                Err(error) => return Err(doing(error)),
            }
        }
        Ok(())
    }

    fn destroyed(&self, kind: ThingKind, name: &str, duration_ms: u64) {
        let reason = "destroyed".to_owned();
        self.thing(Thing { kind, name: name.to_owned(), outcome: Outcome::Changed, reason }, duration_ms);
    }
}

/// The instance that a volume is called after: `pg-1` has `pg-1-data`.
fn owner(volume: &str) -> Option<&str> {
    volume.rsplit_once('-').map(|(instance, _)| instance)
}
