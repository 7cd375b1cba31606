//! The merged document against the schema: unknown keys, missing keys, wrong types, values out of range.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value as Json;

use crate::diagnostic::Diagnostic;
use crate::document::Node;
use crate::explain::Explainer;
use crate::raw;
use crate::schema;

/// What could be read of a document, and what is wrong with the rest.
pub(crate) struct Validated {
    pub(crate) file: raw::File,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Paths below which something may be missing from `file` only because it was wrong.
    pub(crate) suspects: Vec<Vec<String>>,
}

/// Checks all of `root`. What is wrong is reported and left out, so that the rest can be checked for its meaning. What is wrong
/// in `base`, the platform file alone, is reported although an overlay replaces it: another environment's may not.
pub(crate) fn validate(root: &Node, base: &Node) -> Validated {
    let schema = schema::whole();
    let mut json = root.to_json();
    let mut diagnostics = Vec::new();
    let mut wrong = Vec::new();
    match jsonschema::validator_for(&schema) {
        Ok(validator) => {
            for error in validator.iter_errors(&json) {
                Explainer::new(&schema, root, &error).explain(&mut diagnostics, &mut wrong);
            }
            let base_json = base.to_json();
            // What is missing in it an overlay may bring.
            let is_there = |error: &ValidationError<'_>| !matches!(error.kind(), ValidationErrorKind::Required { .. });
            for error in validator.iter_errors(&base_json).filter(is_there) {
                let mut replaced = Vec::new();
                Explainer::new(&schema, base, &error).explain(&mut replaced, &mut Vec::new());
                diagnostics
                    .extend(replaced.into_iter().filter(|found| !diagnostics.contains(found)).collect::<Vec<_>>());
            }
        }
        Err(error) => diagnostics.push(defect(root, &error.to_string())),
    }
    let mut suspects = Vec::new();
    for Wrong { path, suspect } in wrong {
        remove(&mut json, &path);
        suspects.push(suspect);
    }
    let file = serde_json::from_value(json).unwrap_or_else(|error| {
        diagnostics.push(defect(root, &error.to_string()));
        raw::File::default()
    });
    Validated { file, diagnostics, suspects }
}

/// What has to be left out, and the path below which its absence may mislead.
pub(crate) struct Wrong {
    pub(crate) path: Vec<String>,
    pub(crate) suspect: Vec<String>,
}

/// Leaves out what is at `path`; a list is left out whole, so that the elements of others keep their numbers.
fn remove(json: &mut Json, path: &[String]) {
    match path {
        [] => *json = Json::Object(serde_json::Map::new()),
        [key] => {
            if let Json::Object(object) = json {
                object.remove(key);
            }
        }
        [key, rest @ ..] => {
            let Json::Object(object) = json else { return };
            match object.get_mut(key) {
                Some(Json::Array(_)) => drop(object.remove(key)),
                Some(child) => remove(child, rest),
                None => {}
            }
        }
    }
}

/// The schema and the types that are read are made from the same source; if they disagree, that is our mistake.
fn defect(root: &Node, reason: &str) -> Diagnostic {
    let message = format!("the file cannot be read although nothing is known to be wrong with it: {reason}");
    Diagnostic::new(root.locate(&[]), message, "this is a defect of Bascule: please report it with the file")
}
