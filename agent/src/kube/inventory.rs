//! What is known about the node's pods, and how fresh it is. Pure: time is an argument.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::{ContainerInfo, PodInfo, Update};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inventory {
    pods: BTreeMap<PodKey, PodInfo>,
    /// By their ids.
    by_container: BTreeMap<String, PodKey>,
    state: State,
    /// When what is known was current for the last time; `None` if nothing ever was.
    current_at: Option<Timestamp>,
}

/// A pod's UID, the same for all spellings: with dashes, with the underscores of systemd's slices,
/// with neither.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodKey(String);

impl PodKey {
    #[must_use]
    pub fn of(uid: &str) -> Self {
        let digits = uid.chars().filter(|digit| !matches!(digit, '-' | '_'));
        Self(digits.map(|digit| digit.to_ascii_lowercase()).collect())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Connected,
    Away { since: Timestamp, why: String },
}

impl Inventory {
    /// What an earlier agent knew, until somebody answers.
    #[must_use]
    pub fn remembered(pods: Vec<PodInfo>, current_at: Option<Timestamp>, now: Timestamp) -> Self {
        let mut inventory = Self {
            pods: BTreeMap::new(),
            by_container: BTreeMap::new(),
            state: State::Away {
                since: now,
                why: "no answer yet".to_owned(),
            },
            current_at,
        };
        inventory.replace(pods);
        inventory
    }

    /// Takes an update in and returns the pods about which something else is known now.
    pub fn apply(&mut self, update: Update, now: Timestamp) -> BTreeSet<PodKey> {
        match update {
            Update::Replaced(pods) => {
                self.current_at = Some(now);
                let before = std::mem::take(&mut self.pods);
                self.replace(pods);
                let known = before.keys().chain(self.pods.keys());
                let changed = known.filter(|key| before.get(key) != self.pods.get(key));
                changed.cloned().collect()
            }
            Update::Applied(pod) => {
                let key = PodKey::of(&pod.uid);
                if self.pods.get(&key) == Some(&pod) {
                    return BTreeSet::new();
                }
                self.pods.insert(key.clone(), pod);
                self.index();
                BTreeSet::from([key])
            }
            Update::Deleted(uid) => {
                let key = PodKey::of(&uid);
                let removed = self.pods.remove(&key);
                self.index();
                removed.map(|_| key).into_iter().collect()
            }
            Update::Connected => {
                self.state = State::Connected;
                self.current_at = Some(now);
                BTreeSet::new()
            }
            Update::Away { since, why } => {
                self.touch(now);
                self.state = State::Away { since, why };
                BTreeSet::new()
            }
        }
    }

    /// Notes that time has passed in which nothing has changed.
    pub fn touch(&mut self, now: Timestamp) {
        if self.state == State::Connected {
            self.current_at = Some(now);
        }
    }

    fn replace(&mut self, pods: Vec<PodInfo>) {
        self.pods = pods
            .into_iter()
            .map(|pod| (PodKey::of(&pod.uid), pod))
            .collect();
        self.index();
    }

    fn index(&mut self) {
        self.by_container = self
            .pods
            .iter()
            .flat_map(|(key, pod)| {
                let ids = pod.containers.iter().map(|container| container.id.clone());
                ids.map(|id| (id, key.clone()))
            })
            .collect();
    }

    /// The pod that a cgroup belongs to, by what its path says, and the container if it is known.
    #[must_use]
    pub fn find(
        &self,
        uid: Option<&str>,
        container: Option<&str>,
    ) -> Option<(&PodInfo, Option<&ContainerInfo>)> {
        let pod = self.pods.get(&self.key(uid, container)?)?;
        let container = pod
            .containers
            .iter()
            .find(|one| Some(one.id.as_str()) == container);
        Some((pod, container))
    }

    /// Which pod that would be, whether it is known or not.
    #[must_use]
    pub fn key(&self, uid: Option<&str>, container: Option<&str>) -> Option<PodKey> {
        // A path that names a pod means that one, whatever container is below it.
        match uid {
            Some(uid) => Some(PodKey::of(uid)),
            None => self.by_container.get(container?).cloned(),
        }
    }

    pub fn pods(&self) -> impl Iterator<Item = &PodInfo> {
        self.pods.values()
    }

    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    #[must_use]
    pub const fn current_at(&self) -> Option<Timestamp> {
        self.current_at
    }

