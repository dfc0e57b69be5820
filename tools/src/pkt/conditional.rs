//! `#ifdef` in a script: lines for one system's stack, or for those that do as the RFC says.

use crate::posix::Profile;
use std::borrow::Cow;

/// A text with the lines blank that are not for this profile; lines keep their numbers.
///
/// The original takes what begins with `#` for a comment: collections that have such lines are put
/// through a preprocessor first.
pub(super) fn select(text: &str, profile: Profile) -> Cow<'_, str> {
    if !text.lines().any(|line| line.starts_with("#if")) {
        return Cow::Borrowed(text);
    }
    let is_defined = |name: &str| match profile {
        Profile::Linux => matches!(name, "Linux" | "linux" | "__linux__"),
        Profile::FreeBsd => matches!(name, "FreeBSD" | "__FreeBSD__"),
    };
    // Whether lines count, for each `#if` that is open.
    let mut open: Vec<bool> = Vec::new();
    let mut selected = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut words = line.split_whitespace();
        match words.next() {
            Some("#ifdef") => open.push(words.next().is_some_and(is_defined)),
            Some("#ifndef") => open.push(!words.next().is_some_and(is_defined)),
            Some("#if") => open.push(words.next() != Some("0")),
            Some("#else") => {
                if let Some(last) = open.last_mut() {
                    *last = !*last;
                }
            }
            Some("#endif") => {
                open.pop();
            }
            _ if open.iter().all(|counts| *counts) => {
                selected.push_str(line);
                continue;
            }
            _ => {}
        }
        selected.push('\n');
    }
    Cow::Owned(selected)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_chosen_and_keep_their_numbers() {
        let text = "1\n#ifdef FreeBSD\n3\n#else\n5\n#endif\n#ifndef Linux\n8\n#endif\n10";
        let chosen = |profile| {
            let selected = select(text, profile);
            let lines = selected
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.is_empty());
            lines
                .map(|(at, line)| (at + 1, line.to_owned()))
                .collect::<Vec<_>>()
        };
        let pair = |n: usize| (n, n.to_string());
        assert_eq!(chosen(Profile::FreeBsd), [1, 3, 8, 10].map(pair));
        assert_eq!(chosen(Profile::Linux), [1, 5, 10].map(pair));
        assert!(matches!(select("# a", Profile::Linux), Cow::Borrowed(_)));
    }
}
