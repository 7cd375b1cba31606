use std::io::Write as _;

use bascule_plan::event::Event;

use super::Renderer;

/// One event a line, exactly as it is.
pub(super) struct Json;

impl Renderer for Json {
    fn event(&mut self, event: &Event) -> std::io::Result<()> {
        let line = line(event)?;
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(line.as_bytes())?;
        stdout.flush()
    }
}

fn line(event: &Event) -> serde_json::Result<String> {
    Ok(serde_json::to_string(event)? + "\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::render::samples;

    #[test]
    fn every_event_is_one_line_that_says_its_type_and_reads_back_the_same() {
        let mut types = BTreeSet::new();
        for event in samples::one_of_each() {
            let line = line(&event).unwrap();
            assert_eq!(line.find('\n'), Some(line.len() - 1), "{line}");
            let value: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(value["type"], samples::type_of(&event), "{line}");
            types.insert(samples::type_of(&event));
            assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event, "{line}");
        }
        assert_eq!(types.len(), samples::one_of_each().len(), "{types:?}");
    }

    #[test]
    fn what_is_not_there_is_left_out_of_a_failure() {
        let failure = Event::Failure(samples::failure());
        let bare =
            Event::Failure(bascule_plan::event::Failure { message: "it broke".to_owned(), ..Default::default() });
        assert_eq!(line(&bare).unwrap(), "{\"type\":\"failure\",\"message\":\"it broke\"}\n");
        assert!(line(&failure).unwrap().contains("\"evidence\":{\"last_answer\":"));
    }
}
