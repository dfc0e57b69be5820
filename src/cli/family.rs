//! `-4` and `-6`: which family a client is to speak.
//!
//! ```text
//!   -4, -6 or neither --agrees(the address that was given)--> go on, or what is wrong
//! ```
//!
//! Addresses say it themselves, so that these only have to agree; who listens has none, and is told.

use super::Failure;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which family is asked for.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Family {
    /// IPv4 alone: an address of IPv6 is an error.
    #[arg(short = '4', long, conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// IPv6 alone: an address of IPv4 is an error.
    #[arg(short = '6', long)]
    pub ipv6: bool,
}

impl Family {
    /// Checks that `addr` is of the family.
    ///
    /// # Errors
    /// Exit code 2 where it is of the other.
    pub fn agrees(self, addr: IpAddr) -> Result<(), Failure> {
        let (is, asked) = match addr {
            IpAddr::V4(_) if self.ipv6 => ("IPv4", "-6 asks for IPv6"),
            IpAddr::V6(_) if self.ipv4 => ("IPv6", "-4 asks for IPv4"),
            _ => return Ok(()),
        };
        Err(Failure::usage(format!(
            "{addr} is an address of {is}, and {asked}"
        )))
    }

    /// All addresses of the family, or of both.
    #[must_use]
    pub const fn everywhere(self) -> IpAddr {
        match self.ipv4 {
            true => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            false => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attach::simulated;
    use super::*;

    #[test]
    fn a_family_agrees_with_its_own_addresses() {
        let (four, six) = ("10.7.0.1".parse().unwrap(), "fd07::1".parse().unwrap());
        for (line, fits4, fits6, all) in [
            ("", true, true, "::"),
            ("-4", true, false, "0.0.0.0"),
            ("-6", false, true, "::"),
            ("--ipv6", false, true, "::"),
        ] {
            let family: Family = simulated::args("ping", line).unwrap();
            let fits = [four, six].map(|addr| family.agrees(addr).is_ok());
            assert_eq!(fits, [fits4, fits6], "{line}");
            assert_eq!(family.everywhere().to_string(), all, "{line}");
        }
        let family: Family = simulated::args("ping", "-6").unwrap();
        let wrong = family.agrees(four).unwrap_err();
        assert_eq!(wrong.code, 2);
        let want = "10.7.0.1 is an address of IPv4, and -6 asks for IPv6";
        assert_eq!(wrong.message, want);
        assert!(simulated::args::<Family>("ping", "-4 -6").is_err());
    }
}
