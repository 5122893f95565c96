//! Real requests over a real socket.
