//! PostgreSQL, collected until the summary.

use bascule_plan::event::{PoolerStatus, PostgresNode};
use comfy_table::{Attribute, Cell, Color};
use indicatif::HumanBytes;

use super::table::table;

#[derive(Default)]
pub(super) struct Postgres {
    nodes: Vec<PostgresNode>,
    poolers: Vec<PoolerStatus>,
}

impl Postgres {
    pub(super) fn node(&mut self, node: &PostgresNode) {
        self.nodes.push(node.clone());
    }

    pub(super) fn pooler(&mut self, pooler: &PoolerStatus) {
        self.poolers.push(pooler.clone());
    }

    pub(super) fn text(&self) -> String {
        if self.nodes.is_empty() {
            return String::new();
        }
        let mut nodes = table(["NODE", "STATE", "WRITABLE", "TIMELINE", "BEHIND"]);
        for node in &self.nodes {
            nodes.add_row([
                Cell::new(&node.name).add_attribute(Attribute::Bold),
                state(node),
                Cell::new(match node.writable {
                    Some(true) => "yes",
                    Some(false) => "no",
                    None => "-",
                }),
                Cell::new(node.timeline.map_or_else(|| "-".to_owned(), |timeline| timeline.to_string())),
                Cell::new(node.behind_bytes.map_or_else(|| "-".to_owned(), |bytes| HumanBytes(bytes).to_string())),
            ]);
        }
        let mut poolers = table(["POOLER", "USES", "WRITES"]);
        for pooler in &self.poolers {
            let (word, shade) = if pooler.writes { ("kept", Color::Green) } else { ("fail", Color::Red) };
            poolers.add_row([
                Cell::new(&pooler.name).add_attribute(Attribute::Bold),
                Cell::new(pooler.node.as_deref().unwrap_or("-")),
                Cell::new(word).fg(shade),
            ]);
        }
        format!("{nodes}\n\n{poolers}\n\n")
    }
}

fn state(node: &PostgresNode) -> Cell {
    let Some(state) = &node.state else { return Cell::new("unknown").fg(Color::Red) };
    let word = match &node.goal {
        Some(goal) if goal != state => format!("{state} → {goal}"),
        _ => state.clone(),
    };
    let is_well = node.healthy && matches!(word.as_str(), "primary" | "secondary");
    Cell::new(word).fg(if is_well { Color::Green } else { Color::Yellow })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_on_its_way_shows_where_from_and_where_to() {
        let node = PostgresNode {
            name: "pg-1".to_owned(),
            state: Some("demoted".to_owned()),
            goal: Some("catchingup".to_owned()),
            healthy: false,
            writable: None,
            timeline: None,
            behind_bytes: None,
        };
        let mut postgres = Postgres::default();
        assert_eq!(postgres.text(), "", "a verb that says nothing of it shows no table");
        postgres.node(&node);
        postgres.pooler(&PoolerStatus { name: "pooler-1".to_owned(), node: None, writes: false });
        let text = postgres.text();
        assert!(text.contains("demoted → catchingup") && text.contains("fail"), "{text}");
    }
}
