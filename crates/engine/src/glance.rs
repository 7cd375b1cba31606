use std::collections::BTreeMap;

use bascule_plan::agent::{Mode, Outcome, Report};
use bascule_plan::{Plan, Resource};
use futures_util::stream::{self, StreamExt};

use crate::Run;

/// How an instance looks right now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Glance {
    /// Name and version of the first package that its line names.
    pub version: Option<String>,
    /// The first thing that is not right.
    pub problem: Option<String>,
    /// The last second, since 1970, at which each of its certificates is good, by its path.
    pub certificates: BTreeMap<String, u64>,
}

impl Run {
    /// Asks every running instance of a plan for its health, in one call each; one that cannot be asked has that as its
    /// problem.
    pub async fn glance(&self, plan: &Plan) -> BTreeMap<String, Glance> {
        self.count_instances(plan.lines.len());
        let glances = plan.lines.iter().map(|line| async {
            let steps: Vec<_> = line.steps().cloned().collect();
            let mut glance = Glance::default();
            let asked = self
                .call_agent(&line.instance, Mode::Check, &steps, |report| {
                    let Report::End { step: id, outcome, reason, expires_s, evidence, .. } = report else { return };
                    let Some(step) = steps.iter().find(|step| step.id == id) else { return };
                    if matches!(step.resource, Resource::Packages(_)) {
                        let first = reason.split(',').next().map(str::to_owned);
                        glance.version = glance.version.take().or(first);
                    }
                    // That one is due for renewal is no fault of the instance; the date says when it becomes one.
                    if let Resource::Certificate(certificate) = &step.resource {
                        glance.certificates.extend(expires_s.map(|expires_s| (certificate.path.clone(), expires_s)));
                    } else if outcome != Outcome::Unchanged && glance.problem.is_none() {
                        let answer = evidence.last_answer.map(|answer| format!(" ({answer})")).unwrap_or_default();
                        glance.problem = Some(format!("{}: {reason}{answer}", step.title));
                    }
                })
                .await;
            if let Err(error) = asked {
                glance.problem = Some(error.to_string());
            }
            (line.instance.clone(), glance)
        });
        stream::iter(glances).buffer_unordered(self.engine.parallel.agents).collect().await
    }
}
