use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior};
use serde::Serialize;

use crate::RoleError;

/// Renders a template that lies beside its role's code. A name that the context does not hold is an error.
pub(crate) fn render(name: &'static str, source: &str, context: impl Serialize) -> Result<String, RoleError> {
    let error = |source| RoleError::Template { name, source };
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(syntax.map_err(error)?);
    environment.render_named_str(name, source, Serde(context)).map_err(error)
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    #[test]
    fn a_name_that_is_not_given_is_an_error_and_no_empty_string() {
        let error = render("port.conf", "port {{ prot }}", context! { port => 80 }).unwrap_err();
        assert!(matches!(error, RoleError::Template { name: "port.conf", .. }), "{error:?}");
    }
}
