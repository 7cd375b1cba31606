//! What is in the file once it is open: `name = "value"` lines, with whatever comments their owner keeps beside them.

use std::ops::Range;

use toml_edit::{Document as Spanned, DocumentMut, Item, Value};

use crate::names::{INTERNAL, is_internal, is_name};

pub(crate) struct Document(DocumentMut);

/// What is wrong with a text, and where. It never repeats a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: usize,
    pub message: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl Document {
    pub(crate) fn new(environment: &str) -> Self {
        let mut document = DocumentMut::new();
        document.set_trailing(format!("# The secrets of `{environment}`: name = \"value\"\n"));
        Self(document)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Mistake> {
        let mistake = |span: Option<Range<usize>>, message: String| {
            let at = span.map_or(0, |span| span.start).min(text.len());
            Mistake { line: text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1, message }
        };
        // The parser's own message would quote the line, value and all: only its place is told.
        let document = Spanned::parse(text)
            .map_err(|error| mistake(error.span(), "this is not of the form name = \"value\"".to_owned()))?;
        for (name, item) in document.iter() {
            let span = || item.span().or_else(|| document.as_table().key(name)?.span());
            match item.as_str() {
                // A name that is none may be a value that somebody put in its place.
                _ if !is_name(name) && !is_internal(name) => {
                    let message = "a name has lower-case letters, digits and `_`, a letter first";
                    return Err(mistake(span(), message.to_owned()));
                }
                None => return Err(mistake(span(), format!("the value of {name} is no string"))),
                Some(value) => check_value(value).map_err(|why| mistake(span(), format!("{name} {why}")))?,
            }
        }
        Ok(Self(document.into_mut()))
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name)
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let mut value = Value::from(value);
        match self.0.get_mut(name) {
            // Comments above and behind the old value are about the secret, not about its value.
            Some(Item::Value(old)) => {
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
            _ => _ = self.0.insert(name, Item::Value(value)),
        }
    }

    /// All but what is the platform's own: that is nothing to edit by hand.
    pub(crate) fn own(&self) -> String {
        let mut own = self.0.clone();
        own.retain(|name, _| !name.starts_with(INTERNAL));
        own.to_string()
    }

    /// Takes `text` for all but the platform's own.
    pub(crate) fn replace_own(&mut self, text: &str) -> Result<(), Mistake> {
        let mut own = Self::parse(text)?;
        if let Some(name) = own.names().find(|name| is_internal(name)) {
            return Err(Mistake { line: 1, message: format!("{name} is the platform's own, and not edited by hand") });
        }
        for (name, item) in self.0.iter().filter(|(name, _)| is_internal(name)) {
            own.0.insert(name, item.clone());
        }
        *self = own;
        Ok(())
    }
}

impl std::fmt::Display for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What no program could read, or nobody can have meant.
pub(crate) fn check_value(value: &str) -> Result<(), &'static str> {
    if value.trim().is_empty() {
        return Err("is empty");
    }
    if value.contains('\0') {
        return Err("holds a zero byte");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const VALUE: &str = "correct-horse-battery-staple";

    #[test]
    fn a_mistake_has_its_line_and_no_value() {
        let broken = [
            format!("# ours\ntoken = \"{VALUE}\n"),
            format!("# ours\ntoken = {VALUE}\n"),
            format!("# ours\ntoken = [\"{VALUE}\"]\n"),
            format!("# ours\n{VALUE}\n"),
            format!("# ours\n\"{VALUE}\" = 5\n"),
            format!("# ours\n[\"{VALUE}\"]\n"),
            "# ours\ntoken = \" \"\n".to_owned(),
            "# ours\ntoken = \"a\\u0000\"\n".to_owned(),
        ];
        for text in broken {
            let Err(mistake) = Document::parse(&text) else { panic!("{text} was taken") };
            assert_eq!(mistake.line, 2, "{text}: {mistake}");
            assert!(!mistake.to_string().contains(VALUE), "{mistake}");
        }
    }

    #[test]
    fn comments_stay_beside_what_they_are_about() {
        let mut document =
            Document::parse("# from the bank\ntoken = \"old\" # until May\n\nother = \"same\"\n").unwrap();
        document.set("token", "new");
        assert_eq!(document.to_string(), "# from the bank\ntoken = \"new\" # until May\n\nother = \"same\"\n");
    }

    #[test]
    fn what_is_the_platforms_own_is_not_edited_and_stays() {
        let mut document = Document::parse("token = \"old\"\n\"bascule/vrrp\" = \"inner\"\n").unwrap();
        assert_eq!(document.own(), "token = \"old\"\n");
        document.replace_own("other = \"new\"\n").unwrap();
        assert_eq!((document.value("token"), document.value("other")), (None, Some("new")));
        assert_eq!(document.value("bascule/vrrp"), Some("inner"));
        let refused = document.replace_own("\"bascule/vrrp\" = \"mine\"\n").unwrap_err();
        assert!(refused.message.contains("bascule/vrrp is the platform's own"), "{refused}");
        assert_eq!(document.value("bascule/vrrp"), Some("inner"));
    }

    proptest! {
        #[test]
        fn any_value_is_read_back_as_it_was_set(value in "\\PC*|(?s).{1,80}") {
            prop_assume!(check_value(&value).is_ok());
            let mut document = Document::new("lab");
            document.set("token", &value);
            let again = Document::parse(&document.to_string()).unwrap();
            prop_assert_eq!(again.value("token").unwrap(), value);
        }
    }
}
