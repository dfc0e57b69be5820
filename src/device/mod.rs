//! The OS edge.
