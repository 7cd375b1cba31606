use super::exec::tool;
use crate::system::{Beat, Finished, Result, SystemError, UnitStatus, UnitVerb};

const SHOW: &str = "--property=LoadState,ActiveState,SubState,UnitFileState,Result,NeedDaemonReload,NRestarts,Type";
const ASK_TIMEOUT_MS: u64 = 20_000;
/// Longer than systemd's own limits for starting and stopping, so that its answer is heard.
const JOB_TIMEOUT_MS: u64 = 600_000;

/// One `systemctl show` for all of them: a process for each would be most of a check's time.
pub(super) fn units(names: &[&str]) -> Result<Vec<UnitStatus>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut units = Vec::new();
    // What a command printed is kept up to a limit: few enough names for all of the answer.
    for some in names.chunks(16) {
        let mut argv = vec!["systemctl", "show", SHOW, "--"];
        argv.extend(some);
        let finished = tool(&argv, ASK_TIMEOUT_MS, &mut |_| ())?;
        let parsed = parse_show(&finished.output);
        // Every unit has a state, one that does not exist, too: nothing is made of an answer that has none.
        let is_whole = parsed.len() == some.len() && parsed.iter().all(|unit| !unit.active.is_empty());
        if !finished.success() || !is_whole {
            let Finished { ending, output } = finished;
            return Err(SystemError::NoAnswer { program: "systemctl show".to_owned(), ending, output });
        }
        units.extend(parsed);
    }
    Ok(units)
}

pub(super) fn systemctl(verb: UnitVerb, unit: &str, beat: Beat<'_>) -> Result<Finished> {
    tool(&["systemctl", verb.as_str(), "--", unit], JOB_TIMEOUT_MS, beat)
}

pub(super) fn daemon_reload() -> Result<Finished> {
    tool(&["systemctl", "daemon-reload"], JOB_TIMEOUT_MS, &mut |_| ())
}

/// Best effort: this is evidence for a failure that is reported anyway.
pub(super) fn status_text(unit: &str) -> String {
    let argv = ["systemctl", "status", "--no-pager", "--full", "--lines=0", "--", unit];
    tool(&argv, ASK_TIMEOUT_MS, &mut |_| ()).map(|finished| finished.output.trim_end().to_owned()).unwrap_or_default()
}

/// Best effort, as [`status_text`].
pub(super) fn log(unit: &str, lines: usize) -> Vec<String> {
    let lines = format!("--lines={lines}");
    let argv = ["journalctl", "--no-pager", "--quiet", "--output=short-iso", lines.as_str(), "--unit", unit];
    let finished = tool(&argv, ASK_TIMEOUT_MS, &mut |_| ());
    finished.map(|finished| finished.output.lines().map(str::to_owned).collect()).unwrap_or_default()
}

/// Blocks of `Property=value` lines, an empty line between them, in the order of the names.
fn parse_show(output: &str) -> Vec<UnitStatus> {
    output.trim().split("\n\n").map(parse_block).collect()
}

fn parse_block(block: &str) -> UnitStatus {
    let mut unit = UnitStatus::default();
    for (property, value) in block.lines().filter_map(|line| line.split_once('=')) {
        match property {
            "LoadState" => unit.load = value.to_owned(),
            "ActiveState" => unit.active = value.to_owned(),
            "SubState" => unit.sub = value.to_owned(),
            "UnitFileState" => unit.enabled = value.to_owned(),
            "Result" => unit.result = value.to_owned(),
            "NeedDaemonReload" => unit.needs_daemon_reload = value == "yes",
            // A kind of unit without it (a timer, a target) is not restarted.
            "NRestarts" => unit.restarts = value.parse().unwrap_or_default(),
            "Type" => unit.says_ready = !matches!(value, "simple" | "exec" | "idle"),
            _ => {}
        }
    }
    unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_unit_of_one_answer_gets_its_own_state() {
        // As systemd 257 prints it for two services, a timer and a name it does not know.
        let units = parse_show(concat!(
            "Type=simple\nResult=success\nNRestarts=2\nLoadState=loaded\nActiveState=active\nSubState=running\n",
            "UnitFileState=enabled\nNeedDaemonReload=yes\n\n",
            "Type=notify\nResult=success\nNRestarts=0\nLoadState=loaded\nActiveState=active\nSubState=running\n",
            "UnitFileState=enabled\nNeedDaemonReload=no\n\n",
            "Result=success\nLoadState=loaded\nActiveState=active\nSubState=waiting\nUnitFileState=static\nNeedDaemonReload=no\n\n",
            "LoadState=not-found\nActiveState=inactive\nSubState=dead\nUnitFileState=\nNeedDaemonReload=no\n",
        ));
        assert_eq!(units.len(), 4);
        assert_eq!((units[0].active.as_str(), units[0].restarts, units[0].needs_daemon_reload), ("active", 2, true));
        assert_eq!([units[0].says_ready, units[1].says_ready], [false, true]);
        assert_eq!((units[2].sub.as_str(), units[2].enabled.as_str()), ("waiting", "static"));
        assert_eq!((units[3].load.as_str(), units[3].enabled.as_str()), ("not-found", ""));
    }
}
