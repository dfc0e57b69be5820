//! Text of a script to tokens, each with its place.

use super::place::{Place, Trouble};
use std::net::{Ipv4Addr, Ipv6Addr};

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Letters, digits and underscores that are no number.
    Word(String),
    /// A decimal number.
    Int(i64),
    /// A number after `0x`.
    Hex(i64),
    /// A number with a point, as it is written.
    Float(String),
    /// Between double quotes, escapes not yet resolved.
    Str(String),
    /// Between back quotes.
    Shell(String),
    /// Between `%{` and `}%`.
    Code(String),
    /// `--name`.
    Flag(String),
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6(Ipv6Addr),
    /// `...`.
    Ellipsis,
    /// Any other sign.
    Sign(char),
    /// After the last one.
    End,
}

/// A token and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: Place,
    /// As written, for numbers that are names after all (a cookie of decimal digits).
    pub(super) text: String,
    /// Nothing stands between it and the one before.
    pub(super) glued: bool,
}

/// All tokens of a text, [`Kind::End`] last.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Trouble> {
    let mut lexer = Lexer {
        rest: text,
        at: Place { line: 1, column: 1 },
    };
    let mut found = Vec::new();
    loop {
        let glued = !lexer.skip_blanks()?;
        let (at, before) = (lexer.at, lexer.rest);
        let kind = lexer.token()?;
        let text = before
            .get(..before.len() - lexer.rest.len())
            .unwrap_or_default()
            .to_owned();
        let end = kind == Kind::End;
        found.push(Token {
            kind,
            at,
            text,
            glued,
        });
        if end {
            return Ok(found);
        }
    }
}

struct Lexer<'a> {
    rest: &'a str,
    at: Place,
}

impl<'a> Lexer<'a> {
    fn trouble(&self, why: impl Into<String>) -> Trouble {
        Trouble::at(self.at, why)
    }

