use std::collections::BTreeMap;

use bascule_plan::Command;

use super::{Applied, Context, Converge, Failure, Progress, Verdict, output_evidence};
use crate::pending::{Pending, Touches};
use crate::system::{Exec, Finished};

impl Converge for Command {
    fn check(&self, cx: &Context<'_>, pending: &Pending) -> Result<Verdict, Failure> {
        if let Some(changed) = self.reads.iter().find_map(|path| pending.affecting(path)) {
            return Ok(Verdict::Differs(format!("its check looks at {changed}, which changes above")));
        }
        match run(self, &self.unless, cx, &mut |_| ()) {
            Ok(finished) if finished.success() => {
                Ok(Verdict::Right("its check says there is nothing to do".to_owned()))
            }
            _ if pending.any() => Ok(Verdict::Differs(
                "its check does not pass, and cannot be trusted before the changes above".to_owned(),
            )),
            Ok(finished) => Ok(Verdict::Differs(format!("its check says it is needed ({})", finished.last_line()))),
            Err(failure) => Err(failure),
        }
    }

    fn apply(&self, cx: &Context<'_>, progress: Progress<'_>) -> Result<Applied, Failure> {
        let finished = run(self, &self.argv, cx, progress)?;
        if !finished.success() {
            return Err(Failure::of_command(&self.argv.join(" "), &finished));
        }
        Ok(Applied::CheckAgain(output_evidence(&finished)))
    }

    fn touches(&self) -> Touches {
        Touches::Anything
    }
}

fn run(command: &Command, argv: &[String], cx: &Context<'_>, progress: Progress<'_>) -> Result<Finished, Failure> {
    if argv.is_empty() {
        return Err(Failure::new("a command and its check must both be given"));
    }
    let env: &BTreeMap<String, String> = &command.env;
    let exec = Exec { argv, env, timeout_ms: command.timeout_ms };
    Ok(cx.system.run(&exec, &mut |line| progress(line.to_owned()))?)
}
