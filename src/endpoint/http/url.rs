//! An `http:` URL, and references to others from it.
//!
//! Read first: RFC 3986 §5.2 (resolution), RFC 9110 §4.2.1.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The server's end.
    pub to: SocketAddr,
    /// What `Host` says.
    pub authority: String,
    /// Path and query, as they are asked for.
    pub target: String,
}

impl Url {
    /// Reads an absolute URL.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(format!(
                "'{scheme}' is not spoken here: give http://ADDRESS/PATH"
            ));
        }
        let rest = rest.split('#').next().unwrap_or_default();
        let at = rest.find(['/', '?']).unwrap_or(rest.len());
        if at == 0 {
            return Err("no address: give http://ADDRESS/PATH".to_owned());
        }
        let (authority, target) = rest.split_at(at);
        if authority.contains('@') {
            return Err("no user names and passwords".to_owned());
        }
        let named = || {
            format!(
                "'{authority}' is no address: give one, as 10.7.0.2 (names are not looked up yet)"
            )
        };
        //= RFC 3986 §3.2.3: digits behind the last colon; an address of IPv6 stands in brackets.
        if let Some((host, port)) = authority.rsplit_once(':')
            && (host.ends_with(']') || !host.contains(':'))
            && port.parse::<u16>().is_err()
        {
            return Err(format!("'{port}' is no port: 1 to 65535"));
        }
        let to: SocketAddr = match authority.parse() {
            Ok(to) => to,
            Err(_) => {
                let bare = authority.trim_start_matches('[').trim_end_matches(']');
                SocketAddr::new(bare.parse::<IpAddr>().map_err(|_| named())?, 80)
            }
        };
        if to.port() == 0 {
            return Err("port 0 is nobody's".to_owned());
        }
        let odd = |c: char| c.is_ascii_control() || c == ' ' || !c.is_ascii();
        if target.contains(odd) {
            return Err("write spaces and other letters in a path as %20 and the like".to_owned());
        }
        Ok(Self {
            to,
            authority: authority.to_owned(),
            target: match target.starts_with('/') {
                true => target.to_owned(),
                false => format!("/{target}"),
            },
        })
    }

    /// What a `Location` means from here (RFC 3986 §5.2.2).
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn join(&self, reference: &str) -> Result<Self, String> {
        let reference = reference.split('#').next().unwrap_or_default();
        let scheme = reference.split(['/', '?']).next().unwrap_or_default();
        if scheme.contains(':') {
            return Self::parse(reference);
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("http://{rest}"));
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let target = if reference.is_empty() {
            self.target.clone()
        } else if reference.starts_with('/') {
            without_dots(reference)
        } else if reference.starts_with('?') {
            format!("{path}{reference}")
        } else {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            without_dots(&format!("{folder}/{reference}"))
        };
        Self::parse(&format!("http://{}{target}", self.authority))
    }

    /// The last part of the path; a name for a file.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let path = self.target.split('?').next()?;
        path.rsplit('/').next().filter(|name| !name.is_empty())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.authority, self.target)
    }
}

/// RFC 3986 §5.2.4.
fn without_dots(target: &str) -> String {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let mut kept: Vec<&str> = Vec::new();
    let mut parts = path.trim_start_matches('/').split('/').peekable();
    while let Some(part) = parts.next() {
        let last = parts.peek().is_none();
        match part {
            "." if last => kept.push(""),
            "." => {}
            ".." => {
                kept.pop();
                if last {
                    kept.push("");
                }
            }
            part => kept.push(part),
        }
    }
    let path = kept.join("/");
    match query {
        Some(query) => format!("/{path}?{query}"),
        None => format!("/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_urls() {
        for (text, to, target) in [
            ("http://10.7.0.2", "10.7.0.2:80", "/"),
            ("http://10.7.0.2:8080/a/b?c#d", "10.7.0.2:8080", "/a/b?c"),
            ("10.7.0.2/x", "10.7.0.2:80", "/x"),
            ("HTTP://10.7.0.2?q", "10.7.0.2:80", "/?q"),
            ("http://[fd07::2]:81/", "[fd07::2]:81", "/"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.to, url.target.as_str()),
                (to.parse().unwrap(), target),
                "{text}"
            );
        }
        for wrong in [
            "https://10.7.0.2/",
            "http://name/",
            "http://10.7.0.2:0/",
            "http://10.7.0.2/a b",
        ] {
            assert!(Url::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("http://10.7.0.1:99999/", "'99999' is no port"),
            ("10.7.0.1:x", "'x' is no port"),
            ("http://[fd07::2]:70000/", "'70000' is no port"),
            ("http://name:80/", "names are not looked up"),
            ("", "no address"),
            ("http:///x", "no address"),
        ] {
            let wrong = Url::parse(text).unwrap_err();
            assert!(wrong.contains(why), "{text}: {wrong}");
        }
    }

    #[test]
    fn references() {
        let from = Url::parse("http://10.7.0.2/a/b/c?q").unwrap();
        for (reference, want) in [
            ("/x", "http://10.7.0.2/x"),
            ("x?y", "http://10.7.0.2/a/b/x?y"),
            ("../x", "http://10.7.0.2/a/x"),
            ("../../../x/./", "http://10.7.0.2/x/"),
            ("?z", "http://10.7.0.2/a/b/c?z"),
            ("", "http://10.7.0.2/a/b/c?q"),
            ("//10.7.0.3/x", "http://10.7.0.3/x"),
            ("http://10.7.0.4:81/", "http://10.7.0.4:81/"),
        ] {
            assert_eq!(
                from.join(reference).unwrap().to_string(),
                want,
                "{reference}"
            );
        }
        assert!(from.join("https://10.7.0.2/").is_err());
    }
}
