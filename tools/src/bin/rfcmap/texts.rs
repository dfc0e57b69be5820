//! An RFC's text: its sections, and the sentences in them that say MUST.

use super::citations::Citation;
use std::collections::BTreeSet;

/// How much of a sentence is shown.
const SHOWN: usize = 160;

/// A sentence that demands something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Must {
    pub(crate) section: String,
    /// Its numbers, in the one RFC that has any.
    ids: Vec<String>,
    sentence: String,
}

impl Must {
    /// Whether a citation of its RFC covers it: of its number where it has one, else of its
    /// section or a rule of that.
    pub(crate) fn is_covered(&self, citation: &Citation) -> bool {
        match &citation.id {
            Some(id) if !self.ids.is_empty() => self.ids.contains(id),
            _ if !self.ids.is_empty() => false,
            _ => citation.section == self.section,
        }
    }

    pub(crate) fn ids(&self) -> &[String] {
        &self.ids
    }

    pub(crate) fn shortened(&self) -> String {
        let mut short: String = self.sentence.chars().take(SHOWN).collect();
        if short.len() < self.sentence.len() {
            short.push('…');
        }
        short
    }
}

/// What is read of a text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Text {
    sections: BTreeSet<String>,
    pub(crate) musts: Vec<Must>,
}

impl Text {
    pub(crate) fn parse(text: &str) -> Self {
        let mut all = Self::default();
        let (mut section, mut paragraph) = (String::new(), String::new());
        for line in text.lines().filter(|line| !is_margin(line)) {
            if let Some(number) = heading(line) {
                all.take(&section, &core::mem::take(&mut paragraph));
                all.sections.insert(number.clone());
                section = number;
            } else if line.trim().is_empty() {
                all.take(&section, &core::mem::take(&mut paragraph));
            } else {
                if let Some(rule) = rule(line, &section) {
                    all.take(&section, &core::mem::take(&mut paragraph));
                    all.sections.insert(rule.to_owned());
                    section = rule.to_owned();
                }
                if !paragraph.is_empty() {
                    paragraph.push(' ');
                }
                paragraph.push_str(line.trim());
            }
        }
        all.take(&section, &paragraph);
        all
    }

    pub(crate) fn has(&self, section: &str) -> bool {
        self.sections.contains(section)
    }

    fn take(&mut self, section: &str, paragraph: &str) {
        // Before the first section there is the boilerplate that explains the word.
        let keywords = ["SHALL NOT", "RECOMMENDED", "OPTIONAL"].iter();
        if section.is_empty() || keywords.into_iter().all(|k| paragraph.contains(k)) {
            return;
        }
        for sentence in paragraph.split_inclusive(". ") {
            // Where the word is quoted, it is spoken of.
            let said: String = sentence.split('"').step_by(2).collect();
            let demands = said
                .split(|c: char| !c.is_alphanumeric())
                .any(|w| ["MUST", "SHALL", "REQUIRED"].contains(&w));
            if demands {
                self.musts.push(Must {
                    section: section.to_owned(),
                    ids: ids(sentence),
                    sentence: sentence.trim().to_owned(),
                });
            }
        }
    }
}

fn ids(sentence: &str) -> Vec<String> {
    let parts = sentence.split(|c: char| c.is_whitespace() || "(),;.[]".contains(c));
    parts
        .filter(|w| w.strip_prefix("MUST-").is_some_and(is_number))
        .map(str::to_owned)
        .collect()
}

fn is_number(text: &str) -> bool {
    let mut parts = text.split('.');
    !text.is_empty() && parts.all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit()))
}

/// A rule with a number, as RFC 6298's (2.1) in section 2, which may be cited as a section.
fn rule<'a>(line: &'a str, section: &str) -> Option<&'a str> {
    let (rule, _) = line.trim_start().strip_prefix('(')?.split_once(')')?;
    let (chapter, _) = rule.split_once('.')?;
    (is_number(rule) && section.split('.').next() == Some(chapter)).then_some(rule)
}

/// Page headers and footers.
fn is_margin(line: &str) -> bool {
    let footer = line.trim_end().ends_with(']') && line.contains("[Page ");
    let header = line.starts_with("RFC ") && line.len() > 60;
    footer || header || line.starts_with('\u{c}')
}

/// The number of the section that a line begins.
fn heading(line: &str) -> Option<String> {
    let indent = line.len() - line.trim_start().len();
    let (number, title) = line.trim().split_once(char::is_whitespace)?;
    let bare = number.trim_end_matches('.');
    // Deeper ones only with two parts at least: else they are items of lists.
    let deep = indent > 0;
    let begins = title
        .trim_start()
        .starts_with(|c: char| c.is_ascii_uppercase());
    let contents = title.contains("....")
        || title.contains(". . ")
        || title.ends_with(|c: char| c.is_ascii_digit()) && title.contains("  ");
    let whole = is_number(bare) && (!deep || bare.contains('.') && indent <= 12);
    (whole && begins && !contents).then(|| bare.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::citations;
    use super::*;

    const TEXT: &str = "\
   3.1.  Format . . . . . . . . . 7

3.1.  Format

   The key words MUST, SHALL NOT, RECOMMENDED and OPTIONAL...

   A box MUST be
   shut.  It may be red.  Its lid MUST NOT (MUST-7) be
Someone                      Standards Track                    [Page 4]
\u{c}
RFC 9999                     The Great Box Standard of          May 2020

   open.

   1.  Items are no sections.

      4.2.1  Deeper Things
            An item SHALL be green.

2.  Rules

   (2.4) Rules MUST count.
   (4.1) A step MUST not.
";

    #[test]
    fn musts_by_section() {
        let text = Text::parse(TEXT);
        let got: Vec<_> = text
            .musts
            .iter()
            .map(|m| (m.section.as_str(), m.sentence.as_str(), m.ids.len()))
            .collect();
        let want = [
            ("3.1", "A box MUST be shut.", 0),
            ("3.1", "Its lid MUST NOT (MUST-7) be", 1),
            ("4.2.1", "An item SHALL be green.", 0),
            ("2.4", "(2.4) Rules MUST count.", 0),
            ("2.4", "(4.1) A step MUST not.", 0),
        ];
        assert_eq!(got, want);
        assert!(text.has("4.2.1") && text.has("2.4") && !text.has("1"));
    }

    #[test]
    fn a_number_is_covered_by_itself_alone() {
        let text = Text::parse(TEXT);
        let cites = citations::of_source("stack/src/a.rs", "//= RFC 9293 §3.1 MUST-8\n");
        let covered = |n: usize| cites.iter().any(|c| text.musts[n].is_covered(c));
        assert!(covered(0) && !covered(1));
    }
}
