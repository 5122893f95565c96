//! The store against restarts, crashes and foreign files.
