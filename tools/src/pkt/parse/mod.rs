//! Tokens to a script, by recursive descent.
//!
//! ```text
//! script  = option* shell? event* shell?
//! event   = time ( packet | call | shell | code )
//! time    = t | +t | t~t | +t~+t | *
//! packet  = ( < | > ) ( outer : )* [ip]? ( segment | udp | icmp )
//! outer   = ipv4 a > b | ipv6 a > b | gre field* | mpls (label)+
//! call    = (... t)? name ( expr, … ) = expr ERRNO? (note)?
//! ```

mod call;
mod outer;
mod packet;

use super::lexer::{Kind, Token, tokens};
use super::place::{Place, Trouble};
use super::tree::{Action, Defines, Event, Script, Time};

/// Reads a script; `defines` are names from outside it, which win over its own.
///
/// # Errors
/// Where it is not in packetdrill's notation: the first place, and what was expected there.
pub fn parse(text: &str, defines: &Defines) -> Result<Script, Trouble> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        next: 0,
        depth: 0,
        any_timestamp: false,
        live_echo: false,
    };
    let mut script = Script {
        options: parser.options()?,
        ..Script::default()
    };
    let mut names = defines.clone();
    for (name, value) in &script.options {
        if name == "define"
            && let Some((symbol, meaning)) = value.as_deref().and_then(|v| v.split_once('='))
        {
            names
                .entry(symbol.to_owned())
                .or_insert_with(|| meaning.to_owned());
        }
    }
    parser.substitute(&names)?;
    script.init = parser.shell();
    while parser.peek() != &Kind::End {
        if let Some(block) = parser.shell() {
            if parser.peek() != &Kind::End {
                return Err(parser.trouble("a time must stand before each event"));
            }
            script.cleanup = Some(block);
            break;
        }
        script.events.push(parser.event()?);
    }
    Ok(script)
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: u8,
    /// Said of the timestamps of the segment that is read.
    any_timestamp: bool,
    live_echo: bool,
}

const NOTHING: &Kind = &Kind::End;

