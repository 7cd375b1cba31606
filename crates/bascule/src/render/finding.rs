use std::fmt::Write as _;

use bascule_plan::event::{Finding, Verdict};

use super::plain::{BOLD, GREEN, RED, YELLOW};

/// A line for what was found, and two more where it wants mending.
pub(super) fn text(finding: &Finding) -> String {
    let (style, mark) = match finding.verdict {
        Verdict::Ok => (GREEN, '✓'),
        Verdict::Warning => (YELLOW, '!'),
        Verdict::Missing => (RED, '✗'),
    };
    let Finding { check, found, why, remedy, .. } = finding;
    let mut text = format!("{style}  {mark}  {check:<20}{style:#} {found}\n");
    if let Some(why) = why {
        let _ = writeln!(text, "       why: {why}");
    }
    if let Some(remedy) = remedy {
        let _ = writeln!(text, "       {BOLD}try{BOLD:#}: {remedy}");
    }
    text
}
