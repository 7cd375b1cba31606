//! The object store, collected until the summary.

use bascule_plan::event::{Severity, StoreNode, StoreStatus};
use comfy_table::{Attribute, Cell, Color};
use indicatif::HumanBytes;

use super::plain::{RED, YELLOW};
use super::table::table;

#[derive(Default)]
pub(super) struct Store {
    nodes: Vec<StoreNode>,
    status: Option<StoreStatus>,
    alerts: Vec<String>,
}

impl Store {
    pub(super) fn node(&mut self, node: &StoreNode) {
        self.nodes.push(node.clone());
    }

    pub(super) fn status(&mut self, status: &StoreStatus) {
        self.status = Some(status.clone());
    }

    pub(super) fn alert(&mut self, severity: Severity, message: &str) {
        let (style, word) = match severity {
            Severity::Warning => (YELLOW, "warning"),
            Severity::Page => (RED, "urgent"),
        };
        self.alerts.push(format!("{style}{word}{style:#}: {message}\n"));
    }

    pub(super) fn text(&self) -> String {
        let Some(status) = &self.status else { return self.alerts.concat() };
        let mut table = table(["NODE", "DATA", "VOTE", "USED", "OF", "PARTS REPAIRED"]);
        for node in &self.nodes {
            let bytes = |bytes| if node.keeps_data.is_some() { HumanBytes(bytes).to_string() } else { "-".to_owned() };
            table.add_row([
                Cell::new(&node.name).add_attribute(Attribute::Bold),
                match node.keeps_data {
                    Some(keeps) => seen(keeps),
                    None => Cell::new("-"),
                },
                seen(node.votes),
                Cell::new(bytes(node.bytes_used)),
                Cell::new(bytes(node.bytes_total)),
                Cell::new(if node.keeps_data.is_some() { node.parts_repaired.to_string() } else { "-".to_owned() }),
            ]);
        }
        format!("{table}\n\n{}\n{}\n{}", room(status), safety(status), self.alerts.concat())
    }
}

fn seen(is_there: bool) -> Cell {
    let (word, shade) = if is_there { ("there", Color::Green) } else { ("away", Color::Red) };
    Cell::new(word).fg(shade)
}

fn room(status: &StoreStatus) -> String {
    let StoreStatus { bytes_used, bytes_free, objects, .. } = status;
    format!("room: {} in {objects} objects, {} free", HumanBytes(*bytes_used), HumanBytes(*bytes_free))
}

fn safety(status: &StoreStatus) -> String {
    let may_lose = match status.may_lose {
        0 => "no other node may be lost".to_owned(),
        1 => "one more node may be lost".to_owned(),
        nodes => format!("any {nodes} nodes may be lost"),
    };
    let missing = match (status.parts_missing, status.recovering_bytes_per_s) {
        (0, _) => "no object lacks a part".to_owned(),
        (parts, 0) => format!("{parts} parts of objects are missing"),
        (parts, speed) => format!("{parts} parts of objects are missing, {}/s are made anew", HumanBytes(speed)),
    };
    let moved = match status.parts_misplaced {
        0 => String::new(),
        parts => format!(", {parts} have to be moved"),
    };
    format!("safety: {missing}{moved}; {may_lose}")
}

#[cfg(test)]
mod tests {
    use super::super::samples;
    use super::*;

    #[test]
    fn what_is_at_risk_is_said_in_words() {
        let status = samples::store();
        assert_eq!(room(&status), "room: 1.50 GiB in 1200 objects, 8.00 GiB free");
        assert_eq!(safety(&status), "safety: 1200 parts of objects are missing; one more node may be lost");
        let recovering = StoreStatus { recovering_bytes_per_s: 1 << 20, may_lose: 0, parts_misplaced: 5, ..status };
        let said = "safety: 1200 parts of objects are missing, 1.00 MiB/s are made anew, 5 have to be moved; no other node may be lost";
        assert_eq!(safety(&recovering), said);
        let whole = StoreStatus { parts_missing: 0, may_lose: 2, parts_misplaced: 0, ..recovering };
        assert_eq!(safety(&whole), "safety: no object lacks a part; any 2 nodes may be lost");
    }
}
