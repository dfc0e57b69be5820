//! Two connections against each other over good and bad wires, and one against the RFCs' words:
//! [`script`] is its notation.

mod accurate;
mod acks;
mod attack;
mod close;
mod ecn;
mod fast_open;
mod loss;
mod mtu;
mod musts;
mod open;
mod pair;
mod patience;
mod script;
mod streams;
mod walk;
mod window;
