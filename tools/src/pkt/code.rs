//! `%{ … }%` blocks: assertions about a connection's status, in as much of Python as scripts use.
//!
//! ```text
//! statement = assert test (, message)? | name (+= and such | =) test | print … | pass
//!           | if test: suite (elif test: suite)* (else: suite)? | for name in list: suite
//!           | while test: suite | break | continue | def name(a, b): suite | return test?
//! suite     = what follows on the line, or the lines that are further in
//! test      = or ( if or else test )?     or, and, not, comparisons in a row, | ^ & << >> + - * / // % unary
//! atom      = number | 'text' | f'text {tuple}' | name | ( tuple ) | [ list ]
//!           | [ test for name in list (if test)? ] | name( … ) | atom[ number ]
//! ```
//!
//! Left out: dictionaries, exceptions, classes, lambdas, and formats within texts. What is not
//! understood is said to be so with its line, never passed over.

use super::constants;
use crate::posix::TcpInfo;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

/// Variables that blocks of one script set for one another.
pub(super) type Variables = BTreeMap<String, Value>;

/// Why a block did not hold, and in which of its lines, from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    pub(super) line: u32,
    pub(super) error: CodeError,
}

/// Why a block did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CodeError {
    /// An assertion is false: its text and message.
    Failed(String),
    /// It is not understood.
    Unknown(String),
    /// It would go on for ever, or as good as.
    Endless,
}

type Result<T> = std::result::Result<T, CodeError>;

/// A value in an expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Self>),
    Function(Rc<Function>),
    None,
}

/// What `def` makes.
#[derive(Debug, PartialEq)]
pub(super) struct Function {
    tokens: Rc<Tokens>,
    names: Vec<String>,
    /// Where its suite begins, and how far in its line does.
    start: usize,
    indent: usize,
}

use Value::{Float, Int, List, Text};

