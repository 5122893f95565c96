//! One module per attach family.

mod close;
mod connect;
mod sendmsg;
mod sock_ops;
