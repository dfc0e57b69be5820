//! The only room that joins link, net and transport.
