//! Two connections against each other over good and bad wires.

mod pair;
mod streams;
