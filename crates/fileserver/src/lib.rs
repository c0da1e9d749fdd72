//! Placeholder: the crate's owner writes this line first.
