//! Two connections against each other over good and bad wires, and one against the RFCs' words:
//! [`script`] is its notation.

mod acks;
mod close;
mod fast_open;
mod open;
mod pair;
mod script;
mod streams;
mod window;
