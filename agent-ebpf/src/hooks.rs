//! One module per attach family.

mod close;
mod connect;
mod egress;
mod ingress;
mod sendmsg;
mod sock_ops;
