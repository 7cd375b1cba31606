use std::io::{IsTerminal as _, Read as _};
use std::time::Duration;

use bascule_incus::{Exec, Stdin};
use bascule_plan::event::{Event, Failure};
use bascule_spec::Platform;
use bytes::Bytes;
use clap::{Args, ValueEnum};
use indicatif::{HumanBytes, HumanDuration};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::own;
use crate::failure::{Exit, Failed};
use crate::setup::Session;

pub(super) const EXAMPLES: &str = "\
Examples:
  bascule store migrate --from https://minio.example:9000 --bucket media   < old-key
  bascule store migrate --from https://s3.example --region eu-central-1 --bucket old --to media   < old-key";

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The other server: a URL without a path
    #[arg(long, value_name = "URL")]
    from: String,
    /// Its bucket
    #[arg(long)]
    bucket: String,
    /// The bucket here, which the platform file names; by default of the same name
    #[arg(long, value_name = "BUCKET")]
    to: Option<String>,
    /// The other server's region
    #[arg(long, default_value = "us-east-1")]
    region: String,
    /// By what the two are compared
    #[arg(long, value_enum, default_value_t = Verify::Bytes)]
    verify: Verify,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verify {
    /// Everything is read back from both
    Bytes,
    /// Size, and the digest where both tell one: quick, and nothing is read
    Digests,
}

/// It may take days; this is a bound, not a promise.
const LIMIT: Duration = Duration::from_hours(24 * 14);

impl Arguments {
    fn to(&self) -> &str {
        self.to.as_deref().unwrap_or(&self.bucket)
    }

    pub(super) fn fit(&self, platform: &Platform) -> Result<(), Failed> {
        own(platform)?;
        let is_url = url::Url::parse(&self.from).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https") && url.has_host() && url.path() == "/" && url.query().is_none()
        });
        if !is_url {
            let message = format!("`{}` is not a URL without a path", self.from);
            return Err(Failed::usage(message, "e.g. --from https://minio.example:9000; the bucket is --bucket"));
        }
        let names: Vec<&str> =
            platform.store.iter().flat_map(|store| &store.buckets).map(|bucket| bucket.name.as_str()).collect();
        if !names.contains(&self.to()) {
            let message = format!("the platform has no bucket `{}`", self.to());
            let hint = if names.is_empty() {
                format!("add [store.bucket.{}] to the platform file; then bascule up", self.to())
            } else {
                format!("it has {}: choose one by --to, or add [store.bucket.{}]", names.join(", "), self.to())
            };
            return Err(Failed::usage(message, hint));
        }
        Ok(())
    }
}

/// What the program `store-migrate` tells, a line at a time.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(untagged)]
enum Told {
    Failed { failed: String },
    Whole { objects: u64, bytes: u64 },
    Moving { moved: u64, of: u64, speed: f64, seconds_left: Option<f64> },
    Verifying { verified: u64, of_objects: u64 },
    Found { same: u64, differ: u64, first: Vec<String> },
}

pub(super) async fn migrate(session: &Session, arguments: &Arguments) -> Result<Exit, Failed> {
    let credentials = credentials()?;
    let asked = serde_json::json!({
        "endpoint": arguments.from, "region": arguments.region, "credentials": credentials,
        "from": arguments.bucket, "to": arguments.to(),
        "verify": match arguments.verify { Verify::Bytes => "bytes", Verify::Digests => "digests" },
    });
    let Some(first) = session.platform.store_nodes().next() else { return Ok(Exit::Failed) };
    super::super::running_instance(session, &first.name).await?;

    let (stdout, mut chunks) = mpsc::channel::<Bytes>(8);
    let mut exec = Exec::new(&["/usr/local/lib/bascule/store-migrate".to_owned()], LIMIT);
    exec.stdin = Stdin::Bytes(Bytes::from(asked.to_string()));
    let listen = async {
        let (mut rest, mut last) = (Vec::new(), None);
        while let Some(chunk) = chunks.recv().await {
            rest.extend_from_slice(&chunk);
            while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = rest.drain(..=end).collect();
                let Ok(told) = serde_json::from_slice::<Told>(&line) else { continue };
                if let Some(message) = progress(&told) {
                    let instance = Some(first.name.clone());
                    session.run.emit(Event::Progress { instance, step: None, message });
                }
                last = Some(told);
            }
        }
        last
    };
    let exec = session.incus.exec(&session.platform.incus.project, &first.name, exec, stdout);
    let (exited, last) = tokio::join!(exec, listen);
    let exited = exited?;
    Ok(match (exited.code, last) {
        (0, Some(Told::Found { same, .. })) => {
            session.run.note(format!("{same} objects are here and the same as there"));
            for step in cut_over(arguments) {
                session.run.note(step);
            }
            Exit::Done
        }
        (_, last) => {
            session.run.failure(failure(last, &exited.stderr_tail));
            Exit::Failed
        }
    })
}

