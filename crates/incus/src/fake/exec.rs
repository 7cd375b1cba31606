//! Commands in instances: they take their time, and may outlive whoever asked for them.

use bytes::Bytes;
use tokio::sync::mpsc;

use super::under_way::{lost, pass};
use super::{Call, Command, FakeExit, FakeIncus, Fault};
use crate::{Error, Result};

impl FakeIncus {
    /// Runs a command to its end, unless a fault has other plans. Its last output is in what is returned.
    pub(super) async fn run(&self, call: Call, command: Command) -> Result<FakeExit> {
        let doing = call.to_string();
        let travel = self.faults.travel(&call);
        pass(travel.there).await;
        let fault = self.faults.before(&call);
        if let Fault::Error(message) = fault {
            return Err(Error::Refused { doing, status: 500, message });
        }
        self.world().check_running(&doing, &command.project, &command.instance)?;
        let exit = match fault {
            Fault::Cut(pieces) => return self.cut_off(&call, &doing, command, pieces).await,
            Fault::Twice => {
                let unheard = Command { stdout: mpsc::channel(1).0, ..again(&command) };
                self.handler.exec(unheard).await;
                self.handler.exec(command).await
            }
            _ => self.handler.exec(command).await,
        };
        self.faults.after(&call);
        pass(travel.back).await;
        if fault == Fault::Lost { Err(lost(&doing)) } else { Ok(exit) }
    }

    /// The command goes on by itself; of its output only the first pieces are heard.
    async fn cut_off(&self, call: &Call, doing: &str, command: Command, pieces: usize) -> Result<FakeExit> {
        let (stdout, mut heard) = mpsc::channel::<Bytes>(1);
        let told = command.stdout.clone();
        let (this, call) = (self.clone(), call.clone());
        tokio::spawn(async move {
            this.handler.exec(Command { stdout, ..command }).await;
            this.faults.after(&call);
        });
        for _ in 0..pieces {
            let Some(piece) = heard.recv().await else { break };
            // Who asked may have stopped listening.
            let _ = told.send(piece).await;
        }
        // As on a real one, what nobody takes any more is discarded, and holds the command back no longer.
        tokio::spawn(async move { while heard.recv().await.is_some() {} });
        Err(lost(doing))
    }
}

fn again(command: &Command) -> Command {
    Command {
        project: command.project.clone(),
        instance: command.instance.clone(),
        argv: command.argv.clone(),
        stdin: command.stdin.clone(),
        stdout: command.stdout.clone(),
    }
}
