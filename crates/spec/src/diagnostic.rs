//! What is wrong with a platform file: where, why, and what to do about it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use serde::Serialize;

use crate::document::{Place, Source};

/// Everything that is wrong, sorted by file and position; never empty when it is returned as an error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

/// One mistake in one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// As the caller named it, or beside the file the caller named.
    pub file: PathBuf,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// In bytes of the file; empty where the mistake is that something is not there.
    pub span: Range<usize>,
    /// What is wrong and why.
    pub message: String,
    /// What to do about it; never empty.
    pub help: String,
    #[serde(skip)]
    source: Source,
}

impl Diagnostic {
    /// As a compiler shows it: the source line, the place marked, the remedy below. With `color`, ANSI escapes.
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&self.report())
    }
}

impl Diagnostics {
    /// Every mistake as [`Diagnostic::render`] shows it.
    pub fn render(&self, color: bool) -> String {
        let reports: Vec<_> = self.0.iter().map(|diagnostic| diagnostic.render(color)).collect();
        reports.join("\n\n")
    }

    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// One mistake after the other, plainly: `FILE:LINE:COLUMN: MESSAGE`, then its remedy on a line of its own.
impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

impl From<Vec<Diagnostic>> for Diagnostics {
    fn from(mut diagnostics: Vec<Diagnostic>) -> Self {
        diagnostics.sort_by(|a, b| (&a.file, a.span.start, &a.message).cmp(&(&b.file, b.span.start, &b.message)));
        diagnostics.dedup();
        Self(diagnostics)
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Diagnostic {
    pub(crate) fn new(place: Place, message: impl Into<String>, help: impl Into<String>) -> Self {
        let Place { source, span } = place;
        let (line, column) = position(source.text(), span.start);
        let file = source.file().to_owned();
        Self { file, line, column, span, message: message.into(), help: help.into(), source }
    }

    /// Without the source line, for a place that holds what nobody should see.
    pub(crate) fn concealed(place: Place, message: impl Into<String>, help: impl Into<String>) -> Self {
        let nothing = Source::new(place.source.file(), String::new());
        Self { source: nothing, ..Self::new(place, message, help) }
    }

    fn report(&self) -> [Group<'_>; 1] {
        let title = Level::ERROR.primary_title(&self.message);
        let path = self.file.to_string_lossy();
        let report = if self.source.text().is_empty() {
            title.element(Origin::path(path).line(self.line).char_column(self.column))
        } else {
            let mark = AnnotationKind::Primary.span(self.span.clone());
            title.element(Snippet::source(self.source.text()).path(path).annotation(mark))
        };
        [report.element(Level::HELP.message(&self.help))]
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, message, help, .. } = self;
        write!(f, "{}:{line}:{column}: {message}\n  help: {help}", file.display())
    }
}

fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