    /// How old what is known may be; `None` if nothing was ever known.
    #[must_use]
    pub fn age(&self, now: Timestamp) -> Option<SignedDuration> {
        match self.state {
            State::Connected => Some(SignedDuration::ZERO),
            State::Away { .. } => {
                let age = now.duration_since(self.current_at?);
                Some(age.max(SignedDuration::ZERO))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::constant(1_750_000_000 + seconds, 0)
    }

    fn id(digit: char) -> String {
        digit.to_string().repeat(64)
    }

    fn pod(uid: &str, containers: &[char]) -> PodInfo {
        PodInfo {
            uid: uid.to_owned(),
            namespace: "team".to_owned(),
            name: format!("pod-{uid}"),
            containers: containers
                .iter()
                .map(|digit| ContainerInfo {
                    id: id(*digit),
                    name: format!("c{digit}"),
                    image: "image".to_owned(),
                })
                .collect(),
            ..PodInfo::default()
        }
    }

    fn inventory(pods: &[PodInfo]) -> Inventory {
        Inventory::remembered(pods.to_vec(), None, at(0))
    }

    fn found(inventory: &Inventory, uid: Option<&str>, container: Option<&str>) -> Option<String> {
        let (pod, container) = inventory.find(uid, container)?;
        let container = container.map_or("-", |container| &container.name);
        Some(format!("{} {container}", pod.uid))
    }

    #[test]
    fn a_pod_is_found_by_every_spelling_of_its_uid_and_by_its_containers() {
        let inventory = inventory(&[pod(UID, &['a', 'b']), pod("other", &['c'])]);
        let (with_a, alone) = (Some(format!("{UID} ca")), Some(format!("{UID} -")));
        let undashed = UID.replace('-', "");
        for uid in [UID, &UID.replace('-', "_"), &undashed, &UID.to_uppercase()] {
            assert_eq!(
                found(&inventory, Some(uid), Some(&id('a'))),
                with_a,
                "{uid}"
            );
            assert_eq!(found(&inventory, Some(uid), None), alone, "{uid}");
        }
        assert_eq!(found(&inventory, None, Some(&id('a'))), with_a);
        // A container of another pod does not make it this one's.
        assert_eq!(found(&inventory, Some(UID), Some(&id('c'))), alone);
        assert_eq!(found(&inventory, Some("unknown"), Some(&id('a'))), None);
        assert_eq!(found(&inventory, None, Some(&id('d'))), None);
        assert_eq!(found(&inventory, None, None), None);
    }

    #[test]
    fn only_what_differs_is_a_change() {
        let mut inventory = inventory(&[]);
        let both = || vec![pod("1", &['a']), pod("2", &['b'])];
        let check = |inventory: &mut Inventory, update, changed: &[&str], pods: &[&str]| {
            let changed: BTreeSet<_> = changed.iter().map(|uid| PodKey::of(uid)).collect();
            assert_eq!(inventory.apply(update, at(1)), changed);
            let known: Vec<_> = inventory.pods().map(|pod| pod.uid.as_str()).collect();
            assert_eq!(known, pods);
        };
        check(
            &mut inventory,
            Update::Replaced(both()),
            &["1", "2"],
            &["1", "2"],
        );
        check(&mut inventory, Update::Replaced(both()), &[], &["1", "2"]);
        let same = Update::Applied(pod("1", &['a']));
        check(&mut inventory, same, &[], &["1", "2"]);
        let other = Update::Applied(pod("1", &['c']));
        check(&mut inventory, other, &["1"], &["1", "2"]);
        assert_eq!(found(&inventory, None, Some(&id('a'))), None);
        assert_eq!(found(&inventory, None, Some(&id('c'))), Some("1 cc".into()));
        check(
            &mut inventory,
            Update::Deleted("3".into()),
            &[],
            &["1", "2"],
        );
        check(&mut inventory, Update::Deleted("1".into()), &["1"], &["2"]);
        assert_eq!(found(&inventory, None, Some(&id('c'))), None);
        check(&mut inventory, Update::Replaced(Vec::new()), &["2"], &[]);
    }

    #[test]
    fn what_is_known_stays_and_ages_while_nobody_answers() {
        let mut inventory = inventory(&[]);
        assert_eq!(inventory.age(at(5)), None);
        inventory.apply(Update::Replaced(vec![pod("1", &[])]), at(10));
        inventory.apply(Update::Connected, at(10));
        inventory.touch(at(20));
        assert_eq!(inventory.age(at(25)), Some(SignedDuration::ZERO));
        let away = |why: &str| Update::Away {
            since: at(30),
            why: why.to_owned(),
        };
        inventory.apply(away("refused"), at(30));
        inventory.touch(at(40));
        inventory.apply(away("reset"), at(45));
        assert_eq!(inventory.age(at(50)), Some(SignedDuration::from_secs(20)));
        assert_eq!(inventory.pods().count(), 1);
        let again = Inventory::remembered(
            inventory.pods().cloned().collect(),
            inventory.current_at(),
            at(90),
        );
        assert_eq!(again.age(at(90)), Some(SignedDuration::from_secs(60)));
        assert_eq!(again.pods().count(), 1);
        // A clock that was set back makes nothing younger than now.
        assert_eq!(again.age(at(0)), Some(SignedDuration::ZERO));
    }
}
