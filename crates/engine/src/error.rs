use std::error::Error as _;

use bascule_incus::Error as IncusError;
use bascule_plan::PlanError;
use bascule_plan::agent::Evidence;
use bascule_plan::event::Failure;

use crate::{AgentError, ImageError};

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("Incus refused or could not be reached")]
    Incus(#[from] IncusError),
    #[error("{doing}")]
    Doing { doing: String, source: IncusError },
    #[error("the agent on {instance} could not do its work")]
    Agent { instance: String, source: AgentError },
    #[error("the image for {packages} could not be made")]
    Image { packages: String, source: ImageError },
    #[error("the artifact {name} is not at hand: {message}")]
    Blob { name: String, message: String },
    #[error("{instance} did not come up: {message}")]
    Boot { instance: String, message: String },
    #[error("{what}")]
    World { what: String, hint: String },
    #[error("the plan contradicts itself: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Plan(Vec<PlanError>),
}

impl EngineError {
    /// The error as an event: its message, its chain of causes, its evidence, and what to try.
    pub fn into_failure(self) -> Failure {
        let mut causes = Vec::new();
        let mut source = self.source();
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        let evidence = match &self {
            Self::Agent { source: AgentError::Cut { stderr, .. }, .. } if !stderr.trim().is_empty() => {
                Evidence { last_answer: Some(stderr.trim().to_owned()), ..Evidence::default() }
            }
            _ => Evidence::default(),
        };
        Failure { message: self.to_string(), causes, evidence, hint: self.hint(), ..Failure::default() }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Agent { source: AgentError::Cut { .. }, .. } => {
                Some("the instance was stopped or the agent was killed; run this again".to_owned())
            }
            Self::Agent { source: AgentError::Host(error), .. } => error.hint(),
            Self::World { hint, .. } => Some(hint.clone()),
            Self::Boot { instance, .. } => {
                Some(format!("look at its log with `bascule logs {instance}`, then run this again"))
            }
            _ => None,
        }
    }
}
