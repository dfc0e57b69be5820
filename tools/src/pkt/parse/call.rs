//! System calls of a script, and their arguments.

use super::Parser;
use crate::pkt::lexer::Kind;
use crate::pkt::place::Trouble;
use crate::pkt::tree::{Expr, Field, SystemCall};

/// Braces and brackets within each other: real scripts have five.
const DEEPEST: u8 = 40;

impl Parser {
    pub(super) fn system_call(&mut self) -> Result<SystemCall, Trouble> {
        let end = if self.peek() == &Kind::Ellipsis {
            self.skip();
            Some(self.seconds()?)
        } else {
            None
        };
        let name = self.word("a system call")?;
        self.sign('(')?;
        let args = self.expressions(')')?;
        self.sign('=')?;
        let result = self.expression()?;
        let mut errno = None;
        if let Kind::Word(word) = self.peek() {
            errno = Some(word.clone());
            self.skip();
        }
        self.note()?;
        Ok(SystemCall {
            end,
            name,
            args,
            result,
            errno,
        })
    }

    /// `(Connection refused)`: for the reader only.
    fn note(&mut self) -> Result<(), Trouble> {
        if !self.takes('(') {
            return Ok(());
        }
        let mut open = 1;
        while open > 0 {
            match self.peek() {
                Kind::End => return Err(self.expected("`)`")),
                Kind::Sign('(') => open += 1,
                Kind::Sign(')') => open -= 1,
                _ => {}
            }
            self.skip();
        }
        Ok(())
    }

    /// Expressions up to and with the closing sign.
    fn expressions(&mut self, close: char) -> Result<Vec<Expr>, Trouble> {
        let mut list = Vec::new();
        if self.takes(close) {
            return Ok(list);
        }
        loop {
            list.push(self.expression()?);
            if self.takes(close) {
                return Ok(list);
            }
            if !self.takes(',') {
                return Err(self.expected(&format!("`,` or `{close}`")));
            }
        }
    }

    pub(super) fn expression(&mut self) -> Result<Expr, Trouble> {
        if self.depth > DEEPEST {
            return Err(self.trouble("too many brackets within each other"));
        }
        self.depth += 1;
        let value = self.alternatives();
        self.depth -= 1;
        value
    }

    fn alternatives(&mut self) -> Result<Expr, Trouble> {
        let mut value = self.primary()?;
        while self.takes('|') {
            let right = self.primary()?;
            value = Expr::Or(Box::new(value), Box::new(right));
        }
        Ok(value)
    }

    fn primary(&mut self) -> Result<Expr, Trouble> {
        self.takes('&');
        let value = match self.peek().clone() {
            Kind::Ellipsis => Expr::Ellipsis,
            Kind::Int(value) | Kind::Hex(value) => Expr::Int(value),
            Kind::V4(ip) => Expr::Ip(ip.into()),
            Kind::V6(ip) => Expr::Ip(ip.into()),
            Kind::Str(_) => return self.strings(),
            Kind::Word(word) => {
                self.skip();
                return self.after_word(word);
            }
            Kind::Sign('[') => {
                self.skip();
                return Ok(Expr::List(self.expressions(']')?));
            }
            Kind::Sign('{') => {
                self.skip();
                return self.members();
            }
            _ => return Err(self.expected("an argument")),
        };
        self.skip();
        Ok(value)
    }

    fn after_word(&mut self, word: String) -> Result<Expr, Trouble> {
        if self.takes('(') {
            return Ok(Expr::Apply(word, self.expressions(')')?));
        }
        if self.takes('=') {
            return Ok(Expr::Named(word, Box::new(self.expression()?)));
        }
        Ok(if word == "NULL" {
            Expr::Int(0)
        } else {
            Expr::Word(word)
        })
    }

    /// Strings that follow one another are one; `"…"...` is it and more.
    fn strings(&mut self) -> Result<Expr, Trouble> {
        let mut bytes = Vec::new();
        while let Kind::Str(text) = self.peek() {
            let Some(more) = unescape(text) else {
                return Err(self.expected("a string with known escapes"));
            };
            bytes.extend(more);
            self.skip();
        }
        if self.peek() == &Kind::Ellipsis {
            self.skip();
        }
        Ok(Expr::Str(bytes))
    }

    fn members(&mut self) -> Result<Expr, Trouble> {
        let mut fields = Vec::new();
        if self.takes('}') {
            return Ok(Expr::Struct(fields));
        }
        loop {
            fields.push(match self.expression()? {
                Expr::Named(name, value) => Field {
                    name: Some(name),
                    size: None,
                    value: *value,
                },
                // msg_iov(1) = […]
                Expr::Apply(name, args) if self.takes('=') => Field {
                    name: Some(name),
                    size: args.into_iter().next(),
                    value: self.expression()?,
                },
                value => Field {
                    name: None,
                    size: None,
                    value,
                },
            });
            if self.takes('}') {
                return Ok(Expr::Struct(fields));
            }
            if !self.takes(',') {
                return Err(self.expected("`,` or `}`"));
            }
        }
    }
}

/// C's escapes.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut signs = text.chars();
    while let Some(sign) = signs.next() {
        if sign != '\\' {
            bytes.extend(sign.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        bytes.push(match signs.next()? {
            'n' => b'\n',
            't' => b'\t',
            'r' => b'\r',
            '0' => 0,
            'x' => {
                let digits: String = signs.by_ref().take(2).collect();
                u8::from_str_radix(&digits, 16).ok()?
            }
            plain @ ('\\' | '"' | '\'' | '`') => plain.try_into().ok()?,
            _ => return None,
        });
    }
    Some(bytes)
}
