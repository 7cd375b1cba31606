use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use async_trait::async_trait;
use bascule_engine::{AgentProgram, BaseFiles, BaseImage, Clock, Engine, ImageError, Parallel, Run, Secrets};
use bascule_plan::event::Event;
use bascule_release::{Commit, Context, Folder};
use tokio::sync::mpsc;

use crate::World;

/// How a verb ended.
#[derive(Debug)]
pub struct Ended {
    pub events: Vec<Event>,
    /// The error it ended with, and its causes.
    pub error: Option<String>,
    pub killed: bool,
}

impl Ended {
    pub fn is_ok(&self) -> bool {
        let failed = self.events.iter().any(|event| matches!(event, Event::Summary(summary) if summary.failed > 0));
        self.error.is_none() && !self.killed && !failed
    }

    /// What the summary counts as changed.
    pub fn changed(&self) -> u64 {
        let summaries = self.events.iter().filter_map(|event| match event {
            Event::Summary(summary) => Some(summary.changed),
            _ => None,
        });
        summaries.sum()
    }
}

impl World {
    pub async fn plan(&mut self) -> Ended {
        self.verb(async |world, run| {
            let facts = bascule_release::observe(run.incus(), &world.platform).await.map_err(told)?;
            let plan = bascule_roles::up(&world.platform, &facts).map_err(told)?;
            run.plan(&plan).await.map(drop).map_err(told)
        })
        .await
    }

    pub async fn up(&mut self) -> Ended {
        self.verb(async |world, run| {
            let facts = bascule_release::observe(run.incus(), &world.platform).await.map_err(told)?;
            let plan = bascule_roles::up(&world.platform, &facts).map_err(told)?;
            run.converge(&plan).await.map(drop).map_err(told)
        })
        .await
    }

    /// Builds the commit's artifacts and deploys it.
    pub async fn deploy(&mut self, commit: &str) -> Ended {
        self.artifacts.build(&self.platform, commit);
        let commit: Commit = commit.parse().expect("a commit");
        self.verb(async |world, run| {
            let context = Context { platform: &world.platform, run, who: "ada@laptop".to_owned() };
            bascule_release::deploy(&context, &commit).await.map_err(told)
        })
        .await
    }

    pub async fn rollback(&mut self) -> Ended {
        self.verb(async |world, run| {
            let context = Context { platform: &world.platform, run, who: "ada@laptop".to_owned() };
            bascule_release::rollback(&context).await.map_err(told)
        })
        .await
    }

    async fn verb(&mut self, body: impl AsyncFnOnce(&Self, &Run) -> Result<(), String>) -> Ended {
        let kill_after = self.kill_after.take();
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let run = self.engine().run(&self.platform.incus.project, sender);
        let mut events = Vec::new();
        let ended = {
            let mut body = pin!(body(self, &run));
            loop {
                tokio::select! {
                    biased;
                    event = receiver.recv() => events.extend(event),
                    ended = &mut body => break Some(ended),
                }
                if kill_after.is_some_and(|kill_after| events.len() > kill_after) {
                    break None;
                }
            }
        };
        if ended.is_some() {
            run.emit(Event::Summary(run.summary(true)));
        }
        drop(run);
        while let Some(event) = receiver.recv().await {
            events.push(event);
        }
        Ended { events, killed: ended.is_none(), error: ended.and_then(Result::err) }
    }

    fn engine(&self) -> Engine {
        Engine {
            incus: Arc::new(self.incus.clone()),
            agent: AgentProgram::new("the agent".into()),
            secrets: Arc::new(NamedSecrets),
            blobs: Arc::new(Folder(self.platform.release.artifacts.clone())),
            base: Arc::new(EmptyBase),
            clock: Arc::new(StoppedClock),
            parallel: Parallel::default(),
            generation: None,
        }
    }
}

/// An error with its causes, as one line.
fn told(error: impl std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Every secret has a value that says which it is.
#[derive(Debug)]
struct NamedSecrets;

impl Secrets for NamedSecrets {
    fn value(&self, name: &str) -> Result<String, String> {
        Ok(format!("the value of {name}"))
    }
}

#[derive(Debug)]
struct EmptyBase;

#[async_trait]
impl BaseImage for EmptyBase {
    fn alias(&self) -> String {
        "bascule/base".to_owned()
    }

    fn properties(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    async fn make(&self, _: &(dyn Fn(String) + Sync)) -> Result<BaseFiles, ImageError> {
        Ok(BaseFiles { metadata: "meta.tar".into(), rootfs: "rootfs.tar.zst".into() })
    }
}

/// In this world no time passes.
#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn monotonic_ms(&self) -> u64 {
        0
    }

    fn unix_ms(&self) -> i64 {
        1_700_000_000_000
    }
}
