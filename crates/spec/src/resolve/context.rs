use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::document::{Node, Place};
use crate::read::Files;

/// The document that is being resolved, and what was found to be wrong with it so far.
pub(crate) struct Context<'a> {
    pub(crate) files: &'a dyn Files,
    root: &'a Node,
    suspects: Vec<Vec<String>>,
    diagnostics: Vec<Diagnostic>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        files: &'a dyn Files,
        root: &'a Node,
        suspects: Vec<Vec<String>>,
        diagnostics: Vec<Diagnostic>,
    ) -> Self {
        Self { files, root, suspects, diagnostics }
    }

    /// Reports a mistake in the value at `path`; if it was left out, at the table it belongs to.
    pub(crate) fn report(&mut self, path: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.report_at(self.locate(path), message, help);
    }

    /// Reports a mistake in the key at the end of `path`.
    pub(crate) fn report_key(&mut self, path: &[&str], message: impl Into<String>, help: impl Into<String>) {
        self.report_at(self.root.locate_key(path), message, help);
    }

    pub(crate) fn report_at(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.diagnostics.push(Diagnostic::new(place, message, help));
    }

    /// Reports a mistake in a text that nobody should see.
    pub(crate) fn report_concealed(&mut self, place: Place, message: impl Into<String>, help: impl Into<String>) {
        self.diagnostics.push(Diagnostic::concealed(place, message, help));
    }

    pub(crate) fn locate(&self, path: &[&str]) -> Place {
        self.root.locate(path)
    }

    /// The keys of a table in the order of the file, which the types in `raw` do not keep.
    pub(crate) fn keys(&self, path: &[&str]) -> Vec<&'a str> {
        self.root.keys(path).collect()
    }

    /// Whether something at, below or around `path` was wrong and left out, so that its absence means nothing.
    pub(crate) fn is_suspect(&self, path: &[&str]) -> bool {
        self.suspects.iter().any(|suspect| suspect.iter().zip(path).all(|(a, b)| a == b))
    }

    pub(crate) fn into_diagnostics(self) -> Diagnostics {
        self.diagnostics.into()
    }
}