fn failure(last: Option<Told>, stderr: &str) -> Failure {
    let (message, causes, hint) = match last {
        Some(Told::Found { differ, first, .. }) if differ > 0 => (
            format!("{differ} objects are not here, or not the same as there: {}", first.join(", ")),
            Vec::new(),
            "if they were just written, run it again: only those are moved",
        ),
        Some(Told::Found { same, .. }) => {
            (format!("only {same} objects could be compared"), Vec::new(), "the other server names more: run it again")
        }
        Some(Told::Failed { failed }) => (
            "the bucket could not be moved".to_owned(),
            vec![failed],
            "look at --from, --region, --bucket and the key; what was moved stays, and is not moved again",
        ),
        _ => (
            "the bucket could not be moved".to_owned(),
            stderr.trim().lines().last().map(str::to_owned).into_iter().collect(),
            "what was moved stays: run it again",
        ),
    };
    Failure { message, causes, hint: Some(hint.to_owned()), ..Failure::default() }
}

fn progress(told: &Told) -> Option<String> {
    match told {
        Told::Whole { objects, bytes } => Some(format!("there are {objects} objects, {}", HumanBytes(*bytes))),
        Told::Moving { of: 0, .. } => Some("comparing names".to_owned()),
        Told::Moving { moved, of, speed, seconds_left } => {
            let left = seconds_left.map(|left| Duration::from_secs(left as u64));
            let left = left.map(|left| format!(", {} left", HumanDuration(left))).unwrap_or_default();
            let bar = bar(*moved, *of);
            let (done, of, speed) = (HumanBytes(*moved), HumanBytes(*of), HumanBytes(*speed as u64));
            Some(format!("{bar} {done} of {of}, {speed}/s{left}"))
        }
        Told::Verifying { verified, of_objects } => {
            Some(format!("{} {verified} of {of_objects} objects compared", bar(*verified, *of_objects)))
        }
        Told::Found { .. } | Told::Failed { .. } => None,
    }
}

fn bar(done: u64, of: u64) -> String {
    const CELLS: u64 = 20;
    let full = (done.min(of) * CELLS).checked_div(of).unwrap_or(CELLS);
    (0..CELLS).map(|cell| if cell < full { '█' } else { '░' }).collect()
}

/// What is left for a person to do.
fn cut_over(arguments: &Arguments) -> [String; 4] {
    let to = arguments.to();
    [
        format!("to cut over: 1. have nobody write to `{}` at {} any more", arguments.bucket, arguments.from),
        "             2. run the same command once more: only what was written meanwhile is moved".to_owned(),
        format!(
            "             3. have your software use the bucket `{to}` here: `uses = [\"store\"]`, bascule up, bascule deploy"
        ),
        "             4. keep the other bucket until you have seen everything work".to_owned(),
    ]
}

fn credentials() -> Result<String, Failed> {
    let mut stdin = std::io::stdin();
    let hint = "bascule store migrate … < FILE, with a file of AWS credentials";
    if stdin.is_terminal() {
        return Err(Failed::usage("the other server's key is read from standard input, which is a terminal", hint));
    }
    let mut text = String::new();
    match stdin.read_to_string(&mut text) {
        Ok(_) if text.contains("aws_access_key_id") => Ok(text),
        Ok(_) => Err(Failed::usage("standard input is no file of AWS credentials", hint)),
        Err(error) => Err(Failed::usage(format!("standard input cannot be read: {error}"), hint)),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_it_tells_is_shown_as_it_goes() {
        let told = |line: &str| progress(&serde_json::from_str(line).unwrap());
        assert_eq!(told(r#"{"objects":3,"bytes":2048}"#).unwrap(), "there are 3 objects, 2.00 KiB");
        let moving = told(r#"{"moved":1024,"of":2048,"speed":512.0,"seconds_left":2}"#).unwrap();
        assert_eq!(moving, "██████████░░░░░░░░░░ 1.00 KiB of 2.00 KiB, 512 B/s, 2 seconds left");
        let verifying = told(r#"{"verified":3,"of_objects":3}"#).unwrap();
        assert_eq!(verifying, "████████████████████ 3 of 3 objects compared");
        assert_eq!(told(r#"{"moved":0,"of":0,"speed":0,"seconds_left":null}"#).unwrap(), "comparing names");
    }

    #[test]
    fn what_differs_is_named() {
        let found = serde_json::from_str(r#"{"same":2,"differ":1,"first":["a"],"moved_objects":1}"#).unwrap();
        assert_eq!(failure(Some(found), "").message, "1 objects are not here, or not the same as there: a");
    }
}
