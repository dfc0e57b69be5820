//! From program to program: UDP, raw sockets, ports.
