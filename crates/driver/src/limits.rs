//! Every capacity, and the compile-time relations between them.
