//! Every error a verb can end with: what to print, and the exit code.

use std::error::Error;
use std::process::ExitCode;

use bascule_engine::{AgentError, EngineError, ImageError, LockError};
use bascule_incus::{Error as IncusError, Unreachable};
use bascule_plan::event::Failure;
use bascule_release::ReleaseError;
use bascule_spec::Diagnostics;

use crate::secrets::SecretsError;

/// How a verb ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Done,
    Failed,
    /// The input or the environment is wrong; nothing was touched.
    Input,
    /// A needed tool or host is missing; nothing was touched.
    Missing,
    Interrupted,
    /// What a command on an instance exited with.
    Code(u8),
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Input => 2,
            Exit::Missing => 3,
            Exit::Interrupted => 130,
            Exit::Code(code) => code,
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("the platform file is not sound")]
    Platform(#[from] Diagnostics),
    #[error("{message}")]
    Usage { message: String, hint: String },
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Incus(#[from] IncusError),
}

impl Failed {
    pub(crate) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    pub(crate) fn exit(&self) -> Exit {
        if let Some(IncusError::Unreachable { .. }) = self.incus() {
            return Exit::Missing;
        }
        match self {
            Self::Platform(_) | Self::Usage { .. } | Self::Secrets(_) => Exit::Input,
            Self::Release(error) => match error {
                ReleaseError::Artifact(_)
                | ReleaseError::NotUp { .. }
                | ReleaseError::NothingToRollBackTo { .. }
                | ReleaseError::Addresses(_) => Exit::Input,
                _ => Exit::Failed,
            },
            Self::Engine(EngineError::World { .. }) => Exit::Input,
            Self::Engine(EngineError::Image { source: ImageError::Base { missing_tool: true, .. }, .. }) => {
                Exit::Missing
            }
            Self::Engine(_) | Self::Lock(_) | Self::Incus(_) => Exit::Failed,
        }
    }

    /// The error as an event, with its chain of causes and what to try.
    pub(crate) fn into_failure(self) -> Failure {
        let hint = self.hint();
        if let Self::Engine(error) | Self::Release(ReleaseError::Engine(error)) = self {
            let failure = error.into_failure();
            return Failure { hint: failure.hint.clone().or(hint), ..failure };
        }
        let mut causes = Vec::new();
        let mut source = self.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        Failure { message: self.to_string(), causes, hint, ..Failure::default() }
    }

    fn hint(&self) -> Option<String> {
        if let Some(IncusError::Unreachable { why, .. }) = self.incus() {
            let hint = match why {
                Unreachable::NoSocket => "is Incus installed on this machine? [incus] socket names another path",
                Unreachable::Refused => "start the daemon: systemctl start incus",
                Unreachable::PermissionDenied => "run as root, or join the group incus-admin",
                Unreachable::Other => "is the daemon healthy? see its log",
            };
            return Some(hint.to_owned());
        }
        let hint = match self {
            Self::Usage { hint, .. } => hint.clone(),
            Self::Lock(LockError::Held { .. }) => {
                "wait for it with --lock-wait 10m; `bascule unlock` tells what to do about a holder that is stuck"
                    .to_owned()
            }
            Self::Lock(LockError::Lost(_)) => {
                "whoever took it says why; `bascule up` finishes what was begun here".to_owned()
            }
            Self::Secrets(error) => error.hint(),
            Self::Release(ReleaseError::NotUp { .. }) => "run `bascule up` first".to_owned(),
            Self::Release(ReleaseError::Artifact(_)) => {
                "build the release first, or name another folder in [release] artifacts".to_owned()
            }
            Self::Release(ReleaseError::NothingToRollBackTo { .. }) => {
                "`bascule history` shows what there was; `bascule deploy COMMIT` puts any of it back".to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }

    /// The error of Incus below, where that is what it is.
    fn incus(&self) -> Option<&IncusError> {
        let engine = |error| match error {
            &EngineError::Incus(ref error) | &EngineError::Doing { source: ref error, .. } => Some(error),
            &EngineError::Agent { source: AgentError::Incus(ref error), .. } => Some(error),
            _ => None,
        };
        match self {
            Self::Incus(error) | Self::Lock(LockError::Incus(error)) | Self::Release(ReleaseError::Incus(error)) => {
                Some(error)
            }
            Self::Engine(error) | Self::Release(ReleaseError::Engine(error)) => engine(error),
            _ => None,
        }
    }
}
