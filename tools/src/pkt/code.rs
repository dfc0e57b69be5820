//! `%{ … }%` blocks: assertions about a connection's status, in as much of Python as scripts use.
//!
//! ```text
//! statement = assert test (, message)? | name = test | print … | pass
//!           | if test: suite (elif test: suite)* (else: suite)? | for name in list: suite
//! suite     = what follows on the line, or the lines that are further in
//! test      = or ( if or else test )?     or, and, not, comparisons in a row, | ^ & << >> + - * / // % unary
//! atom      = number | 'text' | f'text {tuple}' | name | ( tuple ) | [ list ] | name( … )
//! ```
//!
//! Left out: definitions, `while`, and formats within texts. What is not understood is said to be so, never passed over.

use super::constants;
use crate::posix::TcpInfo;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

/// Variables that blocks of one script set for one another.
pub(super) type Variables = BTreeMap<String, Value>;

/// Why a block did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CodeError {
    /// An assertion is false: its text and message.
    Failed(String),
    /// It is not understood.
    Unknown(String),
}

type Result<T> = std::result::Result<T, CodeError>;

/// A value in an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    None,
}

use Value::{Float, Int, List, Text};

impl Value {
    /// Bytes and items in it.
    fn size(&self) -> usize {
        match self {
            Int(_) | Float(_) | Self::None => 1,
            Text(text) => 1 + text.len(),
            List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Int(value) => write!(f, "{value}"),
            Float(value) => write!(f, "{value}"),
            Text(text) => f.write_str(text),
            Self::None => f.write_str("None"),
            List(items) => {
                f.write_str("(")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl Value {
    fn truth(&self) -> bool {
        match self {
            Int(value) => *value != 0,
            Float(value) => *value != 0.0,
            Text(text) => !text.is_empty(),
            List(items) => !items.is_empty(),
            Self::None => false,
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "counters are far below 2^53")]
    const fn float(&self) -> Option<f64> {
        match self {
            Int(value) => Some(*value as f64),
            Float(value) => Some(*value),
            _ => None,
        }
    }

    fn compare(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Int(a), Int(b)) => Some(a.cmp(b)),
            (Text(a), Text(b)) => Some(a.cmp(b)),
            (List(a), List(b)) => {
                let pairs = a.iter().zip(b).map(|(a, b)| a.compare(b));
                let first = pairs
                    .into_iter()
                    .find(|order| *order != Some(Ordering::Equal));
                first.unwrap_or_else(|| Some(a.len().cmp(&b.len())))
            }
            _ => self.float()?.partial_cmp(&other.float()?),
        }
    }
}

/// Runs a block; `field` tells what `tcpi_…` is now.
pub(super) fn run(
    text: &str,
    field: &dyn Fn(&str) -> Option<i128>,
    variables: &mut Variables,
) -> Result<()> {
    let joined = text.replace("\\\n", " ");
    let mut reader = Reader {
        tokens: tokens(&joined)?,
        next: 0,
        depth: 0,
        indent: 0,
        steps: 0,
        field,
        variables,
    };
    while let Some(token) = reader.peek() {
        if let Token::Line(indent) = token {
            reader.indent = *indent;
            reader.next += 1;
        } else if !(reader.takes("\n") || reader.takes(";")) {
            reader.statement()?;
        }
    }
    Ok(())
}

/// Whether a block is understood, whatever its variables are.
pub(super) fn check(text: &str) -> std::result::Result<(), String> {
    match run(text, &|_| Some(1), &mut Variables::new()) {
        Err(CodeError::Unknown(why)) => Err(why),
        Ok(()) | Err(CodeError::Failed(_)) => Ok(()),
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Value(Value),
    Name(String),
    Sign(&'static str),
    /// A text with expressions in braces.
    Format(String),
    /// A line begins, so far in.
    Line(usize),
}

const SIGNS: [&str; 32] = [
    "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "<", ">", "=", "+", "-", "*", "/",
    "%", "&", "|", "^", "~", "(", ")", "[", "]", ",", ";", "\n", ":", ".", "!",
];

fn unknown<T>(why: impl Into<String>) -> Result<T> {
    Err(CodeError::Unknown(why.into()))
}

fn tokens(text: &str) -> Result<Vec<Token>> {
    let mut found = vec![Token::Line(indent_of(text))];
    let mut rest = text;
    let mut open = 0u32;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let word = rest.get(..word.unwrap_or(rest.len())).unwrap_or_default();
        if first == '#' {
            rest = rest
                .get(rest.find('\n').unwrap_or(rest.len())..)
                .unwrap_or_default();
            continue;
        }
        let taken = if first.is_ascii_digit() {
            let (value, len) = number(rest, word)?;
            found.push(Token::Value(value));
            len
        } else if let ("f", Some(quote @ ('"' | '\''))) = (word, rest.chars().nth(1)) {
            let (text, len) = quoted(rest.get(1..).unwrap_or_default(), quote)?;
            found.push(Token::Format(text));
            len + 1
        } else if !word.is_empty() {
            found.push(match word {
                "True" => Token::Value(Int(1)),
                "False" => Token::Value(Int(0)),
                "None" => Token::Value(Value::None),
                name => Token::Name(name.to_owned()),
            });
            word.len()
        } else if first == '"' || first == '\'' {
            let (text, len) = quoted(rest, first)?;
            found.push(Token::Value(Text(text)));
            len
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            match sign {
                "(" | "[" => open += 1,
                ")" | "]" => open = open.saturating_sub(1),
                _ => {}
            }
            // A line goes on within parentheses.
            if sign != "\n" || open == 0 {
                found.push(Token::Sign(sign));
            }
            if sign == "\n" && open == 0 {
                found.push(Token::Line(indent_of(rest.get(1..).unwrap_or_default())));
            }
            sign.len()
        } else if first.is_whitespace() {
            first.len_utf8()
        } else {
            return unknown(format!("`{first}` in code"));
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    Ok(found)
}

/// How far in a line begins.
fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches([' ', '\t']).len()
}

fn number(text: &str, word: &str) -> Result<(Value, usize)> {
    if let Some(hex) = word.strip_prefix("0x") {
        if let Ok(value) = i128::from_str_radix(hex, 16) {
            return Ok((Int(value), word.len()));
        }
    } else if let Some(fraction) = text.get(word.len()..).and_then(|t| t.strip_prefix('.')) {
        let digits = fraction
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(fraction.len());
        let len = word.len() + 1 + digits;
        if let Some(value) = text.get(..len).and_then(|t| t.parse().ok()) {
            return Ok((Float(value), len));
        }
    } else if let Ok(value) = word.parse() {
        return Ok((Int(value), word.len()));
    } else if let Ok(value) = word.parse() {
        // 1e6
        return Ok((Float(value), word.len()));
    }
    unknown(format!("`{word}` is no number"))
}

fn quoted(text: &str, quote: char) -> Result<(String, usize)> {
    let mut out = String::new();
    let mut signs = text.char_indices().skip(1);
    while let Some((at, sign)) = signs.next() {
        if sign == quote {
            return Ok((out, at + 1));
        }
        out.push(match sign {
            '\\' => match signs.next() {
                Some((_, 'n')) => '\n',
                Some((_, 't')) => '\t',
                Some((_, other)) => other,
                None => break,
            },
            plain => plain,
        });
    }
    unknown("a text without end in code")
}

/// So many statements end any block that scripts have.
const MOST_STEPS: u32 = 100_000;
/// Bytes and items of a value: no script has more, and what doubles itself has soon.
const MOST_SIZE: usize = 1 << 16;

/// Items that are a value together, as long as they are of any size that scripts have.
#[derive(Default)]
struct Items {
    list: Vec<Value>,
    size: usize,
}

impl Items {
    fn push(&mut self, item: Value) -> Result<()> {
        self.size += item.size();
        if self.size > MOST_SIZE {
            return unknown(format!("a value of more than {MOST_SIZE} bytes in code"));
        }
        self.list.push(item);
        Ok(())
    }
}

struct Reader<'a> {
    tokens: Vec<Token>,
    next: usize,
    depth: u8,
    /// How far in the present line begins.
    indent: usize,
    /// Statements run so far.
    steps: u32,
    field: &'a dyn Fn(&str) -> Option<i128>,
    variables: &'a mut Variables,
}

impl Reader<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn is(&self, text: &str) -> bool {
        match self.peek() {
            Some(Token::Name(name)) => name == text,
            Some(Token::Sign(sign)) => *sign == text,
            _ => false,
        }
    }

    fn takes(&mut self, text: &str) -> bool {
        let is = self.is(text);
        self.next += usize::from(is);
        is
    }

    fn needs(&mut self, text: &str) -> Result<()> {
        if self.takes(text) {
            Ok(())
        } else {
            unknown(format!("`{text}` missing in code"))
        }
    }

    fn ended(&self) -> bool {
        self.peek().is_none() || self.is("\n") || self.is(";")
    }

    fn statement(&mut self) -> Result<()> {
        self.steps += 1;
        if self.steps > MOST_STEPS || self.depth > 60 {
            return unknown("a block without end in code");
        }
        let depth = self.depth;
        self.depth += 1;
        if self.takes("if") {
            self.branches()?;
        } else if self.takes("for") {
            self.repeat()?;
        } else {
            self.simple()?;
        }
        self.depth = depth;
        Ok(())
    }

    /// `if` and what belongs to it.
    fn branches(&mut self) -> Result<()> {
        let indent = self.indent;
        let mut done = false;
        loop {
            let mut holds = false;
            if done {
                while !self.is(":") && !self.ended() {
                    self.next += 1;
                }
            } else {
                holds = self.test()?.truth();
            }
            self.needs(":")?;
            self.suite(indent, holds)?;
            done |= holds;
            let (before, ahead) = (self.next, self.ahead());
            if let Some((at, _)) = ahead.filter(|(_, at)| *at == indent) {
                self.next = at;
            }
            if self.takes("elif") {
                continue;
            }
            if self.takes("else") {
                self.needs(":")?;
                return self.suite(indent, !done);
            }
            self.next = before;
            return Ok(());
        }
    }

    /// `for`.
    fn repeat(&mut self) -> Result<()> {
        let indent = self.indent;
        let Some(Token::Name(name)) = self.peek().cloned() else {
            return unknown("`for` without a name in code");
        };
        self.next += 1;
        self.needs("in")?;
        let List(items) = self.tuple()? else {
            return unknown("`for` over what is no list in code");
        };
        self.needs(":")?;
        let start = self.next;
        if items.is_empty() {
            self.suite(indent, false)?;
        }
        for item in items {
            self.variables.insert(name.clone(), item);
            self.next = start;
            self.suite(indent, true)?;
        }
        Ok(())
    }

    /// What depends on a line that began `indent` in; it is passed over unless it `runs`.
    fn suite(&mut self, indent: usize, runs: bool) -> Result<()> {
        if !self.ended() {
            return self.line(runs);
        }
        let mut any = false;
        while let Some((at, deeper)) = self.ahead().filter(|(_, at)| *at > indent) {
            (self.next, self.indent, any) = (at, deeper, true);
            self.line(runs)?;
        }
        if any {
            Ok(())
        } else {
            unknown("a block without a statement in code")
        }
    }

    /// The statements up to the end of a line.
    fn line(&mut self, runs: bool) -> Result<()> {
        while self.peek().is_some() && !self.is("\n") {
            if !runs {
                self.next += 1;
            } else if !self.takes(";") {
                self.statement()?;
            }
        }
        Ok(())
    }

    /// Where the next line that is not empty begins, and how far in.
    fn ahead(&self) -> Option<(usize, usize)> {
        let mut indent = None;
        let rest = self.tokens.get(self.next..).unwrap_or_default();
        for (number, token) in rest.iter().enumerate() {
            match token {
                Token::Line(at) => indent = Some(*at),
                Token::Sign("\n") => {}
                _ => return indent.map(|indent| (self.next + number, indent)),
            }
        }
        None
    }

    fn simple(&mut self) -> Result<()> {
        if self.takes("assert") {
            self.assert()?;
        } else if self.takes("print") || self.takes("import") || self.takes("from") {
            while !self.ended() {
                self.next += 1;
            }
        } else if let (Some(Token::Name(name)), Some(Token::Sign("="))) =
            (self.peek(), self.tokens.get(self.next + 1))
        {
            let name = name.clone();
            self.next += 2;
            let value = self.tuple()?;
            self.variables.insert(name, value);
        } else if !self.takes("pass") {
            self.tuple()?;
        }
        if self.ended() {
            return Ok(());
        }
        match self.peek() {
            Some(Token::Name(name)) => unknown(format!("`{name}` in code")),
            Some(Token::Sign(sign)) => unknown(format!("`{}` in code", sign.escape_debug())),
            Some(Token::Value(value)) => unknown(format!("`{value}` in code")),
            Some(Token::Format(text)) => unknown(format!("`{text}` in code")),
            Some(Token::Line(_)) | None => Ok(()),
        }
    }

    fn assert(&mut self) -> Result<()> {
        let from = self.next;
        let holds = self.test()?.truth();
        let text = self.text(from, self.next);
        let message = if self.takes(",") {
            Some(self.tuple()?)
        } else {
            None
        };
        if holds {
            return Ok(());
        }
        let values = self.values(from);
        let message = message.map(|m| format!(" ({m})")).unwrap_or_default();
        Err(CodeError::Failed(format!("assert {text}{message}{values}")))
    }

    /// The tokens as text again.
    fn text(&self, from: usize, to: usize) -> String {
        let words = self
            .tokens
            .get(from..to)
            .unwrap_or_default()
            .iter()
            .map(|t| match t {
                Token::Value(Text(text)) => format!("'{text}'"),
                Token::Value(value) => value.to_string(),
                Token::Name(name) => name.clone(),
                Token::Sign(sign) => (*sign).to_owned(),
                Token::Format(text) => format!("f'{text}'"),
                Token::Line(_) => String::new(),
            });
        words.collect::<Vec<_>>().join(" ")
    }

    /// `; tcpi_lost is 3`, for the names in an assertion.
    fn values(&self, from: usize) -> String {
        let mut told = Vec::new();
        for token in self.tokens.get(from..self.next).unwrap_or_default() {
            if let Token::Name(name) = token
                && let Some(value) = (self.field)(name)
                && name.starts_with("tcpi_")
            {
                let line = format!("; {name} is {value}");
                if !told.contains(&line) {
                    told.push(line);
                }
            }
        }
        told.concat()
    }

    /// `a, b` is a tuple, `a` is itself.
    fn tuple(&mut self) -> Result<Value> {
        let first = self.test()?;
        if !self.is(",") {
            return Ok(first);
        }
        let mut items = Items::default();
        items.push(first)?;
        while self.takes(",") && !self.ended() && !self.is(")") {
            items.push(self.test()?)?;
        }
        Ok(List(items.list))
    }

    fn test(&mut self) -> Result<Value> {
        self.depth += 1;
        if self.depth > 60 {
            return unknown("too many parentheses within each other in code");
        }
        let value = self.or()?;
        self.depth -= 1;
        if !self.takes("if") {
            return Ok(value);
        }
        let holds = self.or()?.truth();
        self.needs("else")?;
        let other = self.test()?;
        Ok(if holds { value } else { other })
    }

    fn or(&mut self) -> Result<Value> {
        let mut left = self.and()?;
        while self.takes("or") || self.takes("||") {
            let right = self.and()?;
            left = if left.truth() { left } else { right };
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Value> {
        let mut left = self.not()?;
        while self.takes("and") || self.takes("&&") {
            let right = self.not()?;
            left = if left.truth() { right } else { left };
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Value> {
        let mut odd = false;
        let mut any = false;
        while self.takes("not") || self.takes("!") {
            odd = !odd;
            any = true;
        }
        let value = self.comparison()?;
        Ok(if any {
            Int(i128::from(value.truth() != odd))
        } else {
            value
        })
    }

    fn comparison(&mut self) -> Result<Value> {
        let mut left = self.binary(0)?;
        let mut holds = None;
        loop {
            let Some(sign) = ["==", "!=", "<=", ">=", "<", ">", "in", "not", "is"]
                .into_iter()
                .find(|sign| self.takes(sign))
            else {
                return Ok(holds.map_or(left, |holds| Int(i128::from(holds))));
            };
            let negated =
                (sign == "not" && self.takes("in")) || (sign == "is" && self.takes("not"));
            let right = self.binary(0)?;
            let this = match sign {
                "in" | "not" => match &right {
                    List(items) => items.contains(&left),
                    Text(text) => matches!(&left, Text(part) if text.contains(part.as_str())),
                    _ => return unknown("`in` something that is no list in code"),
                },
                "==" | "is" => left.compare(&right) == Some(Ordering::Equal) || left == right,
                "!=" => left.compare(&right) != Some(Ordering::Equal) && left != right,
                _ => {
                    let Some(order) = left.compare(&right) else {
                        return unknown(format!("{left} {sign} {right} in code"));
                    };
                    match sign {
                        "<" => order.is_lt(),
                        "<=" => order.is_le(),
                        ">" => order.is_gt(),
                        _ => order.is_ge(),
                    }
                }
            };
            holds = Some(holds.unwrap_or(true) && (this != negated));
            left = right;
        }
    }

    /// Operators of one rank, from the left.
    fn binary(&mut self, rank: usize) -> Result<Value> {
        const RANKS: [&[&str]; 6] = [
            &["|"],
            &["^"],
            &["&"],
            &["<<", ">>"],
            &["+", "-"],
            &["*", "//", "/", "%"],
        ];
        let Some(signs) = RANKS.get(rank) else {
            return self.unary();
        };
        let mut left = self.binary(rank + 1)?;
        while let Some(sign) = signs.iter().find(|sign| self.takes(sign)) {
            let right = self.binary(rank + 1)?;
            if left.size() + right.size() > MOST_SIZE {
                return unknown(format!("a value of more than {MOST_SIZE} bytes in code"));
            }
            let Some(value) = operate(&left, sign, &right) else {
                return unknown(format!("{left} {sign} {right} in code"));
            };
            left = value;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Value> {
        let Some(sign) = ["-", "+", "~"].into_iter().find(|sign| self.takes(sign)) else {
            let base = self.atom()?;
            if self.takes("**") {
                let power = self.unary()?;
                let Some(value) = operate(&base, "**", &power) else {
                    return unknown("a power in code");
                };
                return Ok(value);
            }
            return Ok(base);
        };
        self.depth += 1;
        if self.depth > 60 {
            return unknown("too many signs in a row in code");
        }
        let value = match (sign, self.unary()?) {
            ("-", Int(value)) => Int(value.saturating_neg()),
            ("-", Float(value)) => Float(-value),
            ("~", Int(value)) => Int(!value),
            ("+", value) => value,
            _ => return unknown("a sign before what is no number in code"),
        };
        self.depth -= 1;
        Ok(value)
    }

    fn atom(&mut self) -> Result<Value> {
        if self.takes("(") {
            if self.takes(")") {
                return Ok(List(Vec::new()));
            }
            let value = self.tuple()?;
            self.needs(")")?;
            return Ok(value);
        }
        if self.takes("[") {
            let items = self.items("]")?;
            return Ok(List(items));
        }
        match self.peek().cloned() {
            Some(Token::Value(mut value)) => {
                self.next += 1;
                // Texts that follow one another are one.
                while let (Text(text), Some(Token::Value(Text(more)))) = (&mut value, self.peek()) {
                    text.push_str(more);
                    self.next += 1;
                }
                Ok(value)
            }
            Some(Token::Name(name)) => {
                self.next += 1;
                self.name(&name)
            }
            Some(Token::Format(text)) => {
                self.next += 1;
                self.formatted(&text).map(Text)
            }
            Some(Token::Sign(sign)) => unknown(format!("`{}` in code", sign.escape_debug())),
            Some(Token::Line(_)) | None => unknown("an expression without end in code"),
        }
    }

    /// A text with what stands in braces worked out.
    fn formatted(&mut self, text: &str) -> Result<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some((plain, _)) = rest.split_once(['{', '}']) {
            out.push_str(plain);
            let more = rest.get(plain.len()..).unwrap_or_default();
            if more.starts_with("{{") || more.starts_with("}}") {
                out.push_str(more.get(..1).unwrap_or_default());
                rest = more.get(2..).unwrap_or_default();
                continue;
            }
            let inside = more.strip_prefix('{').and_then(|more| more.split_once('}'));
            let Some((inner, after)) = inside.filter(|(inner, _)| !inner.contains([':', '!']))
            else {
                return unknown(format!("the format in `{text}` in code"));
            };
            let mut reader = Reader {
                tokens: tokens(inner.trim())?,
                next: 1,
                depth: self.depth + 1,
                indent: 0,
                steps: self.steps,
                field: self.field,
                variables: &mut *self.variables,
            };
            let value = reader.tuple()?;
            if reader.peek().is_some() {
                return unknown(format!("`{inner}` in code"));
            }
            out.push_str(&value.to_string());
            if out.len() > MOST_SIZE {
                return unknown(format!("a value of more than {MOST_SIZE} bytes in code"));
            }
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }

    fn items(&mut self, close: &str) -> Result<Vec<Value>> {
        let mut items = Items::default();
        while !self.takes(close) {
            items.push(self.test()?)?;
            if !self.takes(",") {
                self.needs(close)?;
                break;
            }
        }
        Ok(items.list)
    }

    fn name(&mut self, name: &str) -> Result<Value> {
        if self.takes("(") {
            let items = self.items(")")?;
            return call(name, items);
        }
        if let Some(value) = self.variables.get(name) {
            return Ok(value.clone());
        }
        if let Some(value) = (self.field)(name)
            .filter(|_| name.starts_with("tcpi_") || name.starts_with("SK_MEMINFO_"))
        {
            return Ok(Int(value));
        }
        if let Some(value) = constants::value(name) {
            return Ok(Int(i128::from(value)));
        }
        if let Some(value) = (self.field)(name) {
            return Ok(Int(value));
        }
        if name.starts_with("tcpi_") && TcpInfo::default().get(name).is_some() {
            return unknown(format!("{name} is not counted"));
        }
        unknown(format!("`{name}` in code is not known"))
    }
}

fn call(name: &str, items: Vec<Value>) -> Result<Value> {
    let numbers: Option<Vec<f64>> = items.iter().map(Value::float).collect();
    let best = |wanted: Ordering| {
        items
            .iter()
            .reduce(|a, b| if b.compare(a) == Some(wanted) { b } else { a })
            .cloned()
    };
    #[allow(clippy::cast_possible_truncation, reason = "that is what int() does")]
    let value = match (name, items.as_slice(), numbers) {
        ("abs", [Int(value)], _) => Some(Int(value.saturating_abs())),
        ("abs", [Float(value)], _) => Some(Float(value.abs())),
        ("int", [Int(value)], _) => Some(Int(*value)),
        ("int", [Float(value)], _) => Some(Int(value.trunc() as i128)),
        ("round", [_], Some(numbers)) => numbers
            .first()
            .map(|value| Int(value.round_ties_even() as i128)),
        ("float", [_], Some(numbers)) => numbers.first().map(|value| Float(*value)),
        ("str" | "repr", [value], _) => Some(Text(value.to_string())),
        ("bool", [value], _) => Some(Int(i128::from(value.truth()))),
        ("min", [_, ..], _) => best(Ordering::Less),
        ("max", [_, ..], _) => best(Ordering::Greater),
        ("range", [Int(end @ 0..=10_000)], _) => Some(List((0..*end).map(Int).collect())),
        ("range", [Int(from @ 0..), Int(end @ ..=10_000)], _) => {
            Some(List((*from..*end).map(Int).collect()))
        }
        ("len", [List(items)], _) => i128::try_from(items.len()).ok().map(Int),
        _ => None,
    };
    value.map_or_else(|| unknown(format!("`{name}(…)` in code")), Ok)
}

fn operate(left: &Value, sign: &str, right: &Value) -> Option<Value> {
    match (left, sign, right) {
        (Text(pattern), "%", value) => return Some(Text(format_text(pattern, value))),
        (Text(a), "+", Text(b)) => return Some(Text(format!("{a}{b}"))),
        (List(a), "+", List(b)) => return Some(List([a.as_slice(), b].concat())),
        _ => {}
    }
    if let (Int(a), Int(b)) = (left, right)
        && sign != "/"
    {
        let shift = || u32::try_from(*b).ok();
        return Some(Int(match sign {
            "|" => a | b,
            "^" => a ^ b,
            "&" => a & b,
            "<<" => a.checked_mul(1i128.checked_shl(shift()?).filter(|power| *power > 0)?)?,
            ">>" => a.checked_shr(shift()?)?,
            "+" => a.checked_add(*b)?,
            "-" => a.checked_sub(*b)?,
            "*" => a.checked_mul(*b)?,
            "//" => a.checked_div_euclid(*b)?,
            "%" => a.checked_rem_euclid(*b)?,
            "**" => a.checked_pow(shift()?)?,
            _ => return None,
        }));
    }
    let (a, b) = (left.float()?, right.float()?);
    Some(Float(match sign {
        "+" => a + b,
        "-" => a - b,
        "*" => a * b,
        "/" if b != 0.0 => a / b,
        "//" if b != 0.0 => (a / b).floor(),
        "%" if b != 0.0 => a - b * (a / b).floor(),
        "**" => a.powf(b),
        _ => return None,
    }))
}

/// `'cwnd=%d' % 10`, for messages: widths are ignored.
fn format_text(pattern: &str, value: &Value) -> String {
    let mut items = match value {
        List(items) => items.clone(),
        one => vec![one.clone()],
    }
    .into_iter();
    let mut out = String::new();
    let mut signs = pattern.chars();
    while let Some(sign) = signs.next() {
        if sign != '%' {
            out.push(sign);
            continue;
        }
        match signs
            .by_ref()
            .find(|c| !(c.is_ascii_digit() || "+-. #l".contains(*c)))
        {
            Some('%') | None => out.push('%'),
            Some('x') => match items.next() {
                Some(Int(value)) => out.push_str(&format!("{value:x}")),
                other => out.push_str(&other.map_or_else(|| "?".into(), |v| v.to_string())),
            },
            Some(_) => out.push_str(&items.next().map_or_else(|| "?".into(), |v| v.to_string())),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str) -> Option<i128> {
        match name {
            "tcpi_snd_cwnd" => Some(10),
            "tcpi_rtt" => Some(7000),
            "tcpi_options" => Some(0x27),
            _ => None,
        }
    }

    fn holds(text: &str) -> Result<()> {
        run(text, &field, &mut Variables::new())
    }

    #[test]
    fn what_holds() {
        for text in [
            "assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd",
            "\nassert 5000 <= tcpi_rtt <= 20000, 'srtt=%d us' % tcpi_rtt\n",
            "assert (tcpi_options & TCPI_OPT_SYN_DATA) != 0, tcpi_options; \\\n assert 1",
            "assert not tcpi_snd_cwnd < 3 and TCP_CA_Recovery == 3 or 0",
            "x = 4; y = x * 2 + 2\nassert y == tcpi_snd_cwnd",
            "assert tcpi_snd_cwnd in (1, 10) and 3 not in [4, 5]",
            "assert 7 / 2 == 3.5 and 7 // 2 == 3 and -7 % 5 == 3 and 2 ** 3 == 8 and abs(-1) == 1",
            "print(tcpi_rtt, 'a')\n# a remark\nassert min(3, 1) == 1",
            "if tcpi_snd_cwnd == 10: x = 1; y = 2\nelse: assert 0\nassert (x, y) == (1, 2)",
            "if 0:\n  assert 0\n  if 1:\n    assert 0\nelif tcpi_rtt:\n  x = 3\nelse:\n  assert 0\nassert x == 3",
            "n = 0\nfor i in range(4):\n  if i == 2:\n    n = n + 10\n\n  n = n + i\nassert n == 16",
            " for i in (1, 2, 3): assert i < 4\n assert i == 3",
            "for i in []: assert 0\nimport sys\nassert 1",
            "assert f'{{cwnd}} {tcpi_snd_cwnd + 1}!' == '{cwnd} 11!'",
            "assert (1, 2) < (1, 3) and 1 << 4 == 0x10 and ~0 == -1 and (5 if 0 else 6) == 6",
        ] {
            assert_eq!(holds(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_does_not() {
        assert_eq!(
            holds("assert tcpi_snd_cwnd == 9, 'cwnd=%d' % tcpi_snd_cwnd"),
            Err(CodeError::Failed(
                "assert tcpi_snd_cwnd == 9 (cwnd=10); tcpi_snd_cwnd is 10".into()
            ))
        );
        assert_eq!(
            holds("for i in range(3):\n  if i == 2: assert i == 1, f'i={i}'"),
            Err(CodeError::Failed("assert i == 1 (i=2)".into()))
        );
        for text in [
            "for i in x: pass",
            "for i in 3: pass",
            "if 1:\nassert 1",
            "assert -(2 ** 126 * -2) < 0 and abs(2 ** 126 * -2) < 0 and frog",
            "for i in range(10000):\n  for j in range(10000): pass",
            "assert f'{tcpi_rtt:>5}' == ''",
            "assert f'{tcpi_rtt' == ''",
            "x = 'ab'\nfor i in range(60): x = x + x",
            "x = 'ab'\nfor i in range(60): x = f'{x}{x}'",
            "x = 'ab'\nfor i in range(60): x = '%s%s' % (x, x)",
            "x = 1\nfor i in range(60): x = (x, x)",
            "x = 1\nfor i in range(60): x = [x, x]",
            "x = 1\nfor i in range(200): x = str([x, x])",
            "def f(): pass",
            "assert",
            "assert frog",
            "assert 1 +",
            "assert 1 / 0",
            "@",
            "'",
        ] {
            assert!(matches!(holds(text), Err(CodeError::Unknown(_))), "{text}");
        }
        assert!(check(&format!("assert {}1", "(".repeat(100_000))).is_err());
        assert!(check(&format!("assert {}1", "-".repeat(100_000))).is_err());
    }
}
