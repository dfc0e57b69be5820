//! The rows of the table: requirements, in our words, from the two lists beside this file.

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
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    /// Of RFC 9293.
    pub(crate) numbered: Vec<Numbered>,
    /// Each RFC with what it is about.
    pub(crate) titles: Vec<(u16, String)>,
    pub(crate) sections: Vec<Section>,
}

impl Rows {
    pub(crate) fn read() -> Result<Self, String> {
        let mut rows = Self {
            numbered: Vec::new(),
            titles: Vec::new(),
            sections: Vec::new(),
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
        self.sections.push(Section {
            rfc: self.titles.last()?.0,
            section: parts.next()?,
            what: parts.next()?,
            reason: parts.next(),
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
        core::iter::once(9293).chain(others).collect()
    }
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
