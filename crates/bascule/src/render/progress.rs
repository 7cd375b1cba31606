use std::collections::BTreeMap;
use std::time::Duration;

use bascule_plan::event::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Renderer;
use super::plain::Plain;

/// The same lines as plain, and below them one moving line for each instance that is at work.
pub(super) struct Progress {
    plain: Plain,
    bars: MultiProgress,
    working: BTreeMap<String, ProgressBar>,
}

impl Progress {
    pub(super) fn new(verbose: bool) -> Self {
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Self { plain: Plain::new(verbose), bars, working: BTreeMap::new() }
    }

    fn at_work(&mut self, who: &str, what: &str) {
        let bars = &self.bars;
        let bar = self.working.entry(who.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {prefix:14} {wide_msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.set_prefix(who.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        bar.set_message(what.to_owned());
    }

    fn rests(&mut self, who: &str) {
        if let Some(bar) = self.working.remove(who) {
            bar.finish_and_clear();
        }
    }
}

impl Renderer for Progress {
    fn event(&mut self, event: &Event) -> std::io::Result<()> {
        match event {
            Event::StepBegan { instance, title, .. } => self.at_work(instance, title),
            Event::Waiting { instance, reason, .. } => self.at_work(instance, reason),
            Event::Progress { instance, message, .. } => {
                self.at_work(instance.as_deref().unwrap_or(""), message);
                return Ok(());
            }
            Event::StepEnded { instance, .. } | Event::Reached { instance, .. } => self.rests(instance),
            Event::Phase { name, title } if name == "check" => self.at_work("", title),
            Event::Phase { .. } | Event::Summary(_) => {
                for bar in std::mem::take(&mut self.working).into_values() {
                    bar.finish_and_clear();
                }
            }
            _ => {}
        }
        let plain = &mut self.plain;
        if matches!(event, Event::Output { .. }) {
            return plain.event(event);
        }
        self.bars.suspend(|| plain.event(event))
    }
}
