//! Whom to believe: what each claim does to an entry.

use super::{Cache, Claim, Claims, Class, State};
use crate::reason::DropReason;
use crate::time::Instant;
use crate::wire::MacAddr;
use core::net::IpAddr;

impl Cache {
    /// Takes what a received packet says about a neighbour.
    ///
    /// # Errors
    /// Why the claim changed nothing: nobody asked ([`DropReason::ArpUnsolicited`]), it
    /// contradicts a protected entry, which is now being probed
    /// ([`DropReason::NeighborProtected`]), there is no room ([`DropReason::NeighborCacheFull`]),
    /// or the MAC is a group's ([`DropReason::ArpBadSender`]).
    pub fn handle_claim(
        &mut self,
        now: Instant,
        ip: IpAddr,
        mac: MacAddr,
        claim: Claim,
    ) -> Result<(), DropReason> {
        if !mac.is_unicast() {
            return Err(DropReason::ArpBadSender);
        }
        let Some(slot) = self.find(ip) else {
            return self.learn(now, ip, mac, claim);
        };
        let believes = self.config.claims == Claims::Believe;
        let Some(e) = self.entry(slot) else {
            return Err(DropReason::ArpUnsolicited);
        };
        match e.state {
            State::Permanent if e.mac == mac => Ok(()),
            State::Permanent => {
                self.stats.conflicts += 1;
                Err(DropReason::NeighborProtected)
            }
            State::Incomplete | State::Failed => {
                self.handle_first_claim(now, slot, mac, claim);
                Ok(())
            }
            _ if e.mac == mac => {
                //= RFC 4861 §7.3.1: Only an answer to our own question shows that the forward path
                // works; anything else proves the other direction at most. (An answer that nobody asked
                // for is believed where all is.)
                if (e.awaiting || believes) && matches!(claim, Claim::Reply { .. }) {
                    self.make_reachable(now, slot);
                }
                Ok(())
            }
            _ => self.handle_other_mac(now, slot, mac, claim),
        }
    }

    /// Notes whether a neighbour says that it is a router; whether it says so no more.
    //= RFC 4861 §7.2.5: each advertisement sets the IsRouter flag, also where nothing else changes.
    pub fn set_router(&mut self, ip: IpAddr, router: bool) -> bool {
        let slot = self.find(ip);
        let Some(e) = slot.and_then(|slot| self.entry(slot)) else {
            return false;
        };
        core::mem::replace(&mut e.router, router) && !router
    }

    /// A claim about a neighbour that is not there.
    fn learn(
        &mut self,
        now: Instant,
        ip: IpAddr,
        mac: MacAddr,
        claim: Claim,
    ) -> Result<(), DropReason> {
        //= RFC 4861 §7.2.5: Who is not in the cache was not asked for, and is not put there.
        if claim != Claim::Request {
            return Err(DropReason::ArpUnsolicited);
        }
        //= RFC 4861 §7.2.3: Who asks for us will be sent an answer, so is remembered as STALE.
        let slot = self
            .create(now, ip, State::Stale, Class::StaleUnconfirmed)
            .ok_or(DropReason::NeighborCacheFull)?;
        if let Some(e) = self.entry(slot) {
            e.mac = mac;
        }
        Ok(())
    }

    /// The first claim about a neighbour whose MAC is unknown.
    fn handle_first_claim(&mut self, now: Instant, slot: usize, mac: MacAddr, claim: Claim) {
        let Some(e) = self.entry(slot) else { return };
        e.mac = mac;
        e.confirmed = false;
        //= RFC 4861 §7.2.5: A solicited answer gives REACHABLE, any other STALE, and what was
        // queued leaves. The Override flag does not matter yet.
        let solicited =
            e.state == State::Incomplete && e.awaiting && matches!(claim, Claim::Reply { .. });
        let waiting = !e.parked.is_empty();
        if solicited {
            self.make_reachable(now, slot);
        } else if waiting {
            self.start_delay(now, slot);
        } else {
            self.enter(now, slot, State::Stale, None);
        }
        self.unpark(slot);
    }

    /// A claim of another MAC than the one in the cache.
    fn handle_other_mac(
        &mut self,
        now: Instant,
        slot: usize,
        mac: MacAddr,
        claim: Claim,
    ) -> Result<(), DropReason> {
        let believes = self.config.claims == Claims::Believe;
        let Some(e) = self.entry(slot) else {
            return Err(DropReason::ArpUnsolicited);
        };
        let protected = e.confirmed || e.state != State::Stale;
        match claim {
            //= RFC 4861 §7.2.5: Without the Override flag a contradiction changes no MAC; it makes
            // a REACHABLE neighbour STALE and is ignored in any other state.
            Claim::Reply { overrides: false } | Claim::Announcement { overrides: false } => {
                if e.state == State::Reachable {
                    self.enter(now, slot, State::Stale, None);
                }
                return Err(DropReason::NeighborProtected);
            }
            //= RFC 4861 §7.2.5, §7.2.3 and RFC 826 ("Packet Reception"): any other claim wins, and
            // makes STALE, but for an answer.
            _ if believes => {
                self.believe(now, slot, mac, claim);
                return Ok(());
            }
            // The answer to what we asked everyone, where hearsay came in first. A probe asks one
            // MAC only, which another does not answer.
            Claim::Reply { overrides: true }
                if e.awaiting && !e.confirmed && e.state != State::Probe =>
            {
                e.mac = mac;
                self.make_reachable(now, slot);
                return Ok(());
            }
            _ if !protected => {
                e.mac = mac;
                self.enter(now, slot, State::Stale, None);
                return Ok(());
            }
            _ => {}
        }
        // We differ, unless told otherwise: RFC 4861 §7.2.5 and RFC 826 let the newest claim win. We
        // keep the first rival and ask the known MAC; only its silence lets the rival in.
        let probing = e.state == State::Probe;
        e.rival.get_or_insert(mac);
        self.stats.conflicts += 1;
        if !probing {
            self.enter(now, slot, State::Probe, None);
            self.want(now, slot);
        }
        Err(DropReason::NeighborProtected)
    }

    /// Takes another MAC for what a neighbour has.
    fn believe(&mut self, now: Instant, slot: usize, mac: MacAddr, claim: Claim) {
        let Some(e) = self.entry(slot) else { return };
        e.mac = mac;
        e.rival = None;
        e.confirmed = false;
        e.awaiting = false;
        self.stats.replaced += 1;
        match claim {
            Claim::Reply { .. } => self.make_reachable(now, slot),
            _ => self.enter(now, slot, State::Stale, None),
        }
    }
}
