use std::io::Write as _;

use bascule_plan::event::Event;

use super::Renderer;

/// One event a line, exactly as it is.
pub(super) struct Json;

impl Renderer for Json {
    fn event(&mut self, event: &Event) -> std::io::Result<()> {
        let mut stdout = std::io::stdout().lock();
        serde_json::to_writer(&mut stdout, event)?;
        stdout.write_all(b"\n")?;
        stdout.flush()
    }
}