impl Parser {
    fn token(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn peek(&self) -> &Kind {
        self.peek_at(0)
    }

    fn peek_at(&self, ahead: usize) -> &Kind {
        self.tokens
            .get(self.next + ahead)
            .map_or(NOTHING, |t| &t.kind)
    }

    fn place(&self) -> Place {
        self.token()
            .or(self.tokens.last())
            .map_or_else(Place::default, |t| t.at)
    }

    fn trouble(&self, why: impl Into<String>) -> Trouble {
        Trouble::at(self.place(), why)
    }

    /// "expected X, found Y" at the present place.
    fn expected(&self, what: &str) -> Trouble {
        let found = match self.token() {
            None
            | Some(Token {
                kind: Kind::End, ..
            }) => "the end".to_owned(),
            Some(token) => {
                let mut text: String = token.text.chars().take(24).collect();
                if text.len() < token.text.len() {
                    text.push('…');
                }
                format!("`{text}`")
            }
        };
        self.trouble(format!("expected {what}, found {found}"))
    }

    fn skip(&mut self) {
        self.next += 1;
    }

    /// Takes this sign if it is next.
    fn takes(&mut self, sign: char) -> bool {
        let is = self.peek() == &Kind::Sign(sign);
        if is {
            self.skip();
        }
        is
    }

    fn sign(&mut self, sign: char) -> Result<(), Trouble> {
        if self.takes(sign) {
            Ok(())
        } else {
            Err(self.expected(&format!("`{sign}`")))
        }
    }

    fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Kind::Word(found) if found == word)
    }

    /// Takes this word if it is next.
    fn takes_word(&mut self, word: &str) -> bool {
        let is = self.is_word(word);
        if is {
            self.skip();
        }
        is
    }

    fn word(&mut self, what: &str) -> Result<String, Trouble> {
        let Kind::Word(word) = self.peek() else {
            return Err(self.expected(what));
        };
        let word = word.clone();
        self.skip();
        Ok(word)
    }

    /// A whole number that fits.
    fn number<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T, Trouble> {
        let (Kind::Int(value) | Kind::Hex(value)) = self.peek() else {
            return Err(self.expected(what));
        };
        let Ok(value) = T::try_from(*value) else {
            return Err(self.trouble(format!("{what} is out of range: {value}")));
        };
        self.skip();
        Ok(value)
    }

    fn shell(&mut self) -> Option<(Place, String)> {
        let at = self.place();
        let Kind::Shell(text) = self.peek() else {
            return None;
        };
        let text = text.clone();
        self.skip();
        Some((at, text))
    }

    fn options(&mut self) -> Result<Vec<(String, Option<String>)>, Trouble> {
        let mut options = Vec::new();
        while let Kind::Flag(name) = self.peek() {
            let name = name.clone();
            self.skip();
            let mut value = None;
            if self.takes('=') {
                let mut text = String::new();
                while let Some(token) = self.token()
                    && token.kind != Kind::End
                    && (text.is_empty() || token.glued)
                {
                    text.push_str(&token.text);
                    self.skip();
                }
                if text.is_empty() {
                    return Err(self.expected("the option's value"));
                }
                value = Some(text);
            }
            options.push((name, value));
        }
        Ok(options)
    }

    /// Puts in what defined names stand for.
    fn substitute(&mut self, names: &Defines) -> Result<(), Trouble> {
        for token in self.tokens.iter_mut().skip(self.next) {
            let Kind::Word(word) = &token.kind else {
                continue;
            };
            let Some(meaning) = names.get(word) else {
                continue;
            };
            let found = tokens(meaning).map_err(|trouble| {
                Trouble::at(
                    token.at,
                    format!("in the definition of {word}: {}", trouble.why),
                )
            })?;
            token.kind = match found.as_slice() {
                [one, _end] => one.kind.clone(),
                _ => Kind::Word(meaning.clone()),
            };
            token.text = meaning.trim_matches(['"', '`']).to_owned();
        }
        Ok(())
    }

    fn event(&mut self) -> Result<Event, Trouble> {
        let at = self.place();
        let time = self.time()?;
        let start = self.place();
        let action = match self.peek() {
            Kind::Sign('<' | '>') => Action::Packet(Box::new(self.packet()?)),
            Kind::Word(_) | Kind::Ellipsis => Action::Call(Box::new(self.system_call()?)),
            Kind::Shell(text) => {
                let text = text.clone();
                self.skip();
                Action::Shell(text)
            }
            Kind::Code(text) => {
                let text = text.clone();
                self.skip();
                Action::Code(start, text)
            }
            _ => return Err(self.expected("a packet (`<`, `>`), a call, a `…` or a %{…}% block")),
        };
        let outbound = matches!(&action, Action::Packet(packet) if packet.outbound);
        match time {
            Time::At(_) | Time::After(_) => {}
            _ if outbound => {}
            Time::Any => {
                return Err(Trouble::at(at, "the time * is for outbound packets only"));
            }
            _ => {
                return Err(Trouble::at(
                    at,
                    "a range of times is for outbound packets only",
                ));
            }
        }
        Ok(Event { at, time, action })
    }

    fn time(&mut self) -> Result<Time, Trouble> {
        let at = self.place();
        if self.takes('*') {
            return Ok(Time::Any);
        }
        let relative = self.takes('+');
        let from = self.seconds()?;
        if !self.takes('~') {
            return Ok(if relative {
                Time::After(from)
            } else {
                Time::At(from)
            });
        }
        if relative {
            self.sign('+')?;
        }
        let to = self.seconds()?;
        if to < from {
            return Err(Trouble::at(at, "this range of times runs backwards"));
        }
        Ok(if relative {
            Time::AfterBetween(from, to)
        } else {
            Time::Between(from, to)
        })
    }

    /// A time in nanoseconds.
    fn seconds(&mut self) -> Result<u64, Trouble> {
        let nanos = match self.peek() {
            Kind::Int(whole) if *whole >= 0 => whole.cast_unsigned().checked_mul(1_000_000_000),
            Kind::Float(text) => decimal(text),
            Kind::Int(_) => return Err(self.trouble("a time is not negative")),
            _ => return Err(self.expected("a time")),
        };
        // Beyond a century it is a slip, and sums of times might overflow.
        let Some(nanos) = nanos.filter(|n| *n < 4_000_000_000_000_000_000) else {
            return Err(self.trouble("this is no time"));
        };
        self.skip();
        Ok(nanos)
    }
}

/// Nanoseconds of `1.25`, exactly; digits past the ninth are dropped.
fn decimal(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.')?;
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let fraction: String = fraction
        .chars()
        .chain("000000000".chars())
        .take(9)
        .collect();
    whole
        .checked_mul(1_000_000_000)?
        .checked_add(fraction.parse().ok()?)
}

#[cfg(test)]
mod tests;
