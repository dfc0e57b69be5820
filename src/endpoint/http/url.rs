//! An `http:` URL, and references to others from it.
//!
//! Read first: RFC 3986 §5.2 (resolution), RFC 9110 §4.2.1.

use stack::wire::zone::is_link_local;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The server's end; its zone is the user's to find.
    pub to: SocketAddr,
    /// The link that its address is one of, as it is called here (RFC 6874).
    pub zone: Option<String>,
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
        let (authority, zone) = without_zone(authority)?;
        let authority = authority.as_str();
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
        if zone.is_some() && !is_link_local(to.ip()) {
            return Err(format!("{} is of no link: leave out its zone", to.ip()));
        }
        Ok(Self {
            to,
            zone,
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
            return Self::parse(reference).map(|next| next.on_link_of(self));
        }
        if let Some(rest) = reference.strip_prefix("//") {
            return Self::parse(&format!("http://{rest}")).map(|next| next.on_link_of(self));
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
        let next = Self::parse(&format!("http://{}{target}", self.authority));
        next.map(|next| next.on_link_of(self))
    }

    /// The same on the link of the page that led here, which is the only one a server can mean.
    fn on_link_of(mut self, from: &Self) -> Self {
        if is_link_local(self.to.ip()) {
            self.zone = self.zone.or_else(|| from.zone.clone());
        }
        self
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

/// An authority, and the zone of its address taken out of it.
// RFC 6874: it stands behind %25 (a percent sign alone is taken as well), means something on this host
// alone, and is not sent.
fn without_zone(authority: &str) -> Result<(String, Option<String>), String> {
    let Some((before, rest)) = authority.split_once('%') else {
        return Ok((authority.to_owned(), None));
    };
    let rest = rest.strip_prefix("25").unwrap_or(rest);
    match rest.split_once(']') {
        Some((zone, after)) if before.starts_with('[') && !zone.is_empty() => {
            Ok((format!("{before}]{after}"), Some(zone.to_owned())))
        }
        _ => Err(format!(
            "'{authority}' is no address: [fe80::1%25eth0] is one with its link"
        )),
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
    fn a_zone_is_for_this_host_alone() {
        for (text, authority) in [
            ("http://[fe80::1%25tap0]/x", "[fe80::1]"),
            ("http://[fe80::1%tap0]:8000", "[fe80::1]:8000"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(url.zone.as_deref(), Some("tap0"), "{text}");
            assert_eq!(url.authority, authority);
            assert!(url.to.ip().is_ipv6());
            // Where it leads on its own link it is asked for there.
            for (reference, zone) in [
                ("y", Some("tap0")),
                ("http://[fe80::2]/", Some("tap0")),
                ("http://[fd07::2]/", None),
            ] {
                let next = url.join(reference).unwrap();
                assert_eq!(next.zone.as_deref(), zone, "{reference}");
            }
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("http://[fd07::1%25tap0]/", "is of no link"),
            ("http://[fe80::1%25]/", "is one with its link"),
            ("http://10.0.0.1%25tap0/", "is one with its link"),
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
