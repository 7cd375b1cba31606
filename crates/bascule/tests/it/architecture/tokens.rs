//! A source as one row of words and signs.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

/// A word or a sign; `::` is one.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) text: String,
    /// Counted from 1.
    pub(super) line: usize,
}

/// The tokens of a source. Of a comment there are none; one that documents is a string.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    flatten(source.parse().unwrap(), &mut tokens);
    tokens
}

/// Leaves out what is there for tests only, and tells which modules in files of their own are.
pub(super) fn without_tests(tokens: Vec<Token>) -> (Vec<Token>, Vec<String>) {
    let mut modules = Vec::new();
    let mut kept = vec![true; tokens.len()];
    for start in 0..tokens.len() {
        if let Some(end) = test_item(&tokens, start) {
            kept[start..end].fill(false);
            if let [.., word, name, end] = &tokens[start..end]
                && word.text == "mod"
                && end.text == ";"
            {
                modules.push(name.text.clone());
            }
        }
    }
    let tokens = tokens.into_iter().zip(kept).filter_map(|(token, kept)| kept.then_some(token)).collect();
    (tokens, modules)
}

fn flatten(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut joint = false;
    for tree in stream {
        let line = tree.span().start().line;
        let was_joint = std::mem::take(&mut joint);
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(Token { text: open.to_owned(), line });
                flatten(group.stream(), tokens);
                tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line });
            }
            TokenTree::Punct(punct) if was_joint && punct.as_char() == ':' => tokens.last_mut().unwrap().text.push(':'),
            TokenTree::Punct(punct) => {
                joint = punct.as_char() == ':' && punct.spacing() == Spacing::Joint;
                tokens.push(Token { text: punct.as_char().to_string(), line });
            }
            other => tokens.push(Token { text: other.to_string(), line }),
        }
    }
}

/// Where the item ends that begins at a token, if it is there for tests only.
fn test_item(tokens: &[Token], start: usize) -> Option<usize> {
    const TEST: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    const ITEMS: [&str; 9] = ["async", "const", "enum", "fn", "impl", "mod", "static", "struct", "use"];
    let text = |at: usize| tokens.get(at).map_or("", |token| token.text.as_str());
    if !TEST.iter().enumerate().all(|(index, token)| text(start + index) == *token) {
        return None;
    }
    let mut at = start + TEST.len();
    while text(at) == "#" {
        at = closing(tokens, at + 1) + 1;
    }
    if text(at) == "pub" {
        at = if text(at + 1) == "(" { closing(tokens, at + 1) + 1 } else { at + 1 };
    }
    if !ITEMS.contains(&text(at)) {
        return None;
    }
    while !matches!(text(at), ";" | "{" | "") {
        at = if matches!(text(at), "(" | "[") { closing(tokens, at) + 1 } else { at + 1 };
    }
    Some(if text(at) == "{" { closing(tokens, at) + 1 } else { (at + 1).min(tokens.len()) })
}

fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}
