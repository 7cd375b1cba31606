//! Backups, collected until the summary.

use bascule_plan::event::{Backup, BackupKind, Drill, Restored};
use comfy_table::{Attribute, Cell, Color};
use indicatif::HumanBytes;

use super::plain::seconds;
use super::table::table;

#[derive(Default)]
pub(super) struct Backups {
    backups: Vec<Backup>,
    windows: Vec<String>,
}

impl Backups {
    pub(super) fn backup(&mut self, backup: &Backup) {
        self.backups.push(backup.clone());
    }

    pub(super) fn window(&mut self, from: &str, to: &str) {
        self.windows.push(format!("can be restored: any moment from {} to {}\n", time(from), time(to)));
    }

    pub(super) fn text(&self) -> String {
        if self.backups.is_empty() {
            return self.windows.concat();
        }
        let mut backups = table(["BACKUP", "TYPE", "ENDED (UTC)", "TOOK", "DATABASES", "STORED", "LOG FROM", "TO"]);
        for backup in &self.backups {
            let name = if backup.damaged { format!("{} (damaged)", backup.label) } else { backup.label.clone() };
            let shade = if backup.damaged { Color::Red } else { Color::Reset };
            backups.add_row([
                Cell::new(name).add_attribute(Attribute::Bold).fg(shade),
                Cell::new(match backup.kind {
                    BackupKind::Full => "full",
                    BackupKind::Differential => "differential",
                    BackupKind::Incremental => "incremental",
                }),
                Cell::new(time(&backup.ended)),
                Cell::new(seconds(backup.duration_ms)),
                Cell::new(HumanBytes(backup.database_bytes)),
                Cell::new(HumanBytes(backup.stored_bytes)),
                Cell::new(&backup.lsn_start),
                Cell::new(&backup.lsn_stop),
            ]);
        }
        format!("{backups}\n\n{}", self.windows.concat())
    }
}

/// What came of a drill, in a line.
pub(super) fn drill(drill: &Drill) -> String {
    let passed = if drill.passed { "passed" } else { "failed" };
    let mut text = format!(
        "the drill {passed} in {}: {} of {}",
        seconds(drill.duration_ms),
        HumanBytes(drill.bytes),
        drill.backup
    );
    if let Some(restore_ms) = drill.restore_ms {
        text += &format!(", restored in {}", seconds(restore_ms));
    }
    if let Some(rpo_ms) = drill.rpo_ms {
        text += &format!("; {} of commits would have been lost", seconds(rpo_ms));
    }
    text + "\n"
}

/// What came out of a restore, as a sentence.
pub(super) fn restored(restored: &Restored) -> String {
    let Restored { formation, node, last_commit, lsn, bytes } = restored;
    let last =
        last_commit.as_deref().map(time).map_or_else(String::new, |last| format!("; the last commit is of {last} UTC"));
    format!("restored: the formation {formation} on {node}, up to {lsn}{last}; {} of databases\n", HumanBytes(*bytes))
}

/// Without what every moment has.
fn time(rfc3339: &str) -> String {
    rfc3339.get(..19).unwrap_or(rfc3339).replace('T', " ")
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn a_drill_says_what_would_have_been_lost() {
        let said = drill(&samples::drill());
        assert_eq!(
            said,
            "the drill passed in 1 min 35 s: 1.00 GiB of 20260104-020312F, restored in 12.5 s; 31.0 s of commits would have been lost\n"
        );
        let failed = Drill { passed: false, restore_ms: None, rpo_ms: None, ..samples::drill() };
        assert_eq!(drill(&failed), "the drill failed in 1 min 35 s: 1.00 GiB of 20260104-020312F\n");
    }

    #[test]
    fn a_backup_is_a_row_and_what_can_be_restored_a_sentence() {
        let mut backups = Backups::default();
        assert_eq!(backups.text(), "", "a verb that says nothing of it shows no table");
        backups.backup(&samples::backup());
        backups.backup(&Backup { damaged: true, ..samples::backup() });
        backups.window("2026-01-04T02:03:12Z", "2026-01-06T10:00:00Z");
        let text = backups.text();
        for word in ["20260104-020312F", "(damaged)", "2026-01-04 02:04:12", "1 min 0 s", "1.00 GiB"] {
            assert!(text.contains(word), "{word}: {text}");
        }
        assert!(text.ends_with("any moment from 2026-01-04 02:03:12 to 2026-01-06 10:00:00\n"), "{text}");
    }
}
