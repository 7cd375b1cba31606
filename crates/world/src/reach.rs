//! The way to the hosts, in place of SSH: as with that, a command outlives the connection it came by, until it has
//! something to say and nobody is there to hear it.

use std::sync::Arc;

use async_trait::async_trait;
use bascule_engine::{AgentError, Call, HostError, Reach};
use bascule_incus::Exited;
use bytes::Bytes;
use tokio::sync::mpsc;

use crate::machines::Machines;

#[derive(Debug)]
pub(crate) struct Hosts(pub(crate) Arc<Machines>);

#[async_trait]
impl Reach for Hosts {
    async fn exec(&self, host: &str, call: Call, stdout: mpsc::Sender<Bytes>) -> Result<Exited, AgentError> {
        let travel = self.0.chaos.travel();
        let breaks_after = self.0.chaos.breaks_after();
        tokio::time::sleep(travel.there).await;
        let (sender, mut pieces) = mpsc::channel::<Bytes>(1);
        let (machines, name) = (self.0.clone(), host.to_owned());
        let command = tokio::spawn(async move { machines.run(&name, &call.argv, &call.stdin, &sender).await });
        let mut heard = 0;
        while breaks_after != Some(heard)
            && let Some(piece) = pieces.recv().await
        {
            heard += 1;
            // Who asked may have stopped listening.
            let _ = stdout.send(piece).await;
        }
        if breaks_after == Some(heard) {
            let (host, address) = (host.to_owned(), String::new());
            return Err(HostError::Unreachable { host, address, message: "the connection broke".to_owned() }.into());
        }
        let exit = command.await.expect("a modelled command ends");
        let _ = stdout.send(exit.stdout.into()).await;
        tokio::time::sleep(travel.back).await;
        Ok(Exited { code: exit.code, stderr_tail: String::from_utf8_lossy(&exit.stderr).into_owned() })
    }

    /// No plan for hosts brings archives.
    async fn make_directory(&self, host: &str, _: &str, _: u32) -> Result<(), AgentError> {
        Err(HostError::Unknown { host: host.to_owned() }.into())
    }

    async fn put_file(&self, host: &str, _: &str, _: Bytes, _: u32) -> Result<(), AgentError> {
        Err(HostError::Unknown { host: host.to_owned() }.into())
    }
}