    /// Takes `n` bytes, which end where a character does.
    fn take(&mut self, n: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(n);
        for sign in taken.chars() {
            if sign == '\n' {
                self.at = Place {
                    line: self.at.line + 1,
                    column: 1,
                };
            } else {
                self.at.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    /// Skips blanks and comments; whether there were any.
    fn skip_blanks(&mut self) -> Result<bool, Trouble> {
        let mut any = self.at == Place { line: 1, column: 1 };
        loop {
            let blank = self.rest.len() - self.rest.trim_start().len();
            let comment = if blank > 0 {
                blank
            } else if self.rest.starts_with("//") || (any && self.rest.starts_with('#')) {
                self.rest.find('\n').unwrap_or(self.rest.len())
            } else if let Some(inside) = self.rest.strip_prefix("/*") {
                let Some(end) = inside.find("*/") else {
                    return Err(self.trouble("this comment has no end"));
                };
                end + 4
            } else {
                return Ok(any);
            };
            self.take(comment);
            any = true;
        }
    }

    fn token(&mut self) -> Result<Kind, Trouble> {
        let Some(first) = self.rest.chars().next() else {
            return Ok(Kind::End);
        };
        if let Some(kind) = self.bracketed(first)? {
            return Ok(kind);
        }
        if self.rest.starts_with("...") {
            self.take(3);
            return Ok(Kind::Ellipsis);
        }
        if let Some(name) = self.rest.strip_prefix("--") {
            let len = name.find(|c| !is_word(c)).unwrap_or(name.len());
            if len > 0 {
                return Ok(Kind::Flag(
                    self.take(len + 2).trim_start_matches('-').to_owned(),
                ));
            }
        }
        if let Some((kind, len)) = address(self.rest).or_else(|| number(self.rest)) {
            self.take(len);
            return Ok(kind);
        }
        let len = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        if len > 0 {
            return Ok(Kind::Word(self.take(len).to_owned()));
        }
        self.take(first.len_utf8());
        Ok(Kind::Sign(first))
    }

    /// What runs from one mark to another: strings, shell, code.
    fn bracketed(&mut self, first: char) -> Result<Option<Kind>, Trouble> {
        if self.rest.starts_with("%{") {
            let Some(end) = self.rest.find("}%") else {
                return Err(self.trouble("this %{ has no }%"));
            };
            let code = self.take(end + 2);
            return Ok(Some(Kind::Code(
                code.get(2..end).unwrap_or_default().to_owned(),
            )));
        }
        if first != '"' && first != '`' {
            return Ok(None);
        }
        let mut escaped = false;
        let end = self.rest.char_indices().skip(1).find(|(_, sign)| {
            let closes = *sign == first && !escaped;
            escaped = *sign == '\\' && !escaped;
            closes
        });
        let Some((end, _)) = end else {
            return Err(self.trouble(format!("this {first} has no second one")));
        };
        let inside = self
            .take(end + 1)
            .get(1..end)
            .unwrap_or_default()
            .to_owned();
        Ok(Some(if first == '"' {
            Kind::Str(inside)
        } else {
            Kind::Shell(inside)
        }))
    }
}

const fn is_word(sign: char) -> bool {
    sign.is_ascii_alphanumeric() || sign == '_'
}

/// An address, where one starts here: of IPv4 with three points, of IPv6 with `::` or eight
/// groups, so that sequence numbers (`1:1001`) are none.
fn address(text: &str) -> Option<(Kind, usize)> {
    let end = text.find(|c: char| !(c.is_ascii_hexdigit() || c == ':' || c == '.'));
    let mut run = text.get(..end.unwrap_or(text.len()))?;
    // A point or a colon that follows the address is not its own.
    while run.len() > 2 && (run.ends_with('.') || (run.ends_with(':') && !run.ends_with("::"))) {
        run = run.get(..run.len() - 1)?;
    }
    if text.get(run.len()..)?.starts_with(is_word) {
        return None;
    }
    if let Ok(four) = run.parse() {
        return Some((Kind::V4(four), run.len()));
    }
    run.parse().ok().map(|six| (Kind::V6(six), run.len()))
}

/// A number, where the longest run of signs that could be a word is one.
fn number(text: &str) -> Option<(Kind, usize)> {
    let minus = usize::from(text.starts_with('-'));
    let body = text.get(minus..)?;
    let digits = body
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(body.len());
    let after = body.get(digits..)?;
    if let Some(fraction) = after.strip_prefix('.') {
        let more = fraction
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(fraction.len());
        if more > 0 {
            let len = minus + digits + 1 + more;
            return Some((Kind::Float(text.get(..len)?.to_owned()), len));
        }
    }
    if digits == 0 {
        return None;
    }
    if let Some(hex) = body.strip_prefix("0x").filter(|_| minus == 0) {
        let len = hex.find(|c| !is_word(c)).unwrap_or(hex.len());
        let value = u64::from_str_radix(hex.get(..len)?, 16).ok()?;
        return Some((Kind::Hex(value.cast_signed()), len + 2));
    }
    if after.starts_with(is_word) {
        return None;
    }
    let len = minus + digits;
    text.get(..len)?
        .parse()
        .ok()
        .map(|value| (Kind::Int(value), len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind> {
        let mut kinds: Vec<_> = tokens(text).unwrap().into_iter().map(|t| t.kind).collect();
        assert_eq!(kinds.pop(), Some(Kind::End));
        kinds
    }

    fn word(text: &str) -> Kind {
        Kind::Word(text.into())
    }

    #[test]
    fn numbers_and_words_are_told_apart_by_the_longest_match() {
        assert_eq!(kinds("3021b9d889017eeb"), [word("3021b9d889017eeb")]);
        assert_eq!(kinds("0x2f -1"), [Kind::Hex(0x2f), Kind::Int(-1)]);
        assert_eq!(kinds("P.5"), [word("P"), Kind::Float(".5".into())]);
        assert_eq!(kinds("S."), [word("S"), Kind::Sign('.')]);
        assert_eq!(
            kinds("+0...0.5"),
            [
                Kind::Sign('+'),
                Kind::Int(0),
                Kind::Ellipsis,
                Kind::Float("0.5".into())
            ]
        );
        assert_eq!(kinds("1:1001")[1], Kind::Sign(':'));
        assert_eq!(kinds("192.168.0.1"), [Kind::V4([192, 168, 0, 1].into())]);
        assert_eq!(kinds("fd3d:0a0b::1").len(), 1);
        assert_eq!(kinds("::1").len(), 1);
    }

    #[test]
    fn comments_go_and_places_stay() {
        let found = tokens("// one\n# two\n  /* three\n */ a#b").unwrap();
        assert_eq!(found[0].kind, word("a"));
        assert_eq!(found[0].at, Place { line: 4, column: 5 });
        assert_eq!(found.len(), 4, "a sign within a word is no comment");
    }

    #[test]
    fn what_has_no_end_is_named() {
        for (text, line) in [("\n\"a", 2), ("`", 1), ("\n\n%{ x", 3), ("/*", 1)] {
            assert_eq!(tokens(text).unwrap_err().at.line, line);
        }
    }

    #[test]
    fn blocks_keep_their_text() {
        assert_eq!(
            kinds("`a \\` b` %{ x }% \"q\""),
            [
                Kind::Shell("a \\` b".into()),
                Kind::Code(" x ".into()),
                Kind::Str("q".into())
            ]
        );
    }
}
