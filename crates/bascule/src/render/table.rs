use bascule_plan::event::{Event, InstanceStatus};
use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Color, Table};

use super::plain::short;

/// Colours and instances, collected until the summary.
#[derive(Default)]
pub(super) struct Status {
    front_door: String,
    colours: Vec<String>,
    instances: Vec<InstanceStatus>,
}

impl Status {
    pub(super) fn instance(&mut self, status: &InstanceStatus) {
        self.instances.push(status.clone());
    }

    pub(super) fn colour(&mut self, event: &Event) {
        let Event::Colour { colour, commit, state, active, generation } = event else { return };
        let name = colour.as_deref().unwrap_or("all replicas");
        let traffic = if *active { format!(", has the traffic (generation {generation})") } else { String::new() };
        self.colours.push(format!("{name}: {} {state}{traffic}", short(commit)));
    }

    pub(super) fn front_door(&mut self, event: &Event) {
        let Event::FrontDoor { url, holder, certificate_expires, certificate_days_left } = event else { return };
        let held = holder.as_ref().map(|holder| format!(", held by {holder}")).unwrap_or_default();
        let certificate = match (certificate_expires, certificate_days_left) {
            (Some(expires), Some(days)) => {
                let day = expires.get(..10).unwrap_or(expires);
                format!(", certificate until {day} ({days} days left)")
            }
            _ => String::new(),
        };
        self.front_door = format!("front door: {url}{held}{certificate}\n");
    }

    pub(super) fn text(&self) -> String {
        if self.instances.is_empty() {
            return String::new();
        }
        let mut table = table(["INSTANCE", "ROLE", "STATE", "ADDRESS", "COLOUR", "VERSION", "HEALTH"]);
        for instance in &self.instances {
            let colour = match &instance.colour {
                Some(colour) if instance.active => format!("{colour} ●"),
                Some(colour) => colour.clone(),
                None => "-".to_owned(),
            };
            let (health, shade) = match &instance.problem {
                None => ("healthy".to_owned(), Color::Green),
                Some(problem) => (problem.clone(), if instance.active { Color::Red } else { Color::Yellow }),
            };
            table.add_row([
                Cell::new(&instance.name).add_attribute(Attribute::Bold),
                Cell::new(instance.roles.join(", ")),
                Cell::new(&instance.state),
                Cell::new(&instance.address),
                Cell::new(colour),
                Cell::new(instance.version.as_deref().map_or("-", short_version)),
                Cell::new(health).fg(shade),
            ]);
        }
        let colours: String = self.colours.iter().map(|colour| format!("{colour}\n")).collect();
        format!("{table}\n\n{}{colours}", self.front_door)
    }
}

/// Releases and rollbacks, collected until the summary.
#[derive(Default)]
pub(super) struct History {
    rows: Vec<[String; 7]>,
}

impl History {
    pub(super) fn entry(&mut self, event: &Event) {
        let Event::History { number, verb, commit, colour, who, began, outcome, reason, .. } = event else { return };
        let ended = reason.as_ref().map_or_else(|| outcome.clone(), |reason| format!("{outcome}: {reason}"));
        let colour = colour.as_deref().unwrap_or("-");
        let began = began.get(..19).unwrap_or(began).replace('T', " ");
        self.rows.push([
            number.to_string(),
            began,
            verb.clone(),
            short(commit).to_owned(),
            colour.to_owned(),
            who.clone(),
            ended,
        ]);
    }

    pub(super) fn text(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut table = table(["#", "WHEN (UTC)", "WHAT", "COMMIT", "COLOUR", "WHO", "ENDED"]);
        table.add_rows(self.rows.iter().map(|row| row.iter().map(Cell::new)));
        format!("{table}\n")
    }
}

/// Secrets and who reads them, collected until the summary.
#[derive(Default)]
pub(super) struct Secrets {
    secrets: Vec<[String; 3]>,
    readers: Vec<[String; 3]>,
}

impl Secrets {
    pub(super) fn entry(&mut self, event: &Event) {
        match event {
            Event::Secret { name, fingerprint, used_by } => {
                let users = match used_by[..] {
                    [] if name.contains('/') => "the platform".to_owned(),
                    [] => "-".to_owned(),
                    _ => used_by.join(", "),
                };
                self.secrets.push([name.clone(), fingerprint.clone(), users]);
            }
            Event::Reader { name, recipient, reads, named } => {
                let reads = match (reads, named) {
                    (true, true) => "reads",
                    (false, _) => "will read after: bascule secrets rekey",
                    (true, false) => "is named no more, and reads until: bascule secrets rekey",
                };
                self.readers.push([name.clone(), recipient.clone(), reads.to_owned()]);
            }
            _ => {}
        }
    }

    pub(super) fn text(&self) -> String {
        let text = |header, rows: &[[String; 3]]| {
            let mut table = table(header);
            table.add_rows(rows.iter().map(|row| row.iter().map(Cell::new)));
            format!("{table}\n")
        };
        match (&self.secrets[..], &self.readers[..]) {
            ([], []) => String::new(),
            (secrets, readers) => {
                let secrets = text(["SECRET", "FINGERPRINT", "USED BY"], secrets);
                format!("{secrets}\n{}", text(["READER", "RECIPIENT", ""], readers))
            }
        }
    }
}

pub(super) fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header.map(|title| Cell::new(title).add_attribute(Attribute::Dim)));
    table
}

/// A commit in short; a package with its upstream version: `haproxy 3.0.11` of `haproxy 3.0.11-1+deb13u5`.
fn short_version(version: &str) -> &str {
    match version.rsplit_once('-') {
        Some((upstream, _)) if version.contains(' ') => upstream,
        _ => short(version),
    }
}
