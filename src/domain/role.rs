//! Roles, and the sets of role shards that belong to an owner.

use super::Shard;
use serde::{Deserialize, Serialize};

/// A part of the work; a node hosts all roles or some.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Accepts orders and runs their sagas.
    Order,
    /// Manages stock.
    Inventory,
    /// Takes payments.
    Payment,
    /// Notifies customers.
    Notification,
    /// Counts the business figures.
    Analytics,
}

impl Role {
    /// All values.
    pub const ALL: [Self; 5] = [Self::Order, Self::Inventory, Self::Payment, Self::Notification, Self::Analytics];

    /// The name in settings, on the wire and in the database.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Order => "order",
            Self::Inventory => "inventory",
            Self::Payment => "payment",
            Self::Notification => "notification",
            Self::Analytics => "analytics",
        }
    }

    /// The role with that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    fn bit(self) -> u8 {
        match self {
            Self::Order => 1,
            Self::Inventory => 2,
            Self::Payment => 4,
            Self::Notification => 8,
            Self::Analytics => 16,
        }
    }
}

/// A set of roles.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Roles(u8);

impl Roles {
    /// All roles.
    pub const ALL: Self = Self(31);

    /// Whether `role` is among them.
    #[must_use]
    pub fn has(self, role: Role) -> bool {
        self.0 & role.bit() != 0
    }

    /// This set plus `role`.
    #[must_use]
    pub fn with(self, role: Role) -> Self {
        Self(self.0 | role.bit())
    }

    /// This set minus `role`.
    #[must_use]
    pub fn without(self, role: Role) -> Self {
        Self(self.0 & !role.bit())
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Iterates over the roles.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Self {
        roles.into_iter().fold(Self::default(), Self::with)
    }
}

/// A set of role shards: the roles of each shard that are in the set.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct RoleShards(Vec<Roles>);

impl RoleShards {
    /// The roles in which the shard is in the set.
    #[must_use]
    pub fn roles(&self, shard: Shard) -> Roles {
        self.0.get(usize::from(shard.0)).copied().unwrap_or_default()
    }

    /// Whether the set contains the shard in `role`.
    #[must_use]
    pub fn has(&self, role: Role, shard: Shard) -> bool {
        self.roles(shard).has(role)
    }

    /// Adds a role shard.
    pub fn insert(&mut self, role: Role, shard: Shard) {
        let index = usize::from(shard.0);
        if self.0.len() <= index {
            self.0.resize(index + 1, Roles::default());
        }
        if let Some(roles) = self.0.get_mut(index) {
            *roles = roles.with(role);
        }
    }

    /// Removes a role shard.
    pub fn remove(&mut self, role: Role, shard: Shard) {
        if let Some(roles) = self.0.get_mut(usize::from(shard.0)) {
            *roles = roles.without(role);
        }
    }

    /// Iterates over the role shards, by shard.
    pub fn iter(&self) -> impl Iterator<Item = (Role, Shard)> {
        (0..).zip(&self.0).flat_map(|(number, roles)| roles.iter().map(move |role| (role, Shard(number))))
    }

    /// The shards that the set contains in `role`.
    #[must_use]
    pub fn shards_of(&self, role: Role) -> Vec<Shard> {
        self.iter().filter(|(of, _)| *of == role).map(|(_, shard)| shard).collect()
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|roles| roles.is_empty())
    }
}

impl FromIterator<(Role, Shard)> for RoleShards {
    fn from_iter<T: IntoIterator<Item = (Role, Shard)>>(role_shards: T) -> Self {
        let mut all = Self::default();
        all.extend(role_shards);
        all
    }
}

impl Extend<(Role, Shard)> for RoleShards {
    fn extend<T: IntoIterator<Item = (Role, Shard)>>(&mut self, role_shards: T) {
        for (role, shard) in role_shards {
            self.insert(role, shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_are_kept_by_role_and_shard() {
        let mut role_shards: RoleShards =
            [(Role::Order, Shard(3)), (Role::Payment, Shard(3)), (Role::Order, Shard(700))].into_iter().collect();
        assert!(role_shards.has(Role::Payment, Shard(3)) && !role_shards.has(Role::Payment, Shard(700)));
        assert_eq!(role_shards.shards_of(Role::Order), [Shard(3), Shard(700)]);
        role_shards.remove(Role::Order, Shard(3));
        role_shards.remove(Role::Order, Shard(9));
        assert_eq!(role_shards.iter().collect::<Vec<_>>(), [(Role::Payment, Shard(3)), (Role::Order, Shard(700))]);
        role_shards.remove(Role::Payment, Shard(3));
        role_shards.remove(Role::Order, Shard(700));
        assert!(role_shards.is_empty());
        assert_eq!(Role::ALL.into_iter().collect::<Roles>(), Roles::ALL);
    }
}
