//! The rows of the table: requirements, in our words, from the lists beside this file.

use super::shown::Shown;

/// A numbered requirement.
#[derive(Clone, Debug)]
pub(crate) struct Numbered {
    pub(crate) id: String,
    pub(crate) level: String,
    /// Where the RFC has it.
    pub(crate) sections: Vec<String>,
    pub(crate) what: String,
    /// Why it does not apply.
    pub(crate) reason: Option<String>,
}

/// A section of another RFC.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) rfc: u16,
    pub(crate) section: String,
    pub(crate) what: String,
    pub(crate) reason: Option<String>,
    /// The numbered requirements that it is the same as.
    pub(crate) same: Vec<String>,
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// Of RFC 9293.
    pub(crate) numbered: Vec<Numbered>,
    /// Each RFC with what it is about.
    pub(crate) titles: Vec<(u16, String)>,
    pub(crate) sections: Vec<Section>,
    /// Those that say themselves what shows them.
    pub(crate) shown: Shown,
}

impl Rows {
    pub(crate) fn read() -> Result<Self, String> {
        let mut rows = Self {
            numbered: Vec::new(),
            titles: Vec::new(),
            sections: Vec::new(),
            shown: Shown::parse(include_str!("ipv6.txt"))?,
        };
        for line in lines(include_str!("rfc9293.txt")) {
            let row = numbered(line).ok_or_else(|| format!("rfc9293.txt: `{line}`"))?;
            rows.numbered.push(row);
        }
        for line in lines(include_str!("sections.txt")) {
            rows.section(line)
                .ok_or_else(|| format!("sections.txt: `{line}`"))?;
        }
        Ok(rows)
    }

    fn section(&mut self, line: &str) -> Option<()> {
        if let Some(title) = line.strip_prefix("RFC ") {
            let (rfc, about) = title.split_once(' ')?;
            self.titles.push((rfc.parse().ok()?, about.to_owned()));
            return Some(());
        }
        let mut parts = line.split(" | ").map(|p| p.trim().to_owned());
        let (section, what) = (parts.next()?, parts.next()?);
        let reason = parts.next();
        let same = reason.as_deref().and_then(|r| r.strip_prefix("as "));
        self.sections.push(Section {
            rfc: self.titles.last()?.0,
            section,
            what,
            same: same.map(identifiers).unwrap_or_default(),
            reason,
        });
        Some(())
    }

    /// Whether a row says that this does not apply, or stands elsewhere.
    pub(crate) fn is_void(&self, rfc: u16, section: &str, ids: &[String]) -> bool {
        let by_number = |r: &Numbered| rfc == 9293 && r.reason.is_some() && ids.contains(&r.id);
        let by_section = |s: &Section| s.rfc == rfc && s.section == section && s.reason.is_some();
        self.numbered.iter().any(by_number) || self.sections.iter().any(by_section)
    }

    /// The RFCs that there are rows of.
    pub(crate) fn rfcs(&self) -> Vec<u16> {
        let others = self.titles.iter().map(|(rfc, _)| *rfc);
        let all = core::iter::once(9293).chain(others);
        all.chain(self.shown.rfcs()).collect()
    }
}

/// `MUST-4 to MUST-7, REC-1 and SHLD-5`: each of them.
fn identifiers(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut up_to = false;
    for word in text.split([' ', ',']).filter(|w| !w.is_empty()) {
        let Some((kind, number)) = word.split_once('-') else {
            up_to = word == "to";
            continue;
        };
        let Ok(last) = number.parse::<u16>() else {
            continue;
        };
        let before: Option<u16> = all.last().and_then(|id| id.split_once('-')?.1.parse().ok());
        let first = match before {
            Some(before) if up_to => before + 1,
            _ => last,
        };
        all.extend((first..=last).map(|n| format!("{kind}-{n}")));
        up_to = false;
    }
    all
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(str::trim)
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
}

fn numbered(line: &str) -> Option<Numbered> {
    let mut parts = line.split(" | ").map(|p| p.trim().to_owned());
    let (id, level) = (parts.next()?, parts.next()?);
    let sections = parts.next()?;
    let sections: Vec<_> = sections.split_whitespace().map(str::to_owned).collect();
    let what = parts.next()?;
    (!sections.is_empty()).then_some(Numbered {
        id,
        level,
        sections,
        what,
        reason: parts.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_the_same_as_others() {
        let ids = identifiers("MUST-4 to MUST-6, SHLD-5 and REC-1");
        assert_eq!(ids, ["MUST-4", "MUST-5", "MUST-6", "SHLD-5", "REC-1"]);
        let rows = Rows::read().unwrap();
        let known = |id: &String| rows.numbered.iter().any(|r| r.id == *id);
        assert!(rows.sections.iter().flat_map(|s| &s.same).all(known));
        let same = rows.sections.iter().filter(|s| !s.same.is_empty());
        assert!(same.count() > 25);
    }

    #[test]
    fn every_number_once() {
        let rows = Rows::read().unwrap();
        for (kind, count) in [("MUST", 69), ("SHLD", 31), ("MAY", 18), ("REC", 1)] {
            let numbers: Vec<u32> = rows
                .numbered
                .iter()
                .filter_map(|r| r.id.strip_prefix(kind)?.strip_prefix('-')?.parse().ok())
                .collect();
            assert_eq!(numbers, (1..=count).collect::<Vec<_>>(), "{kind}");
        }
        let mut keys: Vec<_> = rows.sections.iter().map(|s| (s.rfc, &s.section)).collect();
        let all = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), all);
    }
}
