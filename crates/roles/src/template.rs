use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::RoleError;

/// Renders a template that lies beside its role's code. A name that the context does not hold is an error.
pub(crate) fn render(name: &'static str, source: &str, context: impl Serialize) -> Result<String, RoleError> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_keep_trailing_newline(true);
    let context = minijinja::Value::from_serialize(context);
    environment.render_named_str(name, source, context).map_err(|source| RoleError::Template { name, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_not_given_is_an_error_and_no_empty_string() {
        let error = render("port.conf", "port {{ prot }}", [("port", 80)]).unwrap_err();
        assert!(matches!(error, RoleError::Template { name: "port.conf", .. }), "{error:?}");
    }
}
