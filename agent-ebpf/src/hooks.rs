//! One module per attach family.

mod calls;
mod cgroup;
mod close;
mod connect;
mod egress;
mod foreign_send;
mod ingress;
mod process;
mod sendmsg;
mod sock_create;
mod sock_ops;
