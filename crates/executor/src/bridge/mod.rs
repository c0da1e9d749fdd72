//! The JavaScript client's side of a turn: commands in, completions and fired timers out.
