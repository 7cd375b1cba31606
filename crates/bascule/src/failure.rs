//! Every error a verb can end with: what to print, and the exit code.

use std::error::Error;
use std::process::ExitCode;

use bascule_engine::{AgentError, EngineError, HostError, ImageError, LockError};
use bascule_incus::{Error as IncusError, Unreachable};
use bascule_pki::PkiError;
use bascule_plan::event::Failure;
use bascule_release::ReleaseError;
use bascule_roles::RoleError;
use bascule_secrets::SecretsError;
use bascule_spec::Diagnostics;

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

/// What each code means, for `--help`, the man pages and the book.
pub(crate) const EXIT_CODES: [(u8, &str); 5] = [
    (0, "Done."),
    (1, "Failed. What failed is told with its evidence; a release that was rolled back has failed, too."),
    (2, "The input or the environment is wrong. Nothing of the environment was touched."),
    (3, "A needed tool or host is missing. Nothing of the environment was touched; `bascule doctor` tells more."),
    (130, "Interrupted by Ctrl-C. What was begun, the next run finishes."),
];

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
    #[error("the environment's own authority cannot be made")]
    Authority(#[from] PkiError),
    #[error("the certificate of {whose} cannot be made")]
    ClientCertificate { whose: &'static str, source: PkiError },
    #[error(transparent)]
    Release(#[from] ReleaseError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Incus(#[from] IncusError),
    #[error(transparent)]
    Role(#[from] RoleError),
    #[error(transparent)]
    Host(#[from] HostError),
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
            Self::Secrets(SecretsError::Unwritten { .. } | SecretsError::Encrypt(_) | SecretsError::Random(_)) => {
                Exit::Failed
            }
            Self::Platform(_)
            | Self::Usage { .. }
            | Self::Secrets(_)
            | Self::Authority(_)
            | Self::ClientCertificate { .. } => Exit::Input,
            Self::Release(error) => match error {
                ReleaseError::Artifact(_)
                | ReleaseError::NotUp { .. }
                | ReleaseError::SecretNotBrought { .. }
                | ReleaseError::Role(RoleError::OtherStore { .. } | RoleError::OtherFormation { .. })
                | ReleaseError::NothingToRollBackTo { .. }
                | ReleaseError::Addresses(_) => Exit::Input,
                _ => Exit::Failed,
            },
            Self::Engine(EngineError::World { .. }) => Exit::Input,
            Self::Engine(EngineError::Image { source: ImageError::Base { missing_tool: true, .. }, .. }) => {
                Exit::Missing
            }
            Self::Host(error) => match error {
                HostError::Unreachable { .. } | HostError::NoProgram { .. } | HostError::Timeout { .. } => {
                    Exit::Missing
                }
                _ => Exit::Input,
            },
            Self::Role(_) => Exit::Input,
            Self::Engine(_) | Self::Lock(_) | Self::Incus(_) => Exit::Failed,
        }
    }

    /// The same of a run that had changed or tried something before: then it is never one that touched nothing.
    pub(crate) fn exit_after(&self, touched: bool) -> Exit {
        match self.exit() {
            Exit::Input | Exit::Missing if touched => Exit::Failed,
            exit => exit,
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

    pub(crate) fn hint(&self) -> Option<String> {
        if let Some(IncusError::Unreachable { why, .. }) = self.incus() {
            let hint = match why {
                Unreachable::NoSocket => "is Incus installed on this machine? [incus] socket names another path",
                Unreachable::Refused => "start the daemon: systemctl start incus",
                Unreachable::PermissionDenied => "run as root, or join the group incus-admin",
                Unreachable::OtherCertificate => {
                    "if its certificate was made anew, `bascule host up` brings the new one; if not, somebody is in between"
                }
                Unreachable::Other => "is the daemon healthy? see its log",
            };
            return Some(hint.to_owned());
        }
        if let Some(IncusError::Refused { status: 403, .. }) = self.incus() {
            let hint = "this client's certificate is not trusted with that: `bascule host up` makes what an environment needs \
                        on its host, and trusts the certificate with it";
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
            Self::Secrets(error) => return error.hint(),
            Self::Host(error) => return error.hint(),
            Self::Role(RoleError::OtherStore { .. }) | Self::Release(ReleaseError::Role(RoleError::OtherStore { .. })) => {
                "put [store] instances and parity back: they are chosen once. A store of another shape is another environment's; \
                 `bascule store migrate` there moves buckets over"
                    .to_owned()
            }
            Self::Role(RoleError::OtherFormation { .. })
            | Self::Release(ReleaseError::Role(RoleError::OtherFormation { .. })) => {
                "set `formation` in [postgres] to the one that is there (nodes of the first one are pg-1, pg-2; of `r1` pg-r1-1…), \
                 or make it: `bascule restore --formation NAME`"
                    .to_owned()
            }
            Self::Role(RoleError::LockedOut { .. }) => {
                "add the network that you come from to [ssh] allow_from, or come from one that is there".to_owned()
            }
            Self::Incus(IncusError::Credential { .. }) => "is it the right file, and whole?".to_owned(),
            Self::Release(ReleaseError::NotUp { .. }) => "run `bascule up` first".to_owned(),
            Self::Release(ReleaseError::SecretNotBrought { .. }) => {
                "run `bascule up` first: services get to know a new secret before anybody comes with it".to_owned()
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_touched_something_never_says_that_nothing_was_touched() {
        let missing = || {
            let why = Unreachable::NoSocket;
            Failed::Incus(IncusError::Unreachable { address: "/the/socket".into(), why, source: "gone".into() })
        };
        assert_eq!([missing().exit_after(false), missing().exit_after(true)], [Exit::Missing, Exit::Failed]);
        let input = || Failed::usage("the file cannot be written", "make room");
        assert_eq!([input().exit_after(false), input().exit_after(true)], [Exit::Input, Exit::Failed]);
    }
}