impl Value {
    /// Bytes and items in it.
    fn size(&self) -> usize {
        match self {
            Int(_) | Float(_) | Self::Function(_) | Self::None => 1,
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
            Self::Function(_) => f.write_str("a function"),
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
            Self::Function(_) => true,
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
) -> std::result::Result<(), Trouble> {
    let mut line = 0;
    let tokens = tokens(text, &mut line).map_err(|error| Trouble { line, error })?;
    let mut reader = Reader {
        tokens: Rc::new(tokens),
        next: 0,
        depth: 0,
        indent: 0,
        steps: 0,
        line: 0,
        field,
        variables,
        locals: None,
        flow: None,
    };
    let ran = reader.all();
    let line = reader.line;
    ran.map_err(|error| Trouble { line, error })
}

/// Whether a block is understood, as far as it comes with numbers that are all one; gives whether
/// that is to its end.
pub(super) fn check(
    text: &str,
    variables: &mut Variables,
) -> std::result::Result<bool, (u32, String)> {
    match run(text, &|_| Some(1), variables) {
        Ok(()) => Ok(true),
        Err(Trouble {
            line,
            error: CodeError::Unknown(why),
        }) => Err((line, why)),
        // With other numbers it may go on, or end.
        Err(_) => Ok(false),
    }
}

/// Tokens, and the lines they are in.
#[derive(Debug, Default, PartialEq)]
struct Tokens {
    all: Vec<Token>,
    lines: Vec<u32>,
}

impl Tokens {
    fn push(&mut self, token: Token, line: u32) {
        self.all.push(token);
        self.lines.push(line);
    }
}

/// What has ended a suite before its end.
#[derive(Clone, Debug, PartialEq)]
enum Flow {
    Break,
    Continue,
    Return(Value),
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

const SIGNS: [&str; 37] = [
    "**", "//", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||", "+=", "-=", "*=", "|=", "&=", "<",
    ">", "=", "+", "-", "*", "/", "%", "&", "|", "^", "~", "(", ")", "[", "]", ",", ";", "\n", ":",
    ".", "!",
];

/// Statements of Python's that are not understood.
const UNKNOWN: [&str; 12] = [
    "try", "except", "finally", "with", "class", "lambda", "raise", "global", "nonlocal", "del",
    "yield", "async",
];

fn unknown<T>(why: impl Into<String>) -> Result<T> {
    Err(CodeError::Unknown(why.into()))
}

/// Reads a block; `line` is where it has come to.
fn tokens(text: &str, line: &mut u32) -> Result<Tokens> {
    let mut found = Tokens::default();
    found.push(Token::Line(indent_of(text)), 0);
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
        let taken = if let Some(joined) = rest.strip_prefix("\\\n") {
            *line += 1;
            rest.len() - joined.len()
        } else if first.is_ascii_digit() {
            let (value, len) = number(rest, word)?;
            found.push(Token::Value(value), *line);
            len
        } else if let ("f", Some(quote @ ('"' | '\''))) = (word, rest.chars().nth(1)) {
            let (text, len) = quoted(rest.get(1..).unwrap_or_default(), quote)?;
            found.push(Token::Format(text), *line);
            len + 1
        } else if !word.is_empty() {
            let token = match word {
                "True" => Token::Value(Int(1)),
                "False" => Token::Value(Int(0)),
                "None" => Token::Value(Value::None),
                name => Token::Name(name.to_owned()),
            };
            found.push(token, *line);
            word.len()
        } else if first == '"' || first == '\'' {
            let (text, len) = quoted(rest, first)?;
            found.push(Token::Value(Text(text)), *line);
            len
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            match sign {
                "(" | "[" => open += 1,
                ")" | "]" => open = open.saturating_sub(1),
                _ => {}
            }
            // A line goes on within parentheses.
            if sign != "\n" || open == 0 {
                found.push(Token::Sign(sign), *line);
            }
            *line += u32::from(sign == "\n");
            if sign == "\n" && open == 0 {
                let indent = indent_of(rest.get(1..).unwrap_or_default());
                found.push(Token::Line(indent), *line);
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
    tokens: Rc<Tokens>,
    next: usize,
    depth: u8,
    /// How far in the present line begins.
    indent: usize,
    /// Statements run so far.
    steps: u32,
    /// The line of the statement that is run.
    line: u32,
    field: &'a dyn Fn(&str) -> Option<i128>,
    variables: &'a mut Variables,
    /// A function's own.
    locals: Option<Variables>,
    flow: Option<Flow>,
}

impl Reader<'_> {
    /// The whole block.
    fn all(&mut self) -> Result<()> {
        while let Some(token) = self.peek() {
            if let Token::Line(indent) = token {
                self.indent = *indent;
                self.next += 1;
            } else if !(self.takes("\n") || self.takes(";")) {
                self.statement()?;
            }
            if self.flow.is_some() {
                return unknown("`break`, `continue` or `return` outside of what it ends in code");
            }
        }
        Ok(())
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.all.get(self.next)
    }

    fn set(&mut self, name: &str, value: Value) {
        let variables = self.locals.as_mut().unwrap_or(self.variables);
        variables.insert(name.to_owned(), value);
    }

    fn get(&self, name: &str) -> Option<Value> {
        let local = self.locals.as_ref().and_then(|locals| locals.get(name));
        local.or_else(|| self.variables.get(name)).cloned()
    }

    /// A name that must follow.
    fn named(&mut self, what: &str) -> Result<String> {
        let Some(Token::Name(name)) = self.peek().cloned() else {
            return unknown(format!("{what} without a name in code"));
        };
        self.next += 1;
        Ok(name)
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
        let line = self.tokens.lines.get(self.next);
        self.line = line.copied().unwrap_or(self.line);
        self.steps += 1;
        if self.steps > MOST_STEPS {
            return Err(CodeError::Endless);
        }
        if self.depth > 60 {
            return unknown("blocks within blocks without end in code");
        }
        let depth = self.depth;
        self.depth += 1;
        if self.takes("if") {
            self.branches()?;
        } else if self.takes("for") {
            self.repeat()?;
        } else if self.takes("while") {
            self.repeat_while()?;
        } else if self.takes("def") {
            self.define()?;
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
        let name = self.named("`for`")?;
        self.needs("in")?;
        let List(items) = self.tuple()? else {
            return unknown("`for` over what is no list in code");
        };
        self.needs(":")?;
        let start = self.next;
        for item in items {
            self.set(&name, item);
            self.next = start;
            self.suite(indent, true)?;
            if self.leaves() {
                break;
            }
        }
        self.next = start;
        self.suite(indent, false)
    }

    /// `while`.
    fn repeat_while(&mut self) -> Result<()> {
        let (indent, test) = (self.indent, self.next);
        loop {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Err(CodeError::Endless);
            }
            self.next = test;
            let holds = self.test()?.truth();
            self.needs(":")?;
            let start = self.next;
            if holds {
                self.suite(indent, true)?;
                if !self.leaves() {
                    continue;
                }
            }
            self.next = start;
            return self.suite(indent, false);
        }
    }

    /// Whether a loop is over before its end: a suite of it has ended early.
    fn leaves(&mut self) -> bool {
        match self.flow {
            None => false,
            Some(Flow::Continue) => {
                self.flow = None;
                false
            }
            Some(Flow::Break) => {
                self.flow = None;
                true
            }
            Some(Flow::Return(_)) => true,
        }
    }

    /// `def`.
    fn define(&mut self) -> Result<()> {
        let indent = self.indent;
        let name = self.named("`def`")?;
        self.needs("(")?;
        let mut names = Vec::new();
        while !self.takes(")") {
            names.push(self.named("a parameter")?);
            if !self.takes(",") {
                self.needs(")")?;
                break;
            }
        }
        self.needs(":")?;
        let function = Function {
            tokens: Rc::clone(&self.tokens),
            names,
            start: self.next,
            indent,
        };
        self.set(&name, Value::Function(Rc::new(function)));
        self.suite(indent, false)
    }

    /// Calls what `def` has made.
    fn call_function(&mut self, function: &Function, items: Vec<Value>) -> Result<Value> {
        if items.len() != function.names.len() {
            let wanted = function.names.len();
            return unknown(format!("a function of {wanted} called with others in code"));
        }
        let names = function.names.iter().cloned();
        let mut reader = Reader {
            tokens: Rc::clone(&function.tokens),
            next: function.start,
            // Each takes as much of our own stack as several blocks within blocks.
            depth: self.depth + 6,
            indent: function.indent,
            steps: self.steps,
            line: self.line,
            field: self.field,
            variables: &mut *self.variables,
            locals: Some(names.zip(items).collect()),
            flow: None,
        };
        let ran = reader.suite(function.indent, true);
        let (steps, line, flow) = (reader.steps, reader.line, reader.flow.take());
        self.steps = steps;
        if let Err(error) = ran {
            self.line = line;
            return Err(error);
        }
        match flow {
            None => Ok(Value::None),
            Some(Flow::Return(value)) => Ok(value),
            Some(_) => unknown("`break` or `continue` outside of a loop in code"),
        }
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
            if self.flow.is_some() {
                return Ok(());
            }
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
                if self.flow.is_some() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Where the next line that is not empty begins, and how far in.
    fn ahead(&self) -> Option<(usize, usize)> {
        let mut indent = None;
        let rest = self.tokens.all.get(self.next..).unwrap_or_default();
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
        } else if self.takes("break") {
            self.flow = Some(Flow::Break);
        } else if self.takes("continue") {
            self.flow = Some(Flow::Continue);
        } else if self.takes("return") {
            let value = match self.ended() {
                true => Value::None,
                false => self.tuple()?,
            };
            self.flow = Some(Flow::Return(value));
        } else if let (
            Some(Token::Name(name)),
            Some(Token::Sign(sign @ ("=" | "+=" | "-=" | "*=" | "|=" | "&="))),
        ) = (self.peek(), self.tokens.all.get(self.next + 1))
        {
            let (name, sign) = (name.clone(), *sign);
            self.next += 2;
            let value = self.tuple()?;
            let value = match sign.strip_suffix('=').filter(|sign| !sign.is_empty()) {
                None => value,
                Some(sign) => {
                    let Some(old) = self.get(&name) else {
                        return unknown(format!("`{name}` in code is not known"));
                    };
                    combine(&old, sign, &value)?
                }
            };
            self.set(&name, value);
        } else if let Some(Token::Name(name)) = self.peek()
            && UNKNOWN.contains(&name.as_str())
        {
            return unknown(format!("`{name}` in code"));
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
            .all
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
        for token in self.tokens.all.get(from..self.next).unwrap_or_default() {
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
            left = combine(&left, sign, &right)?;
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Value> {
        let Some(sign) = ["-", "+", "~"].into_iter().find(|sign| self.takes(sign)) else {
            let base = self.element()?;
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

    /// A value, or what is at a place in it.
    fn element(&mut self) -> Result<Value> {
        let mut value = self.atom()?;
        while self.takes("[") {
            let at = self.test()?;
            self.needs("]")?;
            let place = |len: usize| match at {
                Int(at @ 0..) => usize::try_from(at).ok(),
                Int(at) => len.checked_sub(usize::try_from(-at).ok()?),
                _ => None,
            };
            let found = match &value {
                List(items) => place(items.len()).and_then(|at| items.get(at).cloned()),
                Text(text) => place(text.chars().count())
                    .and_then(|at| text.chars().nth(at))
                    .map(|sign| Text(sign.to_string())),
                _ => None,
            };
            let Some(found) = found else {
                return unknown(format!("{value}[{at}] in code"));
            };
            value = found;
        }
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
                tokens: Rc::new(tokens(inner.trim(), &mut 0)?),
                next: 1,
                depth: self.depth + 1,
                indent: 0,
                steps: self.steps,
                line: self.line,
                field: self.field,
                variables: &mut *self.variables,
                locals: self.locals.clone(),
                flow: None,
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

    /// Whether `for` stands before the parenthesis that is open closes.
    fn has_for(&self) -> bool {
        let mut open = 0;
        for token in self.tokens.all.get(self.next..).unwrap_or_default() {
            match token {
                Token::Sign("(" | "[") => open += 1,
                Token::Sign(")" | "]") if open == 0 => return false,
                Token::Sign(")" | "]") => open -= 1,
                Token::Sign("," | "\n") if open == 0 => return false,
                Token::Name(name) if open == 0 && name == "for" => return true,
                _ => {}
            }
        }
        false
    }

    /// Passes over what stands before a word or a sign, or before what closes.
    fn pass(&mut self, words: &[&str]) {
        let mut open = 0;
        while let Some(token) = self.peek() {
            match token {
                Token::Sign("(" | "[") => open += 1,
                _ if open == 0 && words.iter().any(|word| self.is(word)) => return,
                Token::Sign(")" | "]") => open -= 1,
                _ => {}
            }
            self.next += 1;
        }
    }

    /// `test for name in list (if test)?`, up to what closes it.
    fn comprehension(&mut self, close: &str) -> Result<Vec<Value>> {
        let start = self.next;
        self.pass(&["for"]);
        self.needs("for")?;
        let name = self.named("`for`")?;
        self.needs("in")?;
        let List(list) = self.or()? else {
            return unknown("`for` over what is no list in code");
        };
        let condition = self.takes("if").then_some(self.next);
        self.pass(&[close]);
        let end = self.next;
        let before = self.get(&name);
        let mut items = Items::default();
        for item in list {
            self.steps += 1;
            if self.steps > MOST_STEPS {
                return Err(CodeError::Endless);
            }
            self.set(&name, item);
            if let Some(condition) = condition {
                self.next = condition;
                let holds = self.test()?.truth();
                if !self.is(close) {
                    return unknown("a list of lists in code");
                }
                if !holds {
                    continue;
                }
            }
            self.next = start;
            items.push(self.test()?)?;
        }
        if let Some(before) = before {
            self.set(&name, before);
        }
        self.next = end;
        self.needs(close)?;
        Ok(items.list)
    }

    fn items(&mut self, close: &str) -> Result<Vec<Value>> {
        if self.has_for() {
            let list = self.comprehension(close)?;
            // In a call it is the one argument.
            return Ok(if close == ")" { vec![List(list)] } else { list });
        }
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
            return match self.get(name) {
                Some(Value::Function(function)) => self.call_function(&function, items),
                _ => call(name, items),
            };
        }
        if let Some(value) = self.get(name) {
            return Ok(value);
        }
        if UNKNOWN.contains(&name) {
            return unknown(format!("`{name}` in code"));
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

/// Two values by a sign, as long as what comes of it is of any size that scripts have.
fn combine(left: &Value, sign: &str, right: &Value) -> Result<Value> {
    if left.size() + right.size() > MOST_SIZE {
        return unknown(format!("a value of more than {MOST_SIZE} bytes in code"));
    }
    match operate(left, sign, right) {
        Some(value) => Ok(value),
        None => unknown(format!("{left} {sign} {right} in code")),
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
        ("any", [List(items)], _) => Some(Int(items.iter().any(Value::truth).into())),
        ("all", [List(items)], _) => Some(Int(items.iter().all(Value::truth).into())),
        ("sum", [List(items)], _) => items
            .iter()
            .try_fold(Int(0), |sum, item| operate(&sum, "+", item)),
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
        run(text, &field, &mut Variables::new()).map_err(|trouble| trouble.error)
    }

    /// The line that is told of.
    fn line(text: &str) -> Option<u32> {
        let ran = run(text, &field, &mut Variables::new());
        ran.err().map(|trouble| trouble.line)
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
            "n = 0\nwhile True:\n  n += 1\n  if n == 3: continue\n  if n > 5:\n    break\nassert n == 6",
            "n = 4\nwhile n: n -= 1\nassert n == 0",
            "for i in range(9):\n  if i == 4: break\n  j = i\nassert (i, j) == (4, 3)",
            "def f(a, b):\n  c = a + b\n  return c * 2\nassert f(1, 2) == 6",
            "c = 5\ndef f(a):\n  c = a\n  for i in range(3):\n    if i == a: return i\nassert f(1) == 1 and c == 5 and f(7) is None",
            "def f(n):\n  if n < 2: return 1\n  return n * f(n - 1)\nassert f(4) == 24",
            "assert [i * i for i in range(4) if i != 1] == [0, 4, 9] and [i for i in []] == []",
            "i = 8\nassert any(i == 2 for i in (1, 2)) and not all([i < 2 for i in (1, 2)]) and i == 8",
            "assert (1, 2)[1] == 2 and 'abc'[-1] == 'c' and sum([x for x in (1, 2)]) == 3",
            "assert (1, 2) < (1, 3) and 1 << 4 == 0x10 and ~0 == -1 and (5 if 0 else 6) == 6",
        ] {
            assert_eq!(holds(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn the_line_is_told() {
        for (text, at) in [
            ("assert 1\nassert 0", 1),
            ("\n\nx = 1\n\nassert x == \\\n 2\n", 4),
            ("assert 1 == \\\n 1\nassert 0", 2),
            ("assert (1,\n 2)\nassert 0", 2),
            ("if 1:\n  x = 1\n  assert 0\n", 2),
            ("for i in (1, 2):\n  x = i\n  assert i == 1\n", 2),
            ("def f(a):\n  x = a\n  assert a\nf(1)\nf(0)", 2),
            ("x = 1\ntry:\n  x = 2", 1),
            ("x = 1\n\ny = @", 2),
            ("n = 3\nwhile n:\n  n -= 1\nassert n", 3),
        ] {
            assert_eq!(line(text), Some(at), "{text}");
        }
        let told = check("x = 1\nwhile x:\n  try: pass", &mut Variables::new());
        assert_eq!(told, Err((2, "`try` in code".to_owned())));
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
            "assert f'{tcpi_rtt:>5}' == ''",
            "assert f'{tcpi_rtt' == ''",
            "x = 'ab'\nfor i in range(60): x = x + x",
            "x = 'ab'\nfor i in range(60): x = f'{x}{x}'",
            "x = 'ab'\nfor i in range(60): x = '%s%s' % (x, x)",
            "x = 1\nfor i in range(60): x = (x, x)",
            "x = 1\nfor i in range(60): x = [x, x]",
            "x = 1\nfor i in range(200): x = str([x, x])",
            "try: x = 1",
            "f = lambda: 1",
            "with x: pass",
            "break",
            "def f(a): return a\nassert f(1, 2)",
            "def f(a): return f(a)\nassert f(1)",
            "x = {}",
            "x = (1, 2)[2]",
            "assert",
            "assert frog",
            "assert 1 +",
            "assert 1 / 0",
            "@",
            "'",
        ] {
            assert!(matches!(holds(text), Err(CodeError::Unknown(_))), "{text}");
        }
        for text in [
            "for i in range(10000):\n  for j in range(10000): pass",
            "while 1: pass",
            "while 1:\n  continue",
        ] {
            assert_eq!(holds(text), Err(CodeError::Endless), "{text}");
            assert_eq!(check(text, &mut Variables::new()), Ok(false), "{text}");
        }
        assert!(
            check(
                &format!("assert {}1", "(".repeat(100_000)),
                &mut Variables::new()
            )
            .is_err()
        );
        assert!(
            check(
                &format!("assert {}1", "-".repeat(100_000)),
                &mut Variables::new()
            )
            .is_err()
        );
    }
}
