//! Who takes a step, and who is somebody else.

use std::fmt;

/// A local user, as the kernel tells it of whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    pub uid: u32,
    /// The user that the session was opened for: `sudo` does not change it. `None` if none was.
    pub login: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Agent,
    Person(Person),
}

/// Why somebody cannot approve what another has asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnother {
    #[error("{0} has asked for it: another person must approve it, whoever runs the command")]
    Same(By),
    #[error(
        "root without a login cannot be told from whoever asked for it: approve it from the login \
         session of another person"
    )]
    Nameless,
    #[error(
        "root without a login has asked for it, and whoever may act as root may have: somebody who \
         does not act as root must approve it"
    )]
    ActsAsRoot,
    #[error("a person must approve it")]
    Nobody,
}

impl Person {
    /// The users that this may be.
    fn names(self) -> impl Iterator<Item = u32> {
        let own = Some(self.uid).filter(|uid| *uid != 0);
        own.into_iter().chain(self.login)
    }
}

impl By {
    /// # Errors
    /// If it may be the same person.
    pub(super) fn is_another_than(self, requester: Self) -> Result<(), NotAnother> {
        let Self::Person(approver) = self else {
            return Err(NotAnother::Nobody);
        };
        if approver.names().next().is_none() {
            return Err(NotAnother::Nameless);
        }
        let Self::Person(person) = requester else {
            return Ok(());
        };
        if approver
            .names()
            .any(|name| person.names().any(|other| other == name))
        {
            return Err(NotAnother::Same(requester));
        }
        if person.names().next().is_none() && approver.uid == 0 {
            return Err(NotAnother::ActsAsRoot);
        }
        Ok(())
    }
}

fn user(uid: u32) -> String {
    match uid {
        0 => "root".to_owned(),
        uid => format!("uid {uid}"),
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&user(self.uid))?;
        match self.login {
            Some(login) if login != self.uid => write!(f, " (login {})", user(login)),
            Some(_) | None => Ok(()),
        }
    }
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent => f.write_str("the agent"),
            Self::Person(person) => person.fmt(f),
        }
    }
}
